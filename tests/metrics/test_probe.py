"""A probe reads off what is in the codes, and no more."""

import numpy as np
import pytest
import scipy.sparse as sp

from dsae.metrics import probe

rng = np.random.default_rng(0)
NOISE = rng.normal(size=(300, 4)).astype(np.float32)
LABELS = np.repeat([0, 1, 2], 100)


def test_labels_that_codes_hold_are_found_whatever_their_type():
    codes = NOISE + 10 * np.eye(4)[LABELS]
    for labels in (LABELS, LABELS.astype(float), np.array(["a", "b", "c"])[LABELS]):
        found = probe(codes, labels)
        assert found == {"linear": 1, "knn": 1, "chance": pytest.approx(1 / 3), "n_labels": 3}


def test_rows_without_a_label_are_left_out():
    codes, some = NOISE + 10 * np.eye(4)[LABELS], np.arange(300) % 7 > 0
    whole = probe(codes[some], LABELS[some])
    for missing, labels in ((None, LABELS.astype(object)), (np.nan, LABELS.astype(float))):
        labels = labels.copy()
        labels[~some] = missing
        with pytest.warns(UserWarning, match="43 of 300 rows have no label"):
            assert probe(codes, labels) == whole


def test_labels_that_they_do_not_hold_are_guessed():
    found = probe(NOISE, LABELS)
    assert 0.2 < found["linear"] < 0.5
    assert 0.2 < found["knn"] < 0.5


def test_what_is_not_linear_only_neighbours_see():
    signs = rng.choice([-1, 1], size=(400, 2))
    found = probe(signs + 0.1 * rng.normal(size=(400, 2)), signs.prod(axis=1))
    assert found["linear"] < 0.7
    assert found["knn"] == 1


def test_units_do_not_matter_to_the_linear_probe():
    codes = NOISE + np.eye(4)[LABELS]
    one, other = probe(codes, LABELS), probe(codes * [1, 100, 1e4, 1e-4], LABELS)
    assert one["linear"] == pytest.approx(other["linear"], abs=0.01)


def test_csr_codes_are_probed_as_they_are():
    codes = np.maximum(NOISE + 3 * np.eye(4)[LABELS] - 1, 0)
    found, dense = probe(sp.csr_matrix(codes), LABELS), probe(codes, LABELS)
    assert found["knn"] == pytest.approx(dense["knn"], abs=0.01)
    assert found["linear"] == pytest.approx(dense["linear"], abs=0.05)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"\[probe\] y must hold one label for each of 300 rows; got shape \(299,\)"):
        probe(NOISE, LABELS[1:])
    with pytest.raises(ValueError, match=r"\[probe\] There must be at least 2 labels; got 1 in 300 labelled"):
        probe(NOISE, np.zeros(300))
    with pytest.raises(ValueError, match=r"\[probe\] There must be at least 2 folds; got 1"):
        probe(NOISE, LABELS, n_folds=1)
    with pytest.raises(ValueError, match=r"n_neighbors must be at most the 240 rows outside a fold; got 241"):
        probe(NOISE, LABELS, n_neighbors=241)
    assert probe(NOISE, LABELS, n_neighbors=240)["n_labels"] == 3
    rare = np.where(np.arange(300) < 3, "rare", "common")
    with pytest.raises(ValueError, match=r"at least 5 rows of each label, one for each fold; got 3 of 'rare'"):
        probe(NOISE, rare)
    with pytest.raises(ValueError, match=r"\[probe\] n_neighbors must be a whole number"):
        probe(NOISE, LABELS, n_neighbors=0)

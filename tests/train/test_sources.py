"""Rows in files train a model as rows in memory do."""

import numpy as np
import pytest
from tests.covering import each

from dsae import DeepSparseAutoencoder, DSAOutlierDetector
from dsae.data import ArraySource, open_rows, writing
from dsae.metrics import evaluate

NAMES = [f"f{i}" for i in range(12)]
SETTINGS = {"n_components": 3, "hidden_layer_sizes": (16,), "density": 0.5, "max_iter": 8, "random_state": 0}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 12)) + 5).astype(np.float32)


@pytest.fixture(scope="module")
def path(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.parquet"
    with writing(path, 2000, NAMES) as writer:
        for start in range(0, 2000, 500):
            writer.write(rows[start : start + 500])
    return path


@each(early_stopping=[False, True], schedule=["joint", "stagewise"])
def test_a_stream_trains_as_well_as_memory(rows, path, schedule, early_stopping):
    settings = SETTINGS | {"schedule": schedule, "early_stopping": early_stopping}
    scores = [DeepSparseAutoencoder(**settings).fit(X).score(X) for X in (rows, open_rows(path))]
    assert scores[0] > 0.5
    assert scores[1] > scores[0] - 0.1


def test_what_fits_in_the_buffer_is_the_same_run_each_time(rows, path):
    first, again = (DeepSparseAutoencoder(**SETTINGS).fit(open_rows(path)) for _ in range(2))
    np.testing.assert_array_equal(first.runtime_.encode(rows), again.runtime_.encode(rows))
    assert first.history_[-1]["loss"] == again.history_[-1]["loss"]


def test_names_come_with_the_stream_and_are_asked_for_again(rows, path, tmp_path):
    source = open_rows(path)
    dsa = DeepSparseAutoencoder(**SETTINGS).fit(source)
    assert dsa.feature_names_in_.tolist() == NAMES
    assert dsa.runtime_.model.feature_names == NAMES
    assert dsa.n_features_in_ == 12
    with writing(tmp_path / "x.parquet", 2000, NAMES[::-1]) as writer:
        writer.write(rows)
    with pytest.raises(ValueError, match="column 1 must be 'f0', as in training; got 'f11'"):
        dsa.transform(open_rows(tmp_path / "x.parquet"))
    np.save(tmp_path / "x.npy", rows[:, :5])
    with pytest.raises(ValueError, match=r"must have 12 columns, .*; got 5 in .*x\.npy"):
        dsa.score(open_rows(tmp_path / "x.npy"))


def test_errors_of_a_stream_are_those_of_its_rows(rows, path):
    source = open_rows(path)
    dsa = DeepSparseAutoencoder(**SETTINGS).fit(rows)
    np.testing.assert_array_equal(dsa.score_samples(source), dsa.score_samples(rows))
    for per_feature in (False, True):
        found = dsa.reconstruction_error(source, per_feature=per_feature)
        np.testing.assert_array_equal(found, dsa.reconstruction_error(rows, per_feature=per_feature))


@each(take=[lambda m, X: m.runtime_.encode(X), lambda m, X: DSAOutlierDetector().fit(X)])
def test_who_takes_no_stream_says_what_to_give(rows, path, take):
    dsa = DeepSparseAutoencoder(**SETTINGS).fit(rows)
    with pytest.raises(TypeError, match=r"X must be rows in memory; got .*x\.parquet.*Give X\.read\(\)"):
        take(dsa, open_rows(path))


def test_transform_and_score_of_a_stream_are_those_of_its_rows(rows, path):
    source = open_rows(path)
    dsa = DeepSparseAutoencoder(**SETTINGS).fit(rows)
    np.testing.assert_array_equal(dsa.transform(source), dsa.transform(rows))
    assert dsa.score(source) == pytest.approx(dsa.score(rows), rel=1e-9)
    assert evaluate(dsa.runtime_.reconstruct, source) == pytest.approx(evaluate(dsa.runtime_.reconstruct, rows))


def test_a_path_is_no_rows():
    with pytest.raises(TypeError, match=r"not the path of a file; got 'x\.parquet'\. Use dsae\.data\.open_rows\."):
        DeepSparseAutoencoder().fit("x.parquet")


def test_cross_entropy_asks_the_stream_for_its_limits(path):
    settings = SETTINGS | {"loss": "bce", "output_activation": "sigmoid"}
    with pytest.raises(ValueError, match=r"loss='bce' needs X in \[0, 1\]; got values from"):
        DeepSparseAutoencoder(**settings).fit(open_rows(path))


def test_a_file_that_changes_ends_the_training(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._shuffle._POOL_BYTES", 1 << 12)
    np.save(tmp_path / "x.npy", rows)
    from dsae.train._progress import ProgressLine

    monkeypatch.setattr(ProgressLine, "step", lambda self: np.save(tmp_path / "x.npy", rows[:100]))
    with pytest.raises(OSError, match=r"x\.npy changed while it was in use"):
        DeepSparseAutoencoder(**SETTINGS).fit(open_rows(tmp_path / "x.npy"))


@each(given=[{}, {"early_stopping": True}, {"loss": "bce", "output_activation": "sigmoid"}])
def test_a_source_in_memory_is_its_rows(rows, given):
    rows = (rows - rows.min()) / np.ptp(rows)
    fits = [DeepSparseAutoencoder(**SETTINGS | given).fit(X) for X in (rows, ArraySource(rows))]
    np.testing.assert_array_equal(*(dsa.transform(rows) for dsa in fits))


class Own:
    """The least that a source of the user's has."""

    n_features = 12

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def batches(self, batch_size, seed=None):
        return (batch.rows for batch in ArraySource(self.rows).batches(batch_size, seed))


def test_a_source_of_ones_own_trains_as_its_rows_do(rows):
    dsa = DeepSparseAutoencoder(**SETTINGS).fit(Own(rows))
    np.testing.assert_allclose(dsa.score(Own(rows)), DeepSparseAutoencoder(**SETTINGS).fit(rows).score(rows), rtol=0.05)
    np.testing.assert_array_equal(dsa.transform(Own(rows)), dsa.transform(rows))
    with pytest.raises(TypeError, match=r"early_stopping needs a source that has split.*got Own without it"):
        DeepSparseAutoencoder(**SETTINGS, early_stopping=True).fit(Own(rows))

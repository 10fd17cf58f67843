"""Rows are made of their atoms, and atoms fire as they were told to."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.data import make_sparse_features


@pytest.fixture(scope="module")
def made():
    return make_sparse_features(40_000, 24, 200, n_trees=2, random_state=0)


def test_rows_are_sums_of_atoms(made):
    assert made.X.dtype == made.codes.dtype == made.atoms.dtype == np.float32
    assert sp.isspmatrix_csr(made.codes)
    assert made.codes.data.min() > 0
    np.testing.assert_allclose(made.X[:100], made.codes[:100].toarray() @ made.atoms, atol=1e-4)


def test_atoms_are_unit_and_as_orthogonal_as_can_be(made):
    np.testing.assert_allclose(np.linalg.norm(made.atoms, axis=1), 1, rtol=1e-5)
    few = make_sparse_features(10, 24, 20, n_trees=0, random_state=0).atoms
    np.testing.assert_allclose(few @ few.T, np.eye(20), atol=1e-5)
    potential = np.square(made.atoms @ made.atoms.T).sum()
    assert potential == pytest.approx(200**2 / 24, rel=0.01)  # no 200 unit vectors have less (Benedetto & Fickus 2003)


def test_atoms_fire_at_their_rates(made):
    fired = np.diff(made.codes.tocsc().indptr)
    deviation = np.sqrt(40_000 * made.rates * (1 - made.rates))
    assert (np.abs(fired - 40_000 * made.rates) < 5 * deviation).all()


def test_rates_follow_zipf_where_there_is_no_tree():
    rates = make_sparse_features(10, 8, 100, exponent=0.7, max_rate=0.3, min_rate=0.01, n_trees=0).rates
    assert (rates[0], rates[-1]) == pytest.approx((0.3, 0.01))
    law = np.arange(1, 101) ** -0.7
    assert np.corrcoef(law, rates)[0, 1] == pytest.approx(1)


def test_a_child_fires_only_with_its_parent_and_alone_among_its_siblings(made):
    on = (made.codes != 0).toarray()
    children = np.flatnonzero(made.parents >= 0)
    assert children.size == 2 * (4 + 16 + 64)
    assert not (on[:, children] & ~on[:, made.parents[children]]).any()
    for parent in np.unique(made.parents[children]):
        assert on[:, made.parents == parent].sum(1).max() <= 1
        assert made.rates[made.parents == parent].sum() < made.rates[parent]


def test_a_child_is_strong_where_its_parent_is(made):
    child = np.flatnonzero(made.parents >= 0)[0]
    together = made.codes[:, [child, made.parents[child]]].toarray()
    child_value, parent_value = together[together[:, 0] > 0].T
    assert np.corrcoef(child_value, parent_value)[0, 1] > 0.2


def test_correlation_ties_the_firings_together():
    def strongest(correlation):
        made = make_sparse_features(20_000, 4, 12, n_trees=0, correlation=correlation, rank=2, random_state=1)
        return np.abs(np.corrcoef((made.codes != 0).toarray().T) - np.eye(12)).max()

    assert strongest(0.0) < 0.04 < 0.2 < strongest(0.5)


def test_a_seed_repeats():
    one, same, other = (make_sparse_features(50, 8, 200, random_state=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.X, same.X)
    assert not np.array_equal(one.X, other.X)


def test_blocks_do_not_show(monkeypatch):
    monkeypatch.setattr("dsae.data._synthetic._BLOCK", 200 * 7)
    made = make_sparse_features(5000, 8, 200, random_state=0)
    assert made.codes.shape == (5000, 200)
    assert np.diff(made.codes.indptr).mean() == pytest.approx(made.rates.sum(), rel=0.05)


@each(
    {
        "settings, message": [
            ({"n_samples": 0}, "n_samples must be a whole number of at least 1"),
            ({"max_rate": 1.5}, r"max_rate must be a number in \(0, 0.99\]"),
            ({"min_rate": 0.5}, r"min_rate must be a number in \(0, 0.4\]"),
            ({"n_trees": 4}, "4 trees with 4 children in 3 levels need 340 atoms; got n_atoms=256"),
            ({"n_trees": -1}, "n_trees must be a whole number of at least 0; got -1"),
        ]
    }
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_sparse_features(**settings)

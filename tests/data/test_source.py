"""Batches cover the rows, each once, whatever the order and the number of workers."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from dsae.data import ArraySource, _check, check_rows

ROWS = np.arange(22, dtype=np.float32).reshape(11, 2)
SOURCES = [ArraySource(ROWS), ArraySource(sp.csr_matrix(ROWS))]


def joined(batches):
    return np.concatenate([batch.toarray() if sp.issparse(batch) else batch for batch in batches])


@pytest.mark.parametrize("source", SOURCES, ids=["dense", "csr"])
def test_a_sample_is_of_distinct_rows_and_repeats(source):
    first, again, other = (joined([source.sample(5, np.random.default_rng(seed))]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({tuple(row) for row in first}) == 5
    assert {tuple(row) for row in first} <= {tuple(row) for row in ROWS}
    assert source.column_names is None


@pytest.mark.parametrize("source", SOURCES, ids=["dense", "csr"])
@pytest.mark.parametrize("batch_size", [1, 4, 11, 50])
def test_in_order_without_a_seed(source, batch_size):
    batches = list(source.batches(batch_size))
    assert all(type(batch) is type(source.X) and batch.shape[0] <= batch_size for batch in batches)
    np.testing.assert_array_equal(joined(batches), ROWS)
    assert (len(source), source.n_features) == (11, 2)


@pytest.mark.parametrize("source", SOURCES, ids=["dense", "csr"])
def test_a_seed_shuffles_and_repeats(source):
    first, again, other = (joined(source.batches(4, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(np.sort(first, axis=0), ROWS)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("world", [1, 2, 5, 20])
def test_workers_share_the_rows_without_overlap(seed, world):
    parts = [list(ArraySource(ROWS).batches(3, seed, rank, world)) for rank in range(world)]
    rows = np.concatenate([batch for part in parts for batch in part])
    np.testing.assert_array_equal(np.sort(rows, axis=0), ROWS)


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_moments_are_the_columns_mean_and_deviation(density):
    rng = np.random.default_rng(0)
    X = (rng.normal(3, 2, (50, 4)) * (rng.random((50, 4)) < density)).astype(np.float32)
    for source in (ArraySource(X), ArraySource(sp.csr_matrix(X))):
        mean, deviation = source.moments()
        np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(deviation, X.std(axis=0), rtol=1e-4, atol=1e-6)
        assert mean.dtype == deviation.dtype == np.float32


@pytest.mark.parametrize("source", SOURCES, ids=["dense", "csr"])
def test_shape_and_range_are_those_of_the_rows(source):
    assert (source.shape, source.min(), source.max()) == ((11, 2), 0, 21)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_checking_and_measuring_rows_takes_no_memory_that_grows_with_them(make, monkeypatch):
    monkeypatch.setattr(_check, "_AT_ONCE", 1 << 12)
    X = make(np.random.default_rng(0).random((4000, 250), dtype=np.float32))
    tracemalloc.start()
    check_rows("fit", X)
    ArraySource(X).moments()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000


def test_a_mapped_array_is_taken_as_it_is(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((10, 3), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(check_rows("fit", mapped), mapped)

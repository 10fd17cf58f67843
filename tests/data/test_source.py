"""Laws of every source: batches cover the rows, each once, whatever the order and the number of workers."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each
from tests.data.samples import dense

from dsae.data import (
    ArraySource,
    Batch,
    Field,
    Source,
    _check,
    as_source,
    check_rows,
    check_source,
    draws,
    open_rows,
    write_rows,
)

N_ROWS = 11
ROWS = np.arange(2 * N_ROWS, dtype=np.float32).reshape(N_ROWS, 2)
IDS, LABELS = np.array([f"row {i}" for i in range(N_ROWS)], object), np.arange(N_ROWS) % 3
CASES = [(kind, seed) for kind in ("dense", "csr", "file", "own") for seed in (None, 3)]


class Own:
    """The least that a source of the user's has."""

    n_features = 2

    def __len__(self):
        return N_ROWS

    def batches(self, batch_size, seed=None):
        order = np.arange(N_ROWS) if seed is None else np.random.default_rng(seed).permutation(N_ROWS)
        for start in range(0, N_ROWS, batch_size):
            mine = order[start : start + batch_size]
            yield Batch.of(ROWS[mine], mine)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.csv"
    write_rows(path, ROWS, ["a", "b"])
    return {
        "dense": ArraySource(ROWS, ["a", "b"], ids=IDS, labels=LABELS, fields=[Field("pair", 0, 2, (1, 2))]),
        "csr": ArraySource(sp.csr_matrix(ROWS)),
        "file": open_rows(path),
        "own": as_source("fit", Own()),
    }


def joined(batches):
    return np.concatenate([dense(batch) for batch in batches])


def test_every_source_is_a_source(sources):
    for kind, source in sources.items():
        assert isinstance(source, Source), kind
        assert source.shape == (len(source), source.n_features) == ROWS.shape
        (part,) = source.parts.values()
        assert (part.kind, part.n_features) == ("csr" if kind == "csr" else "dense", 2)
        assert (source.min(), source.max()) == (0, 21)
        assert source.column_names == (["a", "b"] if kind in ("dense", "file") else None)


@each({"kind, seed": CASES, "batch_size, world": [(4, 1), (3, 2), (5, 3), (2, 4), (50, 20)]})
def test_workers_share_every_batch(sources, kind, seed, batch_size, world):
    """As many batches for each, some of them empty; together they are the batches of one worker."""
    alone = list(sources[kind].batches(batch_size, seed))
    assert [len(batch) for batch in alone] == [batch_size] * (N_ROWS // batch_size) + [N_ROWS % batch_size]
    shares = [list(sources[kind].batches(batch_size, seed, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(alone)}
    for batch, *parts in zip(alone, *shares, strict=True):
        assert {dense(part).shape[1] for part in parts} == {2}
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        numbers = np.concatenate([part.numbers for part in parts])
        np.testing.assert_array_equal(np.sort(numbers), np.sort(batch.numbers))
        np.testing.assert_array_equal(joined(parts), ROWS[numbers])
    numbers = np.concatenate([batch.numbers for batch in alone])
    assert (numbers == np.arange(N_ROWS)).all() == (seed is None)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(N_ROWS))


def test_an_uneven_number_of_rows_gives_two_workers_as_many_batches():
    source = ArraySource(np.zeros((1025, 1), np.float32))
    sizes = [[len(batch) for batch in source.batches(256, 0, rank, 2)] for rank in range(2)]
    assert sizes == [[128, 128, 128, 128, 1], [128, 128, 128, 128, 0]]


@each({"kind, seed": CASES})
def test_batches_are_a_function_of_their_arguments(sources, kind, seed):
    first, again = (joined(sources[kind].batches(4, seed)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, joined(sources[kind].batches(4, 4)))


@each(kind=["dense", "csr", "file", "own"])
def test_a_sample_is_of_distinct_rows_and_repeats(sources, kind):
    first, again, other = (sources[kind].sample(5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.numbers, again.numbers)
    assert first.numbers.tolist() != other.numbers.tolist()
    assert len(set(first.numbers.tolist())) == 5
    np.testing.assert_array_equal(dense(first), ROWS[first.numbers])


@each(kind=["dense", "csr", "file"])
def test_a_split_is_of_all_rows_and_keeps_their_numbers(sources, kind):
    parts = sources[kind].split(0.3, seed=1)
    assert [len(part) for part in sources[kind].split(0.3, seed=1)] == [len(part) for part in parts]
    found = [batch for part in parts for batch in part.batches(4)]
    numbers = np.concatenate([batch.numbers for batch in found])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(N_ROWS))
    np.testing.assert_array_equal(joined(found), ROWS[numbers])
    with pytest.raises(ValueError, match="needs rows for training and for validation; got 11 in all"):
        sources[kind].split(0.9999, seed=1)


def test_names_ids_labels_and_fields_travel_with_the_rows(sources):
    source = sources["dense"]
    training, held_out = source.split(0.3, seed=1)
    for some in (source, training, held_out):
        assert some.column_names == ["a", "b"]
        assert some.parts["X"].fields == (Field("pair", 0, 2, (1, 2)),)
        for batch in (*some.batches(3, seed=2), some.sample(2, np.random.default_rng(0))):
            np.testing.assert_array_equal(batch.ids, IDS[batch.numbers])
            np.testing.assert_array_equal(batch.labels, LABELS[batch.numbers])
    with pytest.raises(ValueError, match="ids must be as many as the 11 rows; got 3"):
        ArraySource(ROWS, ids=IDS[:3])


class Bare:
    """Rows and nothing else."""

    n_features = 2

    def __len__(self):
        return N_ROWS

    def batches(self, batch_size, seed=None):
        return (ROWS[start : start + batch_size].astype(float) for start in range(0, N_ROWS, batch_size))


def test_bare_rows_of_a_source_of_ones_own_are_numbered_and_measured():
    source = as_source("fit", Bare())
    np.testing.assert_array_equal(np.concatenate([batch.numbers for batch in source.batches(4)]), np.arange(N_ROWS))
    assert {dense(batch).dtype for batch in source.batches(4)} == {np.dtype(np.float32)}
    for found, asked in zip(source.moments(), ArraySource(ROWS).moments(), strict=True):
        np.testing.assert_allclose(found, asked, rtol=1e-6)
    with pytest.raises(TypeError, match=r"early_stopping needs a source that has split.*got Bare without it"):
        source.split(0.1, 0)


def test_messages_call_a_source_by_its_name_and_not_its_address():
    for given in (Bare(), as_source("fit", Bare())):
        with pytest.raises(ValueError, match=r"must have 3 columns, .*; got 2 in Bare\.$"):
            check_source("fit", given, 3)
    with pytest.raises(TypeError, match="must be rows in memory; got Bare, which is read in pieces"):
        check_rows("transform", Bare())
    with pytest.raises(ValueError, match=r"got 2 in X\.$"):
        check_source("fit", ArraySource(ROWS), 3)


def test_what_a_source_lacks_is_named():
    class Half:
        def batches(self, batch_size, seed=None): ...

    with pytest.raises(TypeError, match=r"^\[fit\] A source must have .*; Half has no __len__, n_features\. Add it"):
        as_source("fit", Half())


def test_a_source_stays_what_it_is_and_all_else_becomes_one(sources):
    for source in sources.values():
        assert as_source("fit", source) is source
    assert as_source("fit", sources["file"].reader).shape == ROWS.shape
    frame = as_source("fit", pd.DataFrame(ROWS, columns=["a", "b"]))
    assert (frame.column_names, as_source("fit", ROWS.tolist()).column_names) == (["a", "b"], None)
    batch = as_source("fit", Batch.of(ROWS[2:4], np.array([2, 3]), ids=IDS[2:4]))
    np.testing.assert_array_equal(next(batch.batches(9)).ids, IDS[2:4])
    assert np.shares_memory(as_source("fit", ROWS).X, ROWS)


def test_a_file_in_memory_keeps_its_names(sources):
    loaded = sources["file"].load()
    assert loaded.column_names == ["a", "b"]
    np.testing.assert_array_equal(loaded.X, ROWS)


@each(density=[0.0, 0.2, 1.0])
def test_moments_are_the_columns_mean_and_deviation(density):
    rng = np.random.default_rng(0)
    X = (rng.normal(3, 2, (50, 4)) * (rng.random((50, 4)) < density)).astype(np.float32)
    for source in (ArraySource(X), ArraySource(sp.csr_matrix(X))):
        mean, deviation = source.moments()
        np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(deviation, X.std(axis=0), rtol=1e-4, atol=1e-6)
        assert mean.dtype == deviation.dtype == np.float32


@each(make=[np.asarray, sp.csr_matrix])
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


def test_what_is_drawn_for_a_row_is_the_same_on_every_worker():
    source = ArraySource(np.arange(50, dtype=np.float32).reshape(25, 2))
    wanted = draws(np.arange(25), seed=3, epoch=7)
    for batch_size, world in ((4, 1), (10, 3), (25, 8)):
        for rank in range(world):
            for batch in source.batches(batch_size, 1, rank, world):
                np.testing.assert_array_equal(draws(batch.numbers, seed=3, epoch=7), wanted[batch.numbers])


@each({"rank, world": [(2, 2), (-1, 2), (0, 0)]}, kind=["dense", "csr", "file", "own"])
def test_a_worker_is_one_of_its_world(sources, kind, rank, world):
    with pytest.raises(ValueError, match=rf"rank must be 0 to {world - 1}, one of {world} workers; got {rank}"):
        next(iter(sources[kind].batches(4, None, rank, world)))

"""Workers that share a stream read their own part of it, and together see every row of an epoch once."""

import math
import threading

import numpy as np
import pytest
from tests.covering import covering, each
from tests.data.samples import N_ROWS, all_rows, dense

from dsae.data import count_empty, entering_moments, open_rows, writing

pytestmark = pytest.mark.usefixtures("small_pieces")


def together(path, world, ask):
    """What ``ask`` gives on each of several workers that run at the same time and open the file themselves."""
    found, sent, barrier = [None] * world, [None] * world, threading.Barrier(world, timeout=600)

    def work(rank):
        def gather(thing):
            sent[rank] = thing
            barrier.wait()
            everything = list(sent)
            barrier.wait()
            return everything

        try:
            found[rank] = ask(open_rows(path).share(rank, world, gather))
        except BaseException as error:
            found[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [error for error in found if isinstance(error, BaseException)]
    # whoever failed first broke the barrier of the others
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return found


@covering(
    kind=["npy", "csv", "parquet", "arrow", "h5ad", "folder"],
    world=[2, 3, 7],
    seed=[None, 1],
    batch_size=[64, 1000],
    by="kind",
)
def test_all_workers_take_as_many_steps_and_see_every_row_once(files, rows, kind, world, seed, batch_size):
    def ask(share):
        return [(len(share), batch.numbers, dense(batch)) for batch in share.batches(batch_size, seed)]

    steps = together(files[kind], world, ask)
    n_steps = math.ceil(N_ROWS / batch_size)
    assert {len(found) for found in steps} == {n_steps}
    for step in range(n_steps):
        sizes = [len(found[step][1]) for found in steps]
        assert sum(sizes) == min(batch_size, N_ROWS - step * batch_size)
        assert max(sizes) - min(sizes) <= 2
    seen = [np.concatenate([numbers for _, numbers, _ in found]) for found in steps]
    for found, numbers in zip(steps, seen, strict=True):
        assert {n for n, _, _ in found} == {N_ROWS}
        np.testing.assert_array_equal(np.concatenate([rows for *_, rows in found]), rows[numbers])
        assert (numbers.max() - numbers.min() + 1) == len(numbers)  # a range of the rows
        assert (np.diff(numbers) == 1).all() == (seed is None)
    assert sorted(np.concatenate(seen).tolist()) == list(range(N_ROWS))


@each(kind=["folder", "npy"])
def test_a_worker_reads_its_own_part_alone(files, kind, monkeypatch):
    source = open_rows(files[kind])
    kinds = {type(file) for file in source.reader.files or [source.reader]}
    lock, read = threading.Lock(), {}
    for cls in kinds:

        def spied(self, part, ids, original=cls._read):
            with lock:
                read.setdefault(threading.get_ident(), []).append((self.name, part))
            yield from original(self, part, ids)

        monkeypatch.setattr(cls, "_read", spied)

    def ask(share):
        # on this thread alone, without reading ahead
        read.pop(threading.get_ident(), None)
        numbers = np.concatenate([batch.numbers for batch in share._own.pieces(64, 1)])
        return numbers.size, read[threading.get_ident()]

    found = together(files[kind], 2, ask)
    parts = [set(parts) for _, parts in found]
    assert [n for n, _ in found] == [N_ROWS // 2] * 2
    assert all(len(some) <= source.reader.n_parts / 2 + 1 for some in parts)
    assert len(parts[0] & parts[1]) <= 1  # the one that both have rows of
    assert len(parts[0] | parts[1]) == source.reader.n_parts


@each(kind=["npy", "folder"], world=[2, 5])
def test_every_worker_knows_all_rows(files, rows, kind, world):
    alone = open_rows(files[kind])

    def ask(share):
        sample = share.sample(300, np.random.default_rng(0))
        return *share.moments(), share.min(), share.max(), share.farthest(), sample.numbers, dense(sample), share.shape

    found = together(files[kind], world, ask)
    for mean, deviation, low, high, farthest, numbers, sample, shape in found:
        np.testing.assert_allclose(mean, alone.moments()[0], rtol=1e-6)
        np.testing.assert_allclose(deviation, alone.moments()[1], rtol=1e-6)
        assert (low, high, shape) == (rows.min(), rows.max(), rows.shape)
        assert farthest.share == pytest.approx(alone.farthest().share, rel=0.1)
        assert len(set(numbers.tolist())) == 300
        np.testing.assert_array_equal(sample, rows[numbers])
        assert np.histogram(numbers, world, (0, N_ROWS))[0].min() > 300 / world / 2
        np.testing.assert_array_equal(mean, found[0][0])
        np.testing.assert_array_equal(numbers, found[0][5])


def test_rows_held_out_targets_and_what_is_missing_stay_shared(tmp_path, rows):
    X = rows.copy()
    X[5, 3] = np.nan
    np.save(tmp_path / "x.npy", X)
    aims, weight = rows[:, :2], np.ones(N_ROWS, np.float32)
    source = open_rows(tmp_path / "x.npy")

    def ask(share):
        parts = share.with_missing("mask").beside(aims, weight).split(0.2, seed=3)
        known = parts[0].known(), parts[1].known()
        return [(len(part), list(part.batches(64, 1))) for part in parts], sum(each.n_unknown for each in known)

    found = together(tmp_path / "x.npy", 3, ask)
    assert [n for _, n in found] == [1, 1, 1]
    kept, held_out = ([parts[i] for parts, _ in found] for i in (0, 1))
    wanted = [len(part) for part in source.split(0.2, seed=3)]
    assert [{n for n, _ in some} for some in (kept, held_out)] == [{n} for n in wanted]
    numbers = []
    for n, batches in [*kept, *held_out]:
        assert len(batches) == math.ceil(n / 64)
        for batch in batches:
            np.testing.assert_array_equal(batch.target, aims[batch.numbers])
            numbers += batch.numbers.tolist()
    assert sorted(numbers) == list(range(N_ROWS))


@each(n=[1, 4, 9], world=[2, 3, 5])
def test_fewer_rows_than_workers_end_all_the_same(tmp_path, n, world):
    np.save(tmp_path / "x.npy", np.arange(3.0 * n).reshape(n, 3))
    found = together(tmp_path / "x.npy", world, lambda share: [b.numbers for b in share.batches(2, 0)])
    assert {len(batches) for batches in found} == {math.ceil(n / 2)}
    assert sorted(np.concatenate([np.concatenate(batches) for batches in found]).tolist()) == list(range(n))


@each(world=[2, 3])
def test_1025_rows_give_every_worker_as_many_steps(tmp_path, world):
    np.save(tmp_path / "x.npy", np.zeros((1025, 4), np.float32))
    found = together(tmp_path / "x.npy", world, lambda share: [len(b) for b in share.batches(256, 0)])
    assert [sum(sizes) for sizes in zip(*found, strict=True)] == [256] * 4 + [1]


def test_passes_over_shares_are_of_all_rows(tmp_path):
    counts = np.random.default_rng(0).poisson(0.4, (500, 6)).astype(np.float32)
    counts[[3, 77, 400]] = 0
    np.save(tmp_path / "x.npy", counts)
    alone = open_rows(tmp_path / "x.npy")
    wanted = entering_moments(alone, "log1p", 1.0)
    for moments, n_empty in together(
        tmp_path / "x.npy", 3, lambda s: (entering_moments(s, "log1p", 1.0), count_empty(s))
    ):
        np.testing.assert_allclose(moments, wanted, rtol=1e-5)
        assert n_empty == count_empty(alone)


def test_the_head_is_of_the_first_rows_whoever_asks(files, rows):
    source = open_rows(files["folder"])
    for head in [source.head(700), *together(files["folder"], 2, lambda share: share.head(700))]:
        np.testing.assert_array_equal(dense(head), rows[:700])
    assert len(source.head(10**6)) == N_ROWS


def test_a_share_is_of_one_worker(files):
    source = open_rows(files["npy"])
    assert source.share(0, 1, list) is source
    with pytest.raises(ValueError, match="rank must be 0 to 1, one of 2 workers; got 2"):
        source.share(2, 2, list)
    share = source.share(1, 2, lambda n: [n, n])
    assert share.share(1, 2, list) is share
    with pytest.raises(ValueError, match="These are the rows of worker 1 of 2"):
        share.share(0, 2, list)
    with pytest.raises(ValueError, match="rank and world must be those of the share, 1 and 2; got 0 and 2"):
        next(iter(share.batches(64, 0, 0, 2)))
    assert sum(map(len, share.batches(64, 0, 1, 2))) == N_ROWS // 2


def test_a_file_that_changes_is_told_by_the_worker_that_reads_it(write, tmp_path):
    path = write(tmp_path / "x.npy")
    share = open_rows(path).share(1, 2, lambda n: [n, n])
    write(path, 0, 2000)
    with pytest.raises(OSError, match=r"x\.npy changed while it was in use"):
        list(share.batches(64, 0))


def test_one_file_of_one_row_group_is_shared_by_ranges(tmp_path, rows):
    with writing(tmp_path / "x.parquet", N_ROWS, [f"x{i}" for i in range(rows.shape[1])]) as writer:
        writer.write(rows)
    source = open_rows(tmp_path / "x.parquet")
    assert source.reader.n_parts == 1
    found = together(tmp_path / "x.parquet", 3, lambda share: all_rows(share.batches(100)))
    np.testing.assert_array_equal(np.concatenate(found), rows)

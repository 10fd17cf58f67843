"""Rows that need not fit in memory, as batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from dsae.data._check import Rows
from dsae.data._prefetch import prefetched
from dsae.data._reader import Chunk, Reader
from dsae.data._statistics import Statistics, n_bytes, stacked

_SMALL = 1 << 28
_POOL_BYTES = 1 << 24
_LEAST_BATCHES_IN_POOL = 4
# A reader of Parquet holds a page of every column, by default of 1 MiB.
_MOST_PARTS_OPEN, _OPEN_BYTES, _ROWS_HELD_OF_A_PART = 8, 1 << 26, 1 << 18
_CHUNKS_AHEAD = 4

Keep = Callable[[np.ndarray], np.ndarray]


class StreamSource:
    """Rows of a reader, read while a model takes them; `open_rows` makes one.

    The rows of an epoch are shuffled in two steps: the parts of the file (blocks of rows, row groups, files of a
    folder) come in random order, up to eight at a time, and rows pass through a buffer of about 16 MiB from which they
    leave at random. What fits into the buffer is shuffled wholly; in a compressed ``.npz``, which is one part, rows
    far from each other keep their order.

    Parameters
    ----------
    reader : Reader
    keep : callable, optional
        From row numbers to which of these rows belong to this source.

    Attributes
    ----------
    waited : float
        Seconds that whoever took batches has waited for them, so far.
    """

    def __init__(self, reader: Reader, keep: Keep | None = None) -> None:
        self.reader, self._keep, self.waited = reader, keep, 0.0

    def __len__(self) -> int:
        return self._n_kept

    @cached_property
    def _n_kept(self) -> int:
        if self._keep is None:
            return len(self.reader)
        step = 1 << 20
        spans = (np.arange(start, min(start + step, len(self.reader))) for start in range(0, len(self.reader), step))
        return sum(int(self._keep(span).sum()) for span in spans)

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return self.reader.n_features

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self), self.n_features

    @property
    def column_names(self) -> list[str] | None:
        """Of the features, where the file has them."""
        return self.reader.column_names

    @property
    def id_name(self) -> str | None:
        """Of the column of row ids, where there is one."""
        return self.reader.id_name

    @property
    def format(self) -> str:
        """The ending of its files."""
        return self.reader.format

    @property
    def path(self) -> Path:
        """Where they are."""
        return self.reader.path

    @property
    def is_folder(self) -> bool:
        """Whether they come from a folder of files."""
        return bool(self.reader.files)

    def files(self) -> list[StreamSource]:
        """The rows of each file of a folder, or of the file."""
        return [StreamSource(reader) for reader in self.reader.files] or [self]

    def __str__(self) -> str:
        return self.reader.name

    def __repr__(self) -> str:
        return f"StreamSource({self.reader.name!r}, {self.n_features} features)"

    def chunks(self) -> Iterator[Chunk]:
        """All rows in order, with their ids, in pieces of about a MiB that are read ahead."""
        return prefetched(self._kept(self.reader.chunks()), _CHUNKS_AHEAD)

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Generator[Rows]:
        """Float32 batches of up to ``batch_size`` rows, ndarray or CSR; a pure function of the arguments.

        Parameters
        ----------
        batch_size : int
        seed : int, optional
            Shuffles the rows; without it they come in order.
        rank, world : int
            This worker takes every ``world``-th row from ``rank`` on; each reads them all.
        """
        rows = self._in_order() if seed is None else self._shuffled(np.random.default_rng(seed), batch_size)
        mine = rows if world == 1 else _every(rows, rank, world)
        # Many batches at a time: a thread to wake for each of them is a millisecond on a busy machine.
        with closing(prefetched(mine, 1 if seed is not None else _CHUNKS_AHEAD, self._count)) as ahead:
            yield from _batched(ahead, batch_size)

    def _count(self, seconds: float) -> None:
        self.waited += seconds

    def _kept(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            if self._keep is None:
                yield chunk
                continue
            n = chunk.rows.shape[0]
            mine = self._keep(np.arange(chunk.start, chunk.start + n))
            if mine.any():
                ids, labels = (part if part is None else part[mine] for part in chunk[2:])
                yield Chunk(chunk.start, chunk.rows[mine], ids, labels)

    def _in_order(self) -> Iterator[Rows]:
        return (chunk.rows for chunk in self._kept(self.reader.chunks(ids=False)))

    def _shuffled(self, rng: np.random.Generator, batch_size: int) -> Iterator[Rows]:
        pool: list[Rows] = []
        size = n_rows = 0
        # of much, a little at first: an epoch begins by waiting for it
        full = _POOL_BYTES if 4 * len(self) * self.n_features <= _POOL_BYTES else _POOL_BYTES // 8
        for chunk in self._kept(self._scattered(rng)):
            pool.append(chunk.rows)
            size, n_rows = size + n_bytes(chunk.rows), n_rows + chunk.rows.shape[0]
            if size >= full and n_rows >= _LEAST_BATCHES_IN_POOL * batch_size:
                yield _half_of(pool, rng.permutation(n_rows))
                size, n_rows = n_bytes(pool[0]), pool[0].shape[0]
                full = min(2 * full, _POOL_BYTES)
        if pool:
            yield stacked(pool)[rng.permutation(n_rows)]

    def _scattered(self, rng: np.random.Generator) -> Iterator[Chunk]:
        """Chunks of all parts in random order, a few parts at a time."""
        parts = iter(rng.permutation(self.reader.n_parts).tolist())
        part_bytes = 4 * self.n_features * min(_ROWS_HELD_OF_A_PART, len(self.reader) // self.reader.n_parts + 1)
        n_open = min(_MOST_PARTS_OPEN, max(1, _OPEN_BYTES // part_bytes))
        opened = [self.reader.read(part, ids=False) for part in islice(parts, n_open)]
        while opened:
            at = int(rng.integers(len(opened)))
            chunk = next(opened[at], None)
            if chunk is not None:
                yield chunk
            else:
                opened[at : at + 1] = [self.reader.read(part, ids=False) for part in islice(parts, 1)]

    @cached_property
    def _statistics(self) -> Statistics:
        found = Statistics(self.n_features)
        for rows in prefetched(self._in_order(), _CHUNKS_AHEAD):
            found.update(rows)
        return found

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32, by one pass."""
        return self._statistics.moments()

    def min(self) -> float:
        """The smallest value."""
        return self._statistics.low

    def max(self) -> float:
        """The largest value."""
        return self._statistics.high

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Up to ``n`` random rows in memory, of some thousand kept of the pass for the moments."""
        return self._statistics.sample(n, rng)

    def split(self, fraction: float, seed: int) -> tuple[StreamSource, StreamSource]:
        """The rows without about ``fraction`` of them, and these, drawn by their number and the seed.

        Raises
        ------
        ValueError
            If one of the two would be empty.
        """
        parts = tuple(
            StreamSource(self.reader, lambda numbers, other=other: (_uniform(numbers, seed) < fraction) == other)
            for other in (False, True)
        )
        if not all(map(len, parts)):
            raise ValueError(
                f"[fit] early_stopping needs rows for training and for validation; got {len(self)} in all."
            )
        return parts[0], parts[1]

    def read(self) -> Rows:
        """All rows, in memory."""
        return stacked([chunk.rows for chunk in self.chunks()])

    @property
    def is_small(self) -> bool:
        """Whether the rows are better read once, into memory, than in every epoch."""
        return self.reader.in_memory or 4 * len(self) * self.n_features <= _SMALL


def _half_of(pool: list[Rows], order: np.ndarray) -> Rows:
    """The rows that come last in ``order``; the others stay, and no copies of both while these are waited for."""
    rows, half = stacked(pool), len(order) // 2
    pool.clear()
    pool.append(rows[order[:half]])
    return rows[order[half:]]


def _batched(pieces: Iterator[Rows], batch_size: int) -> Iterator[Rows]:
    rest: list[Rows] = []
    for rows in pieces:
        start = 0
        if rest:
            start = batch_size - sum(piece.shape[0] for piece in rest)
            rest.append(rows[:start])
            if sum(piece.shape[0] for piece in rest) < batch_size:
                continue
            yield stacked(rest)
        last = start + (rows.shape[0] - start) // batch_size * batch_size
        for first in range(start, last, batch_size):
            yield rows[first : first + batch_size]
        rest = [rows[last:]] if last < rows.shape[0] else []
    if rest:
        yield stacked(rest)


def _every(pieces: Iterator[Rows], rank: int, world: int) -> Iterator[Rows]:
    n = 0
    for rows in pieces:
        first = (rank - n) % world
        n += rows.shape[0]
        if first < rows.shape[0]:
            yield rows[first::world]


def _uniform(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each row number, by SplitMix64 (Steele et al. 2014)."""
    z = numbers.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return (z ^ (z >> np.uint64(31))) / 2.0**64

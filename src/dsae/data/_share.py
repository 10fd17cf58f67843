"""One worker's share of the rows of a source, for training by several workers at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.data._batch import Batch, Part, Rows, check_worker
from dsae.data._centring import check_moments
from dsae.data._known import Known
from dsae.data._prefetch import prefetched
from dsae.data._reader import Chunk, Reader
from dsae.data._regroup import in_sizes
from dsae.data._statistics import Farthest, Statistics

if TYPE_CHECKING:
    from dsae.data._stream import StreamSource

Gather = Callable[[Any], Sequence[Any]]


class RangeReader(Reader):
    """The rows ``start`` to ``stop`` of another reader, numbered as there; only parts that hold some of them are read.

    Parameters
    ----------
    reader : Reader
    start, stop : int
    """

    def __init__(self, reader: Reader, start: int, stop: int) -> None:
        self._reader, self.first_row, self._stop = reader, start, stop
        self.path, self.name, self.format, self._stamp = reader.path, reader.name, reader.format, None
        self.n_features, self.fields, self.column_names = reader.n_features, reader.fields, reader.column_names
        self.id_name, self.label_name, self.in_memory = reader.id_name, reader.label_name, reader.in_memory
        starts = np.asarray(reader.starts)
        ends = np.append(starts[1:], len(reader))
        self._parts = np.flatnonzero((starts < stop) & (ends > start)).tolist()

    def __len__(self) -> int:
        return self._stop - self.first_row

    @property
    def n_parts(self) -> int:
        """Parts that hold some of the rows."""
        return len(self._parts)

    def read(self, part: int, ids: bool = True, missing: str = "error") -> Iterator[Chunk]:
        """The rows of a part that are in the range."""
        for chunk in self._reader.read(self._parts[part], ids, missing):
            n = chunk.rows.shape[0]
            low, high = max(0, self.first_row - chunk.start), min(n, self._stop - chunk.start)
            if high <= 0:
                return
            if low < high:
                yield chunk if high - low == n else _cut(chunk, slice(low, high))

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        return self.read(part, ids)

    def exact(self, columns: np.ndarray) -> Iterator[Any]:
        """From all over the other reader, so that every worker sees the same."""
        return self._reader.exact(columns)


def _cut(chunk: Chunk, some: slice) -> Chunk:
    rows: Any = chunk.rows
    rows = rows.cut(some) if hasattr(rows, "cut") else rows[some]
    beside = (None if values is None else values[some] for values in (chunk.ids, chunk.labels))
    return Chunk(chunk.start + some.start, rows, *beside)


class StreamShare:
    """A worker's share of a stream: rows that follow one another, so that it reads its files or row groups alone.

    Shares differ by one row, where none are held out. A batch of all workers has rows of every share, as many of each
    as it is large, so that all workers have the same number of batches and about as many rows in each. Whatever it says
    of rows, their number first, it says of those of all workers: what one of them has found is exchanged when it is
    first asked for, so all must ask for the same in the same order.

    Parameters
    ----------
    whole : StreamSource
    rank, world : int
    gather : callable
        From an object to the list of those that all workers have called it with, the same on each.

    Attributes
    ----------
    waited : float
        Seconds that the consumer of batches has waited for them so far.

    Raises
    ------
    ValueError
        If ``rank`` is none of ``world`` workers.
    """

    def __init__(self, whole: StreamSource, rank: int, world: int, gather: Gather) -> None:
        check_worker(rank, world)
        self.whole, self.gather, self.waited, self._rank, self._world = whole, gather, 0.0, rank, world
        self._ends_found: list[int] = []
        self._all_found: Statistics | None = None
        n = len(whole.reader)
        self._own = whole.reading(RangeReader(whole.reader, n * rank // world, n * (rank + 1) // world))

    @property
    def _ends(self) -> list[int]:
        """Rows of the workers before each, and of all."""
        # no cached_property: before Python 3.12 its lock is the class', and a worker that waits for others holds it
        if not self._ends_found:
            sizes = [int(size) for size in self.gather(len(self._own))]
            self._ends_found = [0, *accumulate(sizes)]
        return self._ends_found

    def __len__(self) -> int:
        return self._ends[-1]

    def __str__(self) -> str:
        return str(self.whole)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "whole":  # not before there is a whole, as where this is copied
            raise AttributeError(name)
        return getattr(self.whole, name)

    @property
    def n_own(self) -> int:
        """Rows of this worker."""
        return self._ends[self._rank + 1] - self._ends[self._rank]

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return self.whole.n_features

    @property
    def shape(self) -> tuple[int, int]:
        """Rows of all workers, and features."""
        return len(self), self.n_features

    @property
    def parts(self) -> Mapping[str, Part]:
        """Those of the whole."""
        return self.whole.parts

    @property
    def column_names(self) -> list[str] | None:
        """Those of the whole."""
        return self.whole.column_names

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The worker's rows of the batches of all; a pure function of the arguments, and of the number of workers.

        Parameters
        ----------
        batch_size : int
            Of all workers together.
        seed : int, optional
            Shuffles the rows, as a stream does.
        rank, world : int
            Those of this share, or left as they are.
        """
        if (rank, world) not in ((0, 1), (self._rank, self._world)):
            raise ValueError(
                f"[batches] rank and world must be those of the share, {self._rank} and {self._world}; got {rank} and "
                f"{world}. Share the whole again."
            )
        if min(np.diff(self._ends)) * batch_size < len(self):  # a worker without a row of some batch: rows are few
            yield from self.whole.batches(batch_size, seed, self._rank, self._world)
            return
        pieces = self._own.pieces(-(-batch_size // self._world), seed)
        with closing(prefetched(pieces, self._own.ahead(seed), self._count)) as ahead:
            yield from in_sizes(ahead, self._shares_of(batch_size))

    def _shares_of(self, batch_size: int) -> Iterator[int]:
        """Rows of this worker in every batch: they add up to the size of the batch over all workers."""
        n, low, high = len(self), self._ends[self._rank], self._ends[self._rank + 1]
        done = 0
        for step in range(1, math.ceil(n / batch_size) + 1):
            total = min(step * batch_size, n)
            own = high * total // n - low * total // n
            yield own - done
            done = own

    def _count(self, seconds: float) -> None:
        self.waited += seconds

    @property
    def _all(self) -> Statistics:
        """By a pass over the own rows, and what the others have found."""
        if self._all_found is None:
            found = self._own.tallied()
            found.keep_at_most(-(-found.most_kept // self._world))  # those of all workers make one sample
            known = self.merged(found)
            check_moments(*known.moments(), self.whole.reader.exact, self.column_names)
            self._all_found = known
        return self._all_found

    def merged(self, found: Statistics) -> Statistics:
        """Statistics of all rows, from those of the own ones; all workers ask for it at the same time."""
        return Statistics.merged(self.gather(found))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32, of all rows."""
        return self._all.moments()

    def farthest(self) -> Farthest:
        """The row farthest from the mean of those near it in its share."""
        return self._all.farthest()

    def known(self) -> Known:
        """What is known of all rows, in which NaN stands for what is not."""
        return self._all.known or self.whole.known()

    def min(self) -> float:
        """The smallest value."""
        return self._all.low

    def max(self) -> float:
        """The largest value."""
        return self._all.high

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` random rows of all, of some thousand that the passes have kept."""
        return self._all.sample(n, rng)

    def split(self, fraction: float, seed: int) -> tuple[StreamShare, StreamShare]:
        """Shares of the rows without about ``fraction`` of them, and of those held out."""
        kept, held_out = self.whole.split(fraction, seed)
        return self._of(kept), self._of(held_out)

    def with_missing(self, missing: str) -> StreamShare:
        """The same rows, in which NaN is refused or not."""
        return self if missing == self.whole.missing else self._of(self.whole.with_missing(missing))

    def beside(self, target: Rows | None, weight: np.ndarray | None) -> StreamShare:
        """The same rows with a target and weights, of all rows."""
        return self._of(self.whole.beside(target, weight))

    def share(self, rank: int, world: int, gather: Gather) -> StreamShare:
        """Itself, for the same worker.

        Raises
        ------
        ValueError
            For another one.
        """
        if (rank, world) != (self._rank, self._world):
            raise ValueError(f"[share] These are the rows of worker {self._rank} of {self._world}; share the whole.")
        return self

    def _of(self, whole: StreamSource) -> StreamShare:
        return type(self)(whole, self._rank, self._world, self.gather)

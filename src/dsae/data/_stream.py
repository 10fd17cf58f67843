"""Rows that need not fit in memory, as batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import TABLE, Batch, Field, Part, Rows, check_worker, share, stacked
from dsae.data._centring import check_moments
from dsae.data._draws import draws
from dsae.data._known import Known
from dsae.data._prefetch import prefetched
from dsae.data._reader import Chunk, Reader
from dsae.data._regroup import batched
from dsae.data._share import Gather, StreamShare
from dsae.data._shuffle import mixed, scattered
from dsae.data._source import ArraySource, moments_of_target
from dsae.data._statistics import Farthest, Statistics

_SMALL = 1 << 28  # bytes: smaller data are better read once, into memory
_CHUNKS_AHEAD = 4  # read while the consumer works; any few do

Keep = Callable[[np.ndarray], np.ndarray]


class StreamSource:
    """Rows of a reader, read while a model trains on them; created by `open_rows`.

    The rows of an epoch are shuffled in two steps: the parts of the file (blocks of rows, row groups, files of a
    folder) come in random order, up to eight at a time, and rows pass through a buffer of about 16 MiB from which they
    leave at random. What fits into the buffer is shuffled wholly; in a compressed ``.npz``, which is one part, rows
    far from each other keep their order.

    Parameters
    ----------
    reader : Reader
    keep : callable, optional
        From row numbers to which of these rows belong to this source.
    missing : {"error", "mask"}
        Whether NaN, and so an empty cell, is refused or a value that is not known.
    target, weight : ndarray or csr_matrix, optional
        As in `ArraySource`, for all rows of the reader, in memory.

    Attributes
    ----------
    waited : float
        Seconds that the consumer of batches has waited for them so far.
    """

    def __init__(
        self,
        reader: Reader,
        keep: Keep | None = None,
        missing: str = "error",
        target: Rows | None = None,
        weight: np.ndarray | None = None,
    ) -> None:
        self.reader, self._keep, self.missing, self.waited = reader, keep, missing, 0.0
        self._target, self._weight = target, weight

    def with_missing(self, missing: str) -> StreamSource:
        """The same rows, in which NaN is refused or not."""
        return self if missing == self.missing else self._with(missing=missing)

    def beside(self, target: Rows | None, weight: np.ndarray | None) -> StreamSource:
        """The same rows with a target and weights, in place of their own where they are given."""
        given = {"target": target, "weight": weight}
        return self._with(**{name: values for name, values in given.items() if values is not None})

    def reading(self, reader: Reader) -> StreamSource:
        """The same of the rows of another reader, which are numbered as in this one."""
        return self._with(reader=reader)

    def _with(self, **changed: Any) -> StreamSource:
        own: dict[str, Any] = {"reader": self.reader, "keep": self._keep, "missing": self.missing}
        return type(self)(**(own | {"target": self._target, "weight": self._weight} | changed))

    def __len__(self) -> int:
        return self._n_kept

    @cached_property
    def _n_kept(self) -> int:
        if self._keep is None:
            return len(self.reader)
        step, first = 1 << 20, self.reader.first_row  # row numbers at a time, 8 MiB
        last = first + len(self.reader)
        spans = (np.arange(start, min(start + step, last)) for start in range(first, last, step))
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
        return [StreamSource(reader, missing=self.missing) for reader in self.reader.files] or [self]

    def __str__(self) -> str:
        return self.reader.name

    def __repr__(self) -> str:
        return f"StreamSource({self.reader.name!r}, {self.n_features} features)"

    @property
    def parts(self) -> Mapping[str, Part]:
        """The table that the file holds; see `Source`."""
        return self._parts

    @cached_property
    def _parts(self) -> Mapping[str, Part]:
        # Only the kind of the rows is looked at: whether NaN is refused is decided where they are used.
        first = next(self.reader.read(0, ids=False, missing="mask")).rows
        fields, start = [], 0
        for name, shape in self.reader.fields.items():
            fields.append(Field(name, start, start + prod(shape), shape))
            start += prod(shape)
        names = self.column_names
        kind = "csr" if sp.issparse(first) else "dense"
        return {TABLE: Part(kind, self.n_features, None if names is None else tuple(names), tuple(fields))}

    def chunks(self, exact: bool = False) -> Iterator[Batch]:
        """All rows in order, with their ids and labels, in chunks of about a MiB that are read ahead.

        With ``exact`` they are not cast to float32, but in the precision of the file.
        """
        pieces = self._kept(self.reader.exact_chunks(self.missing)) if exact else self._in_order(ids=True)
        return prefetched(pieces, _CHUNKS_AHEAD)

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Generator[Batch]:
        """Batches of up to ``batch_size`` rows over all workers, each of which reads them all; see `Source`.

        Parameters
        ----------
        batch_size : int
        seed : int, optional
            With it, rows come without ids and labels.
        rank, world : int
        """
        check_worker(rank, world)
        with closing(prefetched(self.pieces(batch_size, seed), self.ahead(seed), self._count)) as ahead:
            for batch in batched(ahead, batch_size):
                yield share(batch, rank, world)

    def pieces(self, batch_size: int, seed: int | None) -> Iterator[Batch]:
        """The rows of an epoch in pieces of any size."""
        # An epoch of training has no use for ids, and text takes time to read.
        if seed is None:
            return self._in_order(ids=True)
        rng = np.random.default_rng(seed)
        chunks = scattered(self.reader, rng, lambda part: self.reader.read(part, ids=False, missing=self.missing))
        return mixed(self._kept(chunks), rng, batch_size, 4 * len(self) * self.n_features)

    @staticmethod
    def ahead(seed: int | None) -> int:
        """Pieces to read while the last is in use."""
        # Many batches at a time: waking a thread for each of them takes a millisecond on a busy machine.
        return 1 if seed is not None else _CHUNKS_AHEAD

    def share(self, rank: int, world: int, gather: Gather) -> Any:
        """One worker's share of the rows: a range of them, of which alone it reads files and row groups.

        Parameters
        ----------
        rank, world : int
        gather : callable
            From an object to the list of those that all workers have called it with, the same on each.

        Returns
        -------
        StreamShare
            Which speaks for the rows of all workers, but gives batches of its own; the source itself for one worker.
        """
        check_worker(rank, world)
        return self if world == 1 else self._share(rank, world, gather)

    def _share(self, rank: int, world: int, gather: Gather) -> StreamShare:
        return StreamShare(self, rank, world, gather)

    def head(self, n: int) -> Batch:
        """The first ``n`` rows, or as many as there are, in the order of the files."""
        found: list[Batch] = []
        for batch in self._in_order():
            found.append(batch[: n - sum(map(len, found))])
            if sum(map(len, found)) == n:
                break
        return Batch.stack(found)

    def _count(self, seconds: float) -> None:
        self.waited += seconds

    def _kept(self, chunks: Iterator[Chunk]) -> Iterator[Batch]:
        for start, rows, ids, labels in chunks:
            own = slice(start, start + rows.shape[0])
            beside = {"target": self._target, "weight": self._weight}
            beside = {name: None if values is None else values[own] for name, values in beside.items()}
            batch = self._batch(rows, np.arange(own.start, own.stop), ids=ids, labels=labels, **beside)
            if self._keep is None:
                yield batch
                continue
            # By row number, not by a counter: the rows of an epoch come in another order each time.
            mine = self._keep(batch.numbers)
            if mine.any():
                yield batch[mine]

    def _batch(self, rows: Any, numbers: np.ndarray, **more: Any) -> Batch:
        return Batch.of(rows, numbers, **more)

    def _in_order(self, ids: bool = False) -> Iterator[Batch]:
        return self._kept(self.reader.chunks(ids, self.missing))

    @cached_property
    def _statistics(self) -> Statistics:
        found = self.tallied()
        check_moments(*found.moments(), self.reader.exact, self.column_names)
        return found

    def tallied(self) -> Statistics:
        """What a pass over the rows tells."""
        found = Statistics(self.n_features, self.missing == "mask")
        for batch in prefetched(self._in_order(), _CHUNKS_AHEAD):
            found.update(batch)
        return found

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32, by one pass."""
        return self._statistics.moments()

    @property
    def target(self) -> Rows | None:
        """What is predicted from the rows of the reader; None where that is the rows themselves."""
        return self._target

    def target_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same of every column of the target, of all rows of the reader; None where the rows are their own."""
        return moments_of_target(self._target, self._weight)

    def farthest(self) -> Farthest:
        """The row farthest from the mean of those near it in the file, by the same pass."""
        return self._statistics.farthest()

    def known(self) -> Known:
        """What is known of rows in which NaN stands for what is not, by the same pass."""
        return self._statistics.known or self.with_missing("mask").known()  # a pass that refuses NaN has not counted it

    def min(self) -> float:
        """The smallest value."""
        return self._statistics.low

    def max(self) -> float:
        """The largest value."""
        return self._statistics.high

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` random rows in memory, of some thousand kept of the pass for the moments."""
        return self._statistics.sample(n, rng)

    def split(self, fraction: float, seed: int) -> tuple[StreamSource, StreamSource]:
        """Two sources: the rows without about ``fraction`` of them, and those held out, drawn by row number and seed.

        Raises
        ------
        ValueError
            If one of the two would be empty.
        """
        parts = tuple(
            self._with(keep=lambda numbers, other=other: (draws(numbers, seed) < fraction) == other)
            for other in (False, True)
        )
        if not all(map(len, parts)):
            raise ValueError(
                f"[fit] early_stopping needs rows for training and for validation; got {len(self)} in all."
            )
        return parts[0], parts[1]

    def read(self) -> Rows:
        """All rows, in memory."""
        return stacked([batch.rows for batch in prefetched(self._in_order(), _CHUNKS_AHEAD)])

    def load(self) -> ArraySource:
        """All rows in memory, with the names of their columns, ids and labels."""
        everything, part = Batch.stack(list(self.chunks())), self.parts[TABLE]
        return ArraySource.of(everything, part, self.reader.exact)

    @property
    def is_small(self) -> bool:
        """Whether the rows are better read once, into memory, than in every epoch."""
        return self.reader.in_memory or 4 * len(self) * self.n_features <= _SMALL

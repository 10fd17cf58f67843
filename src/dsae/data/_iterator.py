"""Rows that come once and are not kept, such as the activations of a model that runs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.data._batch import TABLE, Batch, Part, Rows, check_worker, share
from dsae.data._errors import called
from dsae.data._known import Known
from dsae.data._rows import check_rows
from dsae.data._source import ArraySource
from dsae.data._statistics import Farthest, Statistics, n_bytes

_HEAD = 8192  # rows that give mean and spread: these are then known to about 1 % of the spread
_KEPT, _KEPT_BYTES = 1 << 14, 1 << 26  # of the newest rows, for measurements
_ROUNDS, _STEPS = 50, 100  # at most so many, of at least so many steps each


class IteratorSource:
    """Rows from an iterator of batches, in the order in which they come, for a number of steps.

    They are put together to steps of ``batch_size`` rows and divided into rounds, which stand for epochs: a row of the
    history, a call of ``on_epoch``, a look at the rows to validate on. Mean and spread are those of the first 8192
    rows; some of the newest rows are kept for measurements. Rows are not shuffled.

    Parameters
    ----------
    verb : str
        Named in messages.
    batches : iterable of array-like, tensor or scipy sparse, shape (any, n_features), or Batch
        A `Batch` may have a target and weights.
    n_steps : int
    batch_size : int
        Rows of a step.

    Attributes
    ----------
    n_rounds : int
    n_given : int
        Steps given so far.
    ended : bool
        Whether the iterator has given its last batch.

    Raises
    ------
    ValueError
        If there is no row, or a batch is not what it should be.

    Examples
    --------
    >>> source = IteratorSource("fit", (np.ones((3, 2)) * i for i in range(10)), n_steps=2, batch_size=5)
    >>> [batch.rows[:, 0].tolist() for batch in source.batches(5, seed=0)]
    [[0.0, 0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 2.0, 2.0, 3.0]]
    """

    def __init__(self, verb: str, batches: Iterable[Any], n_steps: int, batch_size: int) -> None:
        positive_int("n_steps", n_steps)
        self._verb, self._batches, self.n_steps, self._batch_size = verb, iter(batches), int(n_steps), batch_size
        self.n_rounds = min(_ROUNDS, max(1, self.n_steps // _STEPS))
        self.n_given, self.ended, self._n_rows = 0, False, 0
        self._n_outputs: int | None = None
        self._waiting: deque[Batch] = deque()
        self._kept: deque[Batch] = deque()
        self._n_waiting = self._n_kept = self._bytes_kept = 0
        first = self._read()
        if first is None:
            raise ValueError(f"[{verb}] The iterator must give a batch of rows; it gave none.")
        self.n_features = first.rows.shape[1]
        self._statistics = Statistics(self.n_features)
        self._look_at_head(first)

    def _look_at_head(self, batch: Batch | None) -> None:
        n = 0
        while batch is not None:
            self._wait(batch)
            self._statistics.update(replace(batch, numbers=np.arange(n, n + batch.n_rows)))
            n += batch.n_rows
            batch = self._read() if n < min(_HEAD, self.n_steps * self._batch_size) else None

    def _read(self) -> Batch | None:
        """The next batch that has a row."""
        width = getattr(self, "n_features", None)
        for given in self._batches:
            rows = given.rows if isinstance(given, Batch) else given
            if len(np.shape(rows)) == 2 and not np.shape(rows)[0]:
                continue
            # The first batch says how wide rows are, and whether they must be centred.
            batch = Batch.of(check_rows(self._verb, rows, width, "as the first batch has", training=width is None))
            return self._beside(batch, given) if isinstance(given, Batch) else batch
        return None

    def _beside(self, batch: Batch, given: Batch) -> Batch:
        """With the target and the weights that were given, checked."""
        target, weight = given.target, given.weight
        if target is not None:
            with called("target"):
                target = check_rows(self._verb, target, self._n_outputs, "as the first target has")
            self._n_outputs = target.shape[1]
        if weight is not None:
            weight = np.asarray(weight, dtype=np.float32)
        for name, values in (("target", target), ("weight", weight)):
            if values is not None and values.shape[0] != batch.n_rows:
                n_rows, n_given = batch.n_rows, values.shape[0]
                raise ValueError(
                    f"[{self._verb}] {name} of a batch must be as many as its {n_rows} rows; got {n_given}."
                )
        return replace(batch, target=target, weight=weight)

    def __len__(self) -> int:
        return math.ceil(self.n_steps / self.n_rounds) * self._batch_size

    def __str__(self) -> str:
        return "the iterator"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows of a round, and features."""
        return len(self), self.n_features

    @property
    def column_names(self) -> None:
        """None are known."""
        return None

    @property
    def parts(self) -> Mapping[str, Part]:
        """One table."""
        rows = (self._kept or self._waiting)[0].rows
        return {TABLE: Part("csr" if sp.issparse(rows) else "dense", self.n_features)}

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The steps of the next round, whatever the seed; without one, the newest rows that were given.

        Parameters
        ----------
        batch_size : int
        seed : int, optional
        rank, world : int
        """
        check_worker(rank, world)
        given = self._again(batch_size) if seed is None else self._round(batch_size)
        return (share(batch, rank, world) for batch in given)

    def _round(self, batch_size: int) -> Iterator[Batch]:
        for _ in range(min(math.ceil(self.n_steps / self.n_rounds), self.n_steps - self.n_given)):
            batch = self._take(batch_size)
            if batch is None:
                return
            self.n_given += 1
            batch = replace(batch, numbers=np.arange(self._n_rows, self._n_rows + batch.n_rows))
            self._n_rows += batch.n_rows
            self._keep(batch)
            yield batch
        if self.n_given < self.n_steps:  # a next round must have a row
            self._fill(1)

    def _fill(self, n: int) -> None:
        """Read until ``n`` rows wait, or there are no more."""
        while not self.ended and self._n_waiting < n:
            batch = self._read()
            self.ended = batch is None
            if batch is not None:
                self._wait(batch)

    def _wait(self, batch: Batch) -> None:
        self._waiting.append(batch)
        self._n_waiting += batch.n_rows

    def _take(self, n: int) -> Batch | None:
        """The next ``n`` rows, or as many as there are."""
        self._fill(n)
        if not self._waiting:
            return None
        pieces, missing = [], n
        while self._waiting and missing:
            batch = self._waiting.popleft()
            pieces.append(batch[:missing])
            if batch.n_rows > missing:
                self._waiting.appendleft(batch[missing:])
            missing -= pieces[-1].n_rows
        self._n_waiting -= n - missing
        return Batch.stack(pieces)

    @property
    def exhausted(self) -> bool:
        """Whether no step is left."""
        return self.n_given >= self.n_steps or (self.ended and not self._waiting)

    def _keep(self, batch: Batch) -> None:
        self._kept.append(batch)
        self._n_kept, self._bytes_kept = self._n_kept + batch.n_rows, self._bytes_kept + n_bytes(batch.rows)
        # One batch stays, however large, so that there is something to measure.
        while len(self._kept) > 1 and (self._n_kept > _KEPT or self._bytes_kept > _KEPT_BYTES):
            old = self._kept.popleft()
            self._n_kept, self._bytes_kept = self._n_kept - old.n_rows, self._bytes_kept - n_bytes(old.rows)

    def _held(self) -> Batch:
        """What is kept, or what comes first as long as nothing was given."""
        if self._kept:
            return Batch.stack(list(self._kept))
        return Batch.stack(list(self._waiting))

    def _again(self, batch_size: int) -> Iterator[Batch]:
        held = self._held()
        for start in range(0, held.n_rows, batch_size):
            yield held[start : start + batch_size]

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` of the newest rows at random."""
        held = self._held()
        return held[np.sort(rng.choice(held.n_rows, min(n, held.n_rows), replace=False))]

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column in the first rows, float32."""
        return self._statistics.moments()

    @property
    def target(self) -> Rows | None:
        """That of the rows that are held; None where the rows are their own."""
        return self._held().target

    def target_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same of the target in the rows that are held, if there is one."""
        target = self.target
        return None if target is None else ArraySource(target).moments()

    def farthest(self) -> Farthest:
        """Of the first rows, the one farthest from the mean."""
        return self._statistics.farthest()

    def known(self) -> Known:
        """What is known of the rows that are held: all of it."""
        found = Known(self.n_features)
        found.update(self._held())
        return found

    def min(self) -> float:
        """The smallest value in the first rows."""
        return self._statistics.low

    def max(self) -> float:
        """The largest value in the first rows."""
        return self._statistics.high

    def split(self, fraction: float, seed: int) -> tuple[Any, Any]:
        """Not of rows that come once.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "[fit] early_stopping cannot hold out rows of an iterator, which come once. Give validation=, rows of "
            "their own, or set early_stopping=False."
        )

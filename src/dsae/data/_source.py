"""Sources of rows in batches: the protocol, and the source of rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from operator import getitem
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import TABLE, Batch, Field, Part, Rows, Take, drawn
from dsae.data._centring import check_moments
from dsae.data._check import pieces
from dsae.data._known import Known
from dsae.data._statistics import Farthest, Moments, dense_moments, extremes, sparse_moments, weighted_moments


@runtime_checkable
class Source(Protocol):
    """Rows to train a model on, in memory or elsewhere.

    `ArraySource` holds rows in memory, `StreamSource` reads them from files; both say all of this. A source of your
    own needs ``__len__``, ``n_features`` and ``batches(batch_size, seed)``: see `as_source`.
    """

    @property
    def parts(self) -> Mapping[str, Part]:
        """The parts of every row by name; a plain table is one part."""
        ...

    @property
    def n_features(self) -> int:
        """Columns of all parts."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def column_names(self) -> list[str] | None:
        """Of the features, where they are known."""
        ...

    def __len__(self) -> int:
        """Rows."""
        ...

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Batches of up to ``batch_size`` rows over all workers; a pure function of the arguments.

        Parameters
        ----------
        batch_size : int
            Of all workers together.
        seed : int, optional
            Shuffles the rows; without it they come in order.
        rank, world : int
            This worker gets every ``world``-th row of each batch, from row ``rank`` of the batch on. So every worker
            gets as many batches as the others, of which the last ones may be empty.

        Raises
        ------
        ValueError
            If ``rank`` is none of ``world`` workers.
        """
        ...

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32, of the values that are not NaN."""
        ...

    def farthest(self) -> Farthest | None:
        """The row farthest from the mean, if that is known without an extra pass."""
        ...

    def known(self) -> Known:
        """What is known of rows in which NaN stands for what is not."""
        ...

    def min(self) -> float:
        """The smallest value."""
        ...

    def max(self) -> float:
        """The largest value."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` distinct rows at random."""
        ...

    def split(self, fraction: float, seed: int) -> tuple[Source, Source]:
        """Two sources: the rows without about ``fraction`` of them, and those held out.

        Raises
        ------
        ValueError
            If one of the two would be empty.
        """
        ...


class ArraySource:
    """Rows in memory, dense or CSR.

    Parameters
    ----------
    X : ndarray or csr_matrix of float32, shape (n_samples, n_features)
        As `check_rows` returns it.
    column_names : sequence of str, optional
    ids, labels : ndarray, shape (n_samples,), optional
        Names and classes of the rows, which travel with them.
    fields : sequence of Field
        Named ranges of columns.
    numbers : ndarray of int64, shape (n_samples,), optional
        What the rows are numbered; by default 0, 1, 2 and so on.
    target : ndarray or csr_matrix of float32, shape (n_samples, n_outputs), optional
        What is to be predicted from the rows, if not the rows themselves.
    weight : ndarray of float32, shape (n_samples,), optional
        How much each row counts, in the loss, the mean and the spread.

    Examples
    --------
    >>> source = ArraySource(np.eye(3, dtype=np.float32), ids=np.array(["a", "b", "c"]))
    >>> [batch.ids.tolist() for batch in source.batches(2)]
    [['a', 'b'], ['c']]
    """

    def __init__(
        self,
        X: Rows,
        column_names: Sequence[str] | None = None,
        *,
        ids: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        fields: Sequence[Field] = (),
        numbers: np.ndarray | None = None,
        target: Rows | None = None,
        weight: np.ndarray | None = None,
    ) -> None:
        self.X, self._exact = X, None
        names = None if column_names is None else tuple(column_names)
        part = Part("csr" if sp.issparse(X) else "dense", X.shape[1], names, tuple(fields))
        self.parts: Mapping[str, Part] = {TABLE: part}
        self._all = Batch.of(X, numbers, ids=ids, labels=labels, target=target, weight=weight)
        for name in ("numbers", "ids", "labels", "target", "weight"):
            values = getattr(self._all, name)
            if values is not None and values.shape[0] != X.shape[0]:
                raise ValueError(f"{name} must be as many as the {X.shape[0]} rows; got {values.shape[0]}.")

    @classmethod
    def of(cls, batch: Batch, part: Part, exact: Callable[[np.ndarray], Iterable[Any]] | None = None) -> ArraySource:
        """The rows of a batch.

        Parameters
        ----------
        batch : Batch
        part : Part
            Names and fields of their columns.
        exact : callable, optional
            Maps column numbers to their values before the cast to float32, if these are available; see `moments`.
        """
        known = {"ids": batch.ids, "labels": batch.labels, "numbers": batch.numbers}
        known |= {"target": batch.target, "weight": batch.weight}
        source = cls(batch.rows, part.column_names, fields=part.fields, **known)
        source._exact = exact
        return source

    def beside(self, target: Rows | None, weight: np.ndarray | None) -> ArraySource:
        """The same rows with a target and weights, in place of their own where they are given."""
        target = self._all.target if target is None else target
        weight = self._all.weight if weight is None else weight
        return self._of(replace(self._all, target=target, weight=weight))

    def __len__(self) -> int:
        return self.X.shape[0]

    def __str__(self) -> str:
        return "X"

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return self.X.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self), self.n_features

    @property
    def column_names(self) -> list[str] | None:
        """Of the features, where they were given."""
        names = self.parts[TABLE].column_names
        return None if names is None else list(names)

    @property
    def rows(self) -> Batch:
        """All of them as one batch."""
        return self._all

    def min(self) -> float:
        """The smallest value."""
        return self._extremes[0]

    def max(self) -> float:
        """The largest value."""
        return self._extremes[1]

    @cached_property
    def _extremes(self) -> tuple[float, float]:
        return extremes(self.X)

    @cached_property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        values = self.X.data if sp.issparse(self.X) else self.X
        return all(bool(np.isfinite(piece).all()) for _, piece in pieces(values))

    def batches(
        self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1, *, take: Take = getitem
    ) -> Iterator[Batch]:
        """Batches of up to ``batch_size`` rows over all workers, of the kind that the data are; see `Source`.

        Parameters
        ----------
        batch_size : int
        seed : int, optional
        rank, world : int
        take : callable, optional
            Maps rows and numbers of some of them to these; by default by indexing.
        """
        return (self._all.taken(mine, take) for mine in drawn(len(self), batch_size, seed, rank, world))

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` distinct rows at random, in the order of the data."""
        return self._all[np.sort(rng.choice(len(self), min(n, len(self)), replace=False))]

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32; a CSR matrix is not densified.

        Raises
        ------
        ValueError
            If a column of a file is constant only in float32.
        """
        found = self._moments.mean.astype(np.float32), self._moments.deviation.astype(np.float32)
        if self._exact is not None:
            check_moments(*found, self._exact, self.column_names)
        return found

    @property
    def target(self) -> Rows | None:
        """What is predicted from the rows; None where that is the rows themselves."""
        return self._all.target

    def target_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same of every column of the target; None where the rows are their own."""
        return moments_of_target(self._all.target, self._all.weight)

    def farthest(self) -> Farthest:
        """The row farthest from the mean."""
        row, share = self._moments.farthest()
        return Farthest(int(self._all.numbers[row]), share)

    def known(self) -> Known:
        """What is known of rows in which NaN stands for what is not."""
        return self._known

    @cached_property
    def _known(self) -> Known:
        found = Known(self.n_features)
        found.update(self._all)
        return found

    @cached_property
    def _moments(self) -> Moments:
        if self._all.weight is not None:
            return weighted_moments(self.X, self._all.weight)
        return sparse_moments(self.X) if sp.issparse(self.X) else dense_moments(self.X)

    def split(self, fraction: float, seed: int) -> tuple[ArraySource, ArraySource]:
        """Two sources: the rows without a random ``fraction`` of them, and those held out, at least one.

        Raises
        ------
        ValueError
            If one of the two would be empty.
        """
        kept, held_out = divided(len(self), fraction, seed)
        return self._of(self._all[kept]), self._of(self._all[held_out])

    def _of(self, batch: Batch) -> ArraySource:
        return ArraySource.of(batch, self.parts[TABLE], self._exact)


def divided(n: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows that are kept, and of a random ``fraction`` of all, at least one, that are held out.

    Raises
    ------
    ValueError
        If one of the two would be empty.
    """
    n_held_out = max(1, round(fraction * n))
    if n_held_out >= n:
        raise ValueError(f"[fit] early_stopping needs rows for training and for validation; got {n} in all.")
    order = np.random.default_rng(seed).permutation(n)
    return order[n_held_out:], order[:n_held_out]


def moments_of_target(target: Rows | None, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation of every column of a target in memory, if there is one."""
    return None if target is None else ArraySource(target, weight=weight).moments()

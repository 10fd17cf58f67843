"""A batch of rows with everything that belongs to them, and a description of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import getitem
from typing import Any

import numpy as np
import scipy.sparse as sp

# float32 ndarray or csr_matrix; scipy's annotations lack methods of both
Rows = Any
Take = Callable[[Any, Any], Any]
TABLE = "X"  # name of the only part of a plain table


@dataclass(frozen=True)
class Field:
    """A range of columns that belong together, such as the pixels of an image or a gene panel.

    Parameters
    ----------
    name : str
    start, stop : int
        Columns ``start:stop`` of its part.
    shape : tuple of int, optional
        Of one row's values, in C order; by default ``(stop - start,)``.

    Raises
    ------
    ValueError
        If the shape does not hold ``stop - start`` values.
    """

    name: str
    start: int
    stop: int
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        n = self.stop - self.start
        shape = tuple(self.shape) or (n,)
        if self.start < 0 or n < 1 or prod(shape) != n:
            raise ValueError(
                f"Field {self.name!r} must have a shape of as many values as columns {self.start}:{self.stop}; got "
                f"{shape}."
            )
        object.__setattr__(self, "shape", shape)


@dataclass(frozen=True)
class Part:
    """One kind of measurement of every row: a matrix of its own.

    Parameters
    ----------
    kind : {"dense", "csr"}
    n_features : int
    column_names : sequence of str, optional
    fields : sequence of Field
        Named ranges of its columns.

    Raises
    ------
    ValueError
        If the kind is unknown, or names or fields do not fit the number of columns.
    """

    kind: str
    n_features: int
    column_names: tuple[str, ...] | None = None
    fields: tuple[Field, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("dense", "csr"):
            raise ValueError(f"kind must be 'dense' or 'csr'; got {self.kind!r}.")
        names = None if self.column_names is None else tuple(self.column_names)
        if names is not None and len(names) != self.n_features:
            raise ValueError(f"column_names must hold {self.n_features} names, one per column; got {len(names)}.")
        for field in self.fields:
            if field.stop > self.n_features:
                raise ValueError(f"Field {field.name!r} must end within {self.n_features} columns; got {field.stop}.")
        object.__setattr__(self, "column_names", names)
        object.__setattr__(self, "fields", tuple(self.fields))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a source.

    Parameters
    ----------
    parts : mapping of str to ndarray or csr_matrix of float32, shape (n_rows, n_features of the part)
        The measurements by name; a plain table is one part.
    numbers : ndarray of int64, shape (n_rows,)
        Which rows of the data these are, counted from 0.
    present : mapping of str to ndarray of bool, shape (n_rows,), optional
        Which rows have a part; parts not named here are there for all rows. Rows without a part hold zeros in it.
    ids, labels : ndarray, shape (n_rows,), optional
        Names and classes of the rows, if the source has them.
    target : ndarray or csr_matrix, optional
        What is to be predicted, if not the rows themselves.
    known : ndarray of float32 or csr_matrix, optional
        Weights of the values of the target, 0 for those that are not known; of a CSR target a matrix with the same
        stored places, beside which all values weigh 1.
    weight : ndarray of float32, shape (n_rows,), optional
        How much each row counts.

    Examples
    --------
    >>> batch = Batch.of(np.eye(3, dtype=np.float32), np.arange(3))
    >>> batch.n_rows, batch[1:].rows.shape, batch[1:].numbers.tolist()
    (3, (2, 3), [1, 2])
    """

    parts: Mapping[str, Rows]
    numbers: np.ndarray
    present: Mapping[str, np.ndarray] | None = None
    ids: np.ndarray | None = None
    labels: np.ndarray | None = None
    target: Any = None
    known: Any = None
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Rows, numbers: np.ndarray | None = None, **more: Any) -> Batch:
        """A batch of a plain table, by default of its first rows."""
        return cls({TABLE: rows}, np.arange(rows.shape[0]) if numbers is None else numbers, **more)

    @property
    def n_rows(self) -> int:
        """How many rows there are, which may be none."""
        return next(iter(self.parts.values())).shape[0]

    @property
    def rows(self) -> Rows:
        """The only part.

        Raises
        ------
        ValueError
            If there are several.
        """
        if len(self.parts) != 1:
            raise ValueError(f"A batch of several parts has no rows of its own; take one of {', '.join(self.parts)}.")
        return next(iter(self.parts.values()))

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, chosen: slice | np.ndarray) -> Batch:
        """The rows chosen, with all that belongs to them."""
        return self.taken(chosen, getitem)

    def taken(self, chosen: slice | np.ndarray, take: Take) -> Batch:
        """The same with ``take(rows, chosen)`` for matrices of rows."""
        present = self.present
        ids, labels, target, known, weight = self._by_row
        ids, labels, weight = (None if values is None else values[chosen] for values in (ids, labels, weight))
        target, known = (None if rows is None else take(rows, chosen) for rows in (target, known))
        return Batch(
            {name: take(rows, chosen) for name, rows in self.parts.items()},
            self.numbers[chosen],
            None if present is None else {name: values[chosen] for name, values in present.items()},
            ids,
            labels,
            target,
            known,
            weight,
        )

    @property
    def _by_row(self) -> tuple[Any, ...]:
        return self.ids, self.labels, self.target, self.known, self.weight

    @staticmethod
    def stack(batches: Sequence[Batch]) -> Batch:
        """One batch of several, one after another."""
        if len(batches) == 1:
            return batches[0]
        present = [batch.present for batch in batches if batch.present is not None]
        return Batch(
            {name: stacked([batch.parts[name] for batch in batches]) for name in batches[0].parts},
            np.concatenate([batch.numbers for batch in batches]),
            {name: stacked([has[name] for has in present]) for name in present[0]} if present else None,
            *(
                None if any(value is None for value in values) else stacked(values)
                for values in zip(*(batch._by_row for batch in batches), strict=True)
            ),
        )


def check_worker(rank: int, world: int) -> None:
    """Raise unless there is such a worker."""
    if not 0 <= rank < world:
        raise ValueError(f"rank must be 0 to {world - 1}, one of {world} workers; got {rank}.")


def drawn(n: int, batch_size: int, seed: int | None, rank: int, world: int) -> Iterator[slice | np.ndarray]:
    """Which of ``n`` rows each batch of a worker has: in order, or shuffled by the seed."""
    check_worker(rank, world)
    order = None if seed is None else np.random.default_rng(seed).permutation(n)
    for start in range(0, n, batch_size):
        mine = slice(start + rank, min(start + batch_size, n), world)
        yield mine if order is None else order[mine]


def share(batch: Batch, rank: int, world: int) -> Batch:
    """The share of worker ``rank`` of ``world`` in a batch of all: every ``world``-th row, perhaps none."""
    return batch if world == 1 else batch[rank::world]  # so that shares differ by one row at most


def stacked(pieces: Sequence[Any]) -> Any:
    """Dense or CSR pieces as one."""
    if len(pieces) == 1:
        return pieces[0]
    return sp.vstack(pieces, format="csr") if sp.issparse(pieces[0]) else np.concatenate(pieces)

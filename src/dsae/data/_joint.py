"""Rows of several modalities, of which a row may lack some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import scipy.sparse as sp

from dsae.config import listed
from dsae.data._batch import Batch, Part, Rows, drawn
from dsae.data._source import ArraySource, divided


class JointSource:
    """Rows of several modalities in memory.

    Parameters
    ----------
    rows : mapping of str to ndarray or csr_matrix of float32, shape (n_samples, n_features of the modality)
        What a row that lacks a modality holds there does not matter.
    present : mapping of str to ndarray of bool, shape (n_samples,), optional
        Which rows have a modality; those not named are there for all rows.
    parts : mapping of str to Part, optional
        What the columns are.
    ids, labels : ndarray, shape (n_samples,), optional
    numbers : ndarray of int64, shape (n_samples,), optional
        What the rows are numbered; by default 0, 1, 2 and so on.

    Examples
    --------
    >>> rows = {"image": np.ones((3, 4), np.float32), "text": np.ones((3, 2), np.float32)}
    >>> source = JointSource(rows, {"text": np.array([True, False, True])})
    >>> batch = next(source.batches(2))
    >>> batch.parts["text"].tolist(), batch.present["text"].tolist()
    ([[1.0, 1.0], [0.0, 0.0]], [True, False])
    """

    def __init__(
        self,
        rows: Mapping[str, Rows],
        present: Mapping[str, np.ndarray] | None = None,
        *,
        parts: Mapping[str, Part] | None = None,
        ids: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> None:
        n = next(iter(rows.values())).shape[0]
        some = {name: np.asarray(has, bool) for name, has in (present or {}).items()}
        self.rows, self.present = dict(rows), {name: has for name, has in some.items() if not has.all()}
        self.numbers = np.arange(n) if numbers is None else numbers
        self.ids, self.labels = ids, labels
        known = dict(parts or {})
        self.parts: Mapping[str, Part] = {
            name: known.get(name) or Part("csr" if sp.issparse(X) else "dense", X.shape[1]) for name, X in rows.items()
        }

    def __len__(self) -> int:
        return self.numbers.size

    def __str__(self) -> str:
        return f"X of {listed(self.parts)}"

    @property
    def n_features(self) -> int:
        """Columns of all modalities together."""
        return sum(part.n_features for part in self.parts.values())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns of all modalities together."""
        return len(self), self.n_features

    @property
    def column_names(self) -> None:
        """None: each of `parts` has its own."""
        return None

    def has(self, name: str) -> np.ndarray:
        """Which rows have a modality, bool ``[n_samples]``."""
        return self.present.get(name, np.ones(len(self), bool))

    def of(self, name: str) -> ArraySource:
        """The rows of one modality that are there."""
        rows, part = self.rows[name], self.parts[name]
        rows = rows[self.present[name]] if name in self.present else rows
        return ArraySource(rows, part.column_names, fields=part.fields)

    def only(self, names: Sequence[str]) -> JointSource:
        """The same rows with some of their modalities; rows may then have none."""
        rows, present = {name: self.rows[name] for name in names}, {k: v for k, v in self.present.items() if k in names}
        return JointSource(rows, present, parts=self.parts, ids=self.ids, labels=self.labels, numbers=self.numbers)

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Batches of several parts, with which rows have each; see `Source`."""
        return (self._batch(mine) for mine in drawn(len(self), batch_size, seed, rank, world))

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` distinct rows at random, in the order of the data."""
        return self._batch(np.sort(rng.choice(len(self), min(n, len(self)), replace=False)))

    def split(self, fraction: float, seed: int) -> tuple[JointSource, JointSource]:
        """Two sources: the rows without a random ``fraction`` of them, and those held out, at least one.

        Raises
        ------
        ValueError
            If one of the two would be empty.
        """
        kept, held_out = divided(len(self), fraction, seed)
        return self[kept], self[held_out]

    def __getitem__(self, chosen: np.ndarray | slice) -> JointSource:
        """Some of the rows."""
        return JointSource(
            {name: X[chosen] for name, X in self.rows.items()},
            {name: has[chosen] for name, has in self.present.items()},
            parts=self.parts,
            ids=None if self.ids is None else self.ids[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            numbers=self.numbers[chosen],
        )

    def _batch(self, chosen: np.ndarray | slice) -> Batch:
        present = {name: has[chosen] for name, has in self.present.items()}
        return Batch(
            {name: _blanked(X[chosen], present.get(name)) for name, X in self.rows.items()},
            self.numbers[chosen],
            present or None,
            None if self.ids is None else self.ids[chosen],
            None if self.labels is None else self.labels[chosen],
        )


def _blanked(rows: Rows, has: np.ndarray | None) -> Rows:
    """Zeros in rows that lack the part."""
    if has is None or has.all():
        return rows
    if not sp.issparse(rows):
        return np.where(has[:, None], rows, np.float32(0))
    sizes = np.diff(rows.indptr)
    kept, indptr = np.repeat(has, sizes), np.concatenate([[0], np.cumsum(sizes * has)]).astype(rows.indptr.dtype)
    return sp.csr_matrix((rows.data[kept], rows.indices[kept], indptr), shape=rows.shape)


def never_together(source: JointSource) -> list[tuple[str, str]]:
    """Pairs of modalities that no row has both of: nothing ties their codes."""
    pairs = combinations(source.parts, 2)
    return [(one, other) for one, other in pairs if not (source.has(one) & source.has(other)).any()]

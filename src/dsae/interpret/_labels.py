"""Which latents fire in the rows of which label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_MOST_CELLS = 2**25  # labels times latents: 512 MiB of counts and sums


@dataclass(frozen=True)
class Enrichment:
    """A label in whose rows a latent fires more often than in others.

    Attributes
    ----------
    label : object
    count : int
        Rows of the label in which the latent fires.
    n_rows : int
        Rows of the label.
    rate : float
        ``count / n_rows``.
    lift : float
        That rate over the latent's rate in all rows.
    share : float
        Of the rows in which the latent fires, those that have the label.
    association : float
        Phi, the correlation of "fires" and "has the label", in [-1, 1]. It decides the order: a lift is largest where
        a latent fires once.
    """

    label: Any
    count: int
    n_rows: int
    rate: float
    lift: float
    share: float
    association: float


class LabelCounts:
    """Firings and sums of codes by label, added batch by batch.

    Parameters
    ----------
    n_components : int

    Attributes
    ----------
    n_labelled : int
        Rows that have a label.
    """

    def __init__(self, n_components: int) -> None:
        self.n_components, self.n_labelled = n_components, 0
        self._places: dict[Any, int] = {}
        self._n_rows = np.zeros(0, np.int64)
        self._fired, self._sums = np.zeros((0, n_components), np.int64), np.zeros((0, n_components))

    def add(
        self, rows: np.ndarray, latents: np.ndarray, values: np.ndarray, labels: Any, fires: np.ndarray | None = None
    ) -> None:
        """Add the codes of some rows.

        Parameters
        ----------
        rows, latents : ndarray of int, shape (nnz,)
            Places within these rows, and latents.
        values : ndarray of float64, shape (nnz,)
        labels : array-like, shape (n_rows,)
            None or NaN where a row has none.
        fires : ndarray of bool, shape (nnz,), optional
            Which of the values are counted; all by default. The sums are of all.

        Raises
        ------
        ValueError
            If there are too many different labels to count.
        """
        places = np.array([self._place(label) for label in np.asarray(labels, dtype=object).tolist()], np.int64)
        self._grow()
        has = places >= 0
        self.n_labelled += int(has.sum())
        np.add.at(self._n_rows, places[has], 1)
        at = places[rows]
        some = at >= 0
        np.add.at(self._sums, (at[some], latents[some]), values[some])
        counted = some if fires is None else some & fires
        np.add.at(self._fired, (at[counted], latents[counted]), 1)

    @property
    def classes(self) -> list[Any]:
        """The labels, sorted: the order of all arrays here."""
        try:
            return sorted(self._places)
        except TypeError:  # numbers and texts
            return sorted(self._places, key=lambda label: (type(label).__name__, str(label)))

    @property
    def n_rows(self) -> np.ndarray:
        """Rows of each label, int64 ``[n_labels]``."""
        return self._n_rows[self._order]

    @property
    def fired(self) -> np.ndarray:
        """Rows of each label in which each latent fires, int64 ``[n_labels, n_components]``."""
        return self._fired[self._order]

    @property
    def sums(self) -> np.ndarray:
        """Sums of the codes over the rows of each label, float64 ``[n_labels, n_components]``."""
        return self._sums[self._order]

    @property
    def rates(self) -> np.ndarray:
        """Share of a label's rows in which each latent fires, float64 ``[n_labels, n_components]``."""
        return self.fired / self.n_rows[:, None]

    @property
    def lift(self) -> np.ndarray:
        """`rates` over the rate in all rows that have a label; NaN for a latent that never fires in them."""
        in_all = self._fired.sum(axis=0) / max(self.n_labelled, 1)
        return self.rates / np.where(in_all > 0, in_all, np.nan)

    def enriched(self, latent: int, n: int | None = None) -> list[Enrichment]:
        """The labels in whose rows a latent fires more often than chance has it, most associated first.

        Parameters
        ----------
        latent : int
        n : int, optional
            How many at most.

        Returns
        -------
        list of Enrichment
        """
        order, classes = self._order, self.classes
        count, rows = self._fired[order, latent], self._n_rows[order]
        total = int(count.sum())
        phi = association(count, rows, total, self.n_labelled)
        found = []
        for at in np.argsort(-phi, kind="stable")[:n]:
            if not phi[at] > 0:
                break
            rate = count[at] / rows[at]
            lift = rate / (total / self.n_labelled)
            shown = int(count[at]), int(rows[at]), float(rate), float(lift), float(count[at] / total), float(phi[at])
            found.append(Enrichment(classes[at], *shown))
        return found

    @property
    def _order(self) -> np.ndarray:
        return np.array([self._places[label] for label in self.classes], np.int64)

    def _place(self, label: Any) -> int:
        if label is None or (isinstance(label, float) and math.isnan(label)):
            return -1
        return self._places.setdefault(label, len(self._places))

    def _grow(self) -> None:
        n = len(self._places)
        if n * self.n_components > _MOST_CELLS:
            raise ValueError(
                f"[describe] labels must be at most {_MOST_CELLS // self.n_components} different ones for "
                f"{self.n_components} latents; got more. Give classes, not names or numbers of rows."
            )
        if n > len(self._n_rows):
            more = max(n, min(2 * len(self._n_rows), 64)) - len(self._n_rows)
            self._n_rows = np.concatenate([self._n_rows, np.zeros(more, np.int64)])
            self._fired = np.concatenate([self._fired, np.zeros((more, self.n_components), np.int64)])
            self._sums = np.concatenate([self._sums, np.zeros((more, self.n_components))])


def association(joint: Any, first: Any, second: Any, n: int) -> np.ndarray:
    """Phi, the correlation of two events in ``n`` rows, from how often they occur together and alone.

    Bounded by -1 and 1 and near 0 for events that coincided once, unlike the lift. 0 where one of them never or always
    happens.

    Examples
    --------
    >>> association(np.array([10, 5]), 10, np.array([10, 50]), 100)
    array([1., 0.])
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    spread = np.sqrt(first * (n - first) * second * (n - second))
    return np.where(spread > 0, (np.asarray(joint) * float(n) - first * second) / np.where(spread > 0, spread, 1), 0.0)

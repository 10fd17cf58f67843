"""What is known of rows in which NaN stands for a value that is not."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._check import pieces


class Known:
    """Range of every column, and rows of which nothing is known; a CSR matrix is not densified.

    Parameters
    ----------
    n_features : int

    Attributes
    ----------
    low, high : ndarray of float32, shape (n_features,)
        The smallest and the largest known value; infinity and minus infinity where none is.
    n_unknown : int
        Values that are not known.
    n_blank : int
        Rows without a known value.
    first_blank : int or None
        Number of the first of them.

    Examples
    --------
    >>> rows = np.array([[1, np.nan], [3, np.nan], [np.nan, np.nan]], np.float32)
    >>> known = Known(2)
    >>> known.update(Batch.of(rows))
    >>> known.low.tolist(), known.high.tolist(), known.columns.tolist(), known.first_blank
    ([1.0, inf], [3.0, -inf], [True, False], 2)
    """

    def __init__(self, n_features: int) -> None:
        self.low, self.high = np.full(n_features, np.inf, np.float32), np.full(n_features, -np.inf, np.float32)
        self.n_unknown = self.n_blank = 0
        self.first_blank: int | None = None

    @property
    def columns(self) -> np.ndarray:
        """Which columns have a known value, bool ``[n_features]``."""
        return self.low <= self.high

    def update(self, batch: Batch) -> None:
        """Add rows."""
        rows, n_unknown = batch.rows, np.zeros(batch.n_rows, np.int64)
        if sp.issparse(rows):
            self._see_sparse(rows)
            at = np.flatnonzero(np.isnan(rows.data))
            if at.size:
                n_unknown += np.bincount(np.searchsorted(rows.indptr, at, side="right") - 1, minlength=batch.n_rows)
        else:
            for start, piece in pieces(rows):
                self.low = np.fmin(self.low, np.fmin.reduce(piece, axis=0))
                self.high = np.fmax(self.high, np.fmax.reduce(piece, axis=0))
                n_unknown[start : start + len(piece)] = np.isnan(piece).sum(axis=1)
        self.n_unknown += int(n_unknown.sum())
        blank = np.flatnonzero(n_unknown == rows.shape[1])
        if blank.size and self.first_blank is None:
            self.first_blank = int(batch.numbers[blank[0]])
        self.n_blank += blank.size

    def merge(self, other: Known) -> None:
        """Add what is known of other rows."""
        self.low, self.high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        self.n_unknown, self.n_blank = self.n_unknown + other.n_unknown, self.n_blank + other.n_blank
        firsts = [first for first in (self.first_blank, other.first_blank) if first is not None]
        self.first_blank = min(firsts, default=None)

    def _see_sparse(self, rows: Rows) -> None:
        np.fmin.at(self.low, rows.indices, rows.data)
        np.fmax.at(self.high, rows.indices, rows.data)
        # Columns with a value that is not stored.
        zeros = np.bincount(rows.indices, minlength=rows.shape[1]) < rows.shape[0]
        self.low[zeros], self.high[zeros] = np.fmin(self.low[zeros], 0), np.fmax(self.high[zeros], 0)

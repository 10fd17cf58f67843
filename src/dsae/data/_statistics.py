"""What one pass over all rows tells: mean and spread, smallest and largest value, and some rows at random."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._check import pieces

_SAMPLE_BYTES = 1 << 24  # 16 MiB of rows kept from the pass, but within these numbers of rows:
_LEAST_SAMPLE, _LARGEST_SAMPLE = 512, 4096  # what importances (512) and reports (4096) ask for


class Farthest(NamedTuple):
    """The row farthest from the mean.

    Attributes
    ----------
    number : int
        Its number in the data.
    share : float
        Of the squared deviation of all rows, in [0, 1].
    """

    number: int
    share: float


class Moments(NamedTuple):
    """Of some rows, float64: mean and sum of squared deviations of every column, and the farthest row."""

    mean: np.ndarray
    square: np.ndarray
    row: int
    row_square: float

    def farthest(self) -> Farthest:
        """With its share of all."""
        total = self.square.sum()
        return Farthest(self.row, float(min(1.0, self.row_square / total)) if total > 0 else 0.0)


class Statistics:
    """Moments merged chunk by chunk (Chan, Golub & LeVeque 1979) in float64; a CSR chunk is not densified.

    Parameters
    ----------
    n_features : int
    """

    def __init__(self, n_features: int) -> None:
        self.n, self.low, self.high = 0, np.inf, -np.inf
        self._mean, self._square = np.zeros(n_features), np.zeros(n_features)
        self._row, self._row_square = 0, -1.0  # so that a row is found even if all are equal
        self._rng = np.random.default_rng(0)  # a pass over the same rows keeps the same sample
        self._keys: np.ndarray = np.zeros(0)
        self._kept: list[Batch] = []

    def update(self, batch: Batch) -> None:
        """Add rows."""
        rows, n_new = batch.rows, batch.n_rows
        mean, square, row, row_square = sparse_moments(rows) if sp.issparse(rows) else _quick_moments(rows)
        if row_square > self._row_square:
            self._row, self._row_square = int(batch.numbers[row]), row_square
        step, total = mean - self._mean, self.n + n_new
        self._square += square + step**2 * (self.n * n_new / total)
        self._mean += step * (n_new / total)
        self.n = total
        self.low, self.high = min(self.low, float(rows.min())), max(self.high, float(rows.max()))
        self._keep(batch)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32."""
        return self._mean.astype(np.float32), np.sqrt(self._square / self.n).astype(np.float32)

    def farthest(self) -> Farthest:
        """The row farthest from the mean of those that came with it."""
        return Moments(self._mean, self._square, self._row, self._row_square).farthest()

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` rows at random, of some thousand that were kept of the pass, each as likely as any."""
        kept = Batch.stack(self._kept)
        return kept[rng.permutation(kept.n_rows)[:n]]

    def _keep(self, batch: Batch) -> None:
        """The rows with the smallest of random keys, so that every row has the same chance (Efraimidis 2006)."""
        each = max(1, n_bytes(batch.rows) // batch.n_rows)
        most = min(_LARGEST_SAMPLE, max(_LEAST_SAMPLE, _SAMPLE_BYTES // each))
        keys = self._rng.random(batch.n_rows)
        bound = self._keys.max() if self._keys.size >= most else np.inf
        chosen = np.flatnonzero(keys < bound)
        if not chosen.size:
            return
        self._keys, self._kept = np.append(self._keys, keys[chosen]), [*self._kept, batch[chosen]]
        if self._keys.size > most:
            best = np.sort(np.argpartition(self._keys, most)[:most])
            self._keys, self._kept = self._keys[best], [Batch.stack(self._kept)[best]]


def n_bytes(rows: Any) -> int:
    """What they take in memory."""
    return rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes if sp.issparse(rows) else rows.nbytes


def dense_moments(rows: np.ndarray) -> Moments:
    """Of rows in memory, some at a time."""
    mean = rows.mean(axis=0, dtype=np.float64)
    square, row, row_square = np.zeros(rows.shape[1]), 0, -1.0
    for start, piece in pieces(rows):
        deviations = np.square(piece - mean)
        square += deviations.sum(axis=0)
        of_rows = deviations.sum(axis=1)
        if of_rows.max() > row_square:
            row, row_square = start + int(of_rows.argmax()), float(of_rows.max())
    return Moments(mean, square, row, row_square)


def _quick_moments(rows: np.ndarray) -> Moments:
    mean = rows.mean(axis=0, dtype=np.float64)
    near = mean.astype(np.float32)  # ten times as fast as differences in float64; what rounding adds is taken off
    deviations = np.square(rows - near)
    square = deviations.sum(axis=0, dtype=np.float64)
    of_rows = deviations.sum(axis=1)
    row = int(of_rows.argmax())
    return Moments(mean, np.maximum(square - len(rows) * (mean - near) ** 2, 0), row, float(of_rows[row]))


def sparse_moments(rows: Rows) -> Moments:
    """Of CSR rows, some values at a time."""
    n, width = rows.shape
    sums, counts = np.zeros(width), np.zeros(width)
    for start, values in pieces(rows.data):
        columns = rows.indices[start : start + len(values)]
        sums += np.bincount(columns, values, width)
        counts += np.bincount(columns, minlength=width)
    mean = sums / n
    # values that are not stored are zero, so they deviate by the mean; rows start as if all of theirs were
    square, of_rows = (n - counts) * mean**2, np.full(n, mean @ mean)
    for start, values in pieces(rows.data):
        columns = rows.indices[start : start + len(values)]
        deviations = (values - mean[columns]) ** 2
        square += np.bincount(columns, deviations, width)
        ends = np.clip(rows.indptr, start, start + len(values))
        at = np.repeat(np.arange(n), np.diff(ends))
        of_rows += np.bincount(at, deviations - mean[columns] ** 2, n)
    row = int(of_rows.argmax())
    return Moments(mean, square, row, float(of_rows[row]))

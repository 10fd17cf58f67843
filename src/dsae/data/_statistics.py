"""What one pass over all rows tells: mean and spread, smallest and largest value, and some rows at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._check import pieces

_SAMPLE_BYTES = 1 << 24
_LEAST_SAMPLE, _LARGEST_SAMPLE = 512, 4096


class Statistics:
    """Moments merged chunk by chunk (Chan, Golub & LeVeque 1979) in float64; a CSR chunk is not densified.

    Parameters
    ----------
    n_features : int
    """

    def __init__(self, n_features: int) -> None:
        self.n, self.low, self.high = 0, np.inf, -np.inf
        self._mean, self._square = np.zeros(n_features), np.zeros(n_features)
        self._rng = np.random.default_rng(0)
        self._keys: np.ndarray = np.zeros(0)
        self._kept: list[Batch] = []

    def update(self, batch: Batch) -> None:
        """Add rows."""
        rows, n_new = batch.rows, batch.n_rows
        mean, square = sparse_moments(rows) if sp.issparse(rows) else _quick_moments(rows)
        step, total = mean - self._mean, self.n + n_new
        self._square += square + step**2 * (self.n * n_new / total)
        self._mean += step * (n_new / total)
        self.n = total
        self.low, self.high = min(self.low, float(rows.min())), max(self.high, float(rows.max()))
        self._keep(batch)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32."""
        return self._mean.astype(np.float32), np.sqrt(self._square / self.n).astype(np.float32)

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


def dense_moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squared deviations of every column, float64."""
    mean = rows.mean(axis=0, dtype=np.float64)
    square = np.zeros(rows.shape[1])
    for _, piece in pieces(rows):
        square += np.square(piece - mean).sum(axis=0)
    return mean, square


def _quick_moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = rows.mean(axis=0, dtype=np.float64)
    near = mean.astype(np.float32)  # ten times as fast as differences in float64; what rounding adds is taken off
    square = np.square(rows - near).sum(axis=0, dtype=np.float64)
    return mean, np.maximum(square - len(rows) * (mean - near) ** 2, 0)


def sparse_moments(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The same of CSR rows, a few values at a time."""
    n, width = rows.shape
    sums, square, counts = np.zeros(width), np.zeros(width), np.zeros(width)
    for start, values in pieces(rows.data):
        columns = rows.indices[start : start + len(values)]
        sums += np.bincount(columns, values, width)
        counts += np.bincount(columns, minlength=width)
    mean = sums / n
    for start, values in pieces(rows.data):
        columns = rows.indices[start : start + len(values)]
        square += np.bincount(columns, (values - mean[columns]) ** 2, width)
    return mean, square + (n - counts) * mean**2

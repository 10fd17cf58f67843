"""What one pass over all rows tells: mean and spread, smallest and largest value, and some rows at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows

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
        self._kept: list[Any] = []

    def update(self, rows: Rows) -> None:
        """Add rows."""
        n_new = rows.shape[0]
        mean, square = _sparse_moments(rows) if sp.issparse(rows) else _dense_moments(rows)
        step, total = mean - self._mean, self.n + n_new
        self._square += square + step**2 * (self.n * n_new / total)
        self._mean += step * (n_new / total)
        self.n = total
        self.low, self.high = min(self.low, float(rows.min())), max(self.high, float(rows.max()))
        self._keep(rows)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32."""
        return self._mean.astype(np.float32), np.sqrt(self._square / self.n).astype(np.float32)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Up to ``n`` rows at random, of some thousand that were kept of the pass, each as likely as any."""
        kept = stacked(self._kept)
        return kept[rng.permutation(kept.shape[0])[:n]]

    def _keep(self, rows: Rows) -> None:
        """The rows with the smallest of random keys, so that every row has the same chance (Efraimidis 2006)."""
        each = max(1, n_bytes(rows) // rows.shape[0])
        most = min(_LARGEST_SAMPLE, max(_LEAST_SAMPLE, _SAMPLE_BYTES // each))
        keys = self._rng.random(rows.shape[0])
        bound = self._keys.max() if self._keys.size >= most else np.inf
        chosen = np.flatnonzero(keys < bound)
        if not chosen.size:
            return
        self._keys, self._kept = np.append(self._keys, keys[chosen]), [*self._kept, rows[chosen]]
        if self._keys.size > most:
            best = np.sort(np.argpartition(self._keys, most)[:most])
            self._keys, self._kept = self._keys[best], [stacked(self._kept)[best]]


def stacked(pieces: list[Any]) -> Rows:
    """Dense or CSR pieces as one."""
    if len(pieces) == 1:
        return pieces[0]
    return sp.vstack(pieces, format="csr") if sp.issparse(pieces[0]) else np.concatenate(pieces)


def n_bytes(rows: Any) -> int:
    """What they take in memory."""
    return rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes if sp.issparse(rows) else rows.nbytes


def _dense_moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = rows.mean(axis=0, dtype=np.float64)
    near = mean.astype(np.float32)  # ten times as fast as differences in float64; what rounding adds is taken off
    square = np.square(rows - near).sum(axis=0, dtype=np.float64)
    return mean, np.maximum(square - len(rows) * (mean - near) ** 2, 0)


def _sparse_moments(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    n, width = rows.shape
    values = rows.data.astype(np.float64)
    mean = np.bincount(rows.indices, values, width) / n
    square = np.bincount(rows.indices, (values - mean[rows.indices]) ** 2, width)
    return mean, square + (n - np.bincount(rows.indices, minlength=width)) * mean**2

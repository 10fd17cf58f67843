"""Mini-batches of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows


class ArraySource:
    """Rows in memory, dense or CSR; a batch is densified, the whole never.

    Parameters
    ----------
    X : ndarray or csr_matrix of float32, shape (n_samples, n_features)
        As `check_rows` returns it.
    """

    def __init__(self, X: Rows) -> None:
        self.X = X

    def __len__(self) -> int:
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return self.X.shape[1]

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[np.ndarray]:
        """Dense float32 batches of up to ``batch_size`` rows.

        Parameters
        ----------
        batch_size : int
        seed : int, optional
            Shuffles the rows; without it they come in order.
        rank, world : int
            This worker takes every ``world``-th row from ``rank`` on.
        """
        n = len(self)
        order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
        order = order[rank::world]
        for start in range(0, order.size, batch_size):
            chosen = (
                order[start : start + batch_size] if seed is not None or world > 1 else slice(start, start + batch_size)
            )
            yield self._dense(self.X[chosen])

    @staticmethod
    def _dense(rows: Rows) -> np.ndarray:
        return rows.toarray() if sp.issparse(rows) else rows

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32; a CSR matrix is not densified."""
        if not sp.issparse(self.X):
            return self.X.mean(axis=0, dtype=np.float64).astype(np.float32), self.X.std(
                axis=0, dtype=np.float64
            ).astype(np.float32)
        X = self.X.astype(np.float64)
        mean = np.asarray(X.mean(axis=0)).ravel()
        square = np.asarray(X.multiply(X).mean(axis=0)).ravel()
        return mean.astype(np.float32), np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` random rows, in order."""
        return self.X[np.sort(rng.choice(len(self), n, replace=False))]

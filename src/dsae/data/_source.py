"""Mini-batches of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows

_AT_ONCE = 1 << 22  # numbers of a CSR matrix, in float64


class ArraySource:
    """Rows in memory, dense or CSR.

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

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self), self.n_features

    def min(self) -> float:
        """The smallest value."""
        return float(self.X.min())

    def max(self) -> float:
        """The largest value."""
        return float(self.X.max())

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[Rows]:
        """Float32 batches of up to ``batch_size`` rows, of the kind that the data are.

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
            yield self.X[chosen]

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` distinct rows at random, in the order of the data."""
        return self.X[np.sort(rng.choice(len(self), n, replace=False))]

    @property
    def column_names(self) -> list[str] | None:
        """Of arrays none are known."""
        return None

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32; a CSR matrix is not densified."""
        if not sp.issparse(self.X):
            return self.X.mean(axis=0, dtype=np.float64).astype(np.float32), self.X.std(
                axis=0, dtype=np.float64
            ).astype(np.float32)
        n_rows, width = self.X.shape
        sums, squares = (np.zeros(width), np.zeros(width))
        for start in range(0, self.X.nnz, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            values, columns = self.X.data[part].astype(np.float64), self.X.indices[part]
            sums += np.bincount(columns, values, width)
            squares += np.bincount(columns, values**2, width)
        mean = sums / n_rows
        return mean.astype(np.float32), np.sqrt(np.maximum(squares / n_rows - mean**2, 0)).astype(np.float32)

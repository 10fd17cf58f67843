"""Mini-batches of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows, pieces


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
        mean, variance = _of_csr(self.X) if sp.issparse(self.X) else _of_array(self.X)
        return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def _of_array(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = X.mean(axis=0, dtype=np.float64)
    squares = np.zeros(X.shape[1])
    for _, piece in pieces(X):
        squares += np.square(piece - mean).sum(axis=0)
    return mean, squares / len(X)


def _of_csr(X: Rows) -> tuple[np.ndarray, np.ndarray]:
    n_rows, width = X.shape
    sums, squares = np.zeros(width), np.zeros(width)
    for start, piece in pieces(X.data):
        values, columns = piece.astype(np.float64), X.indices[start : start + len(piece)]
        sums += np.bincount(columns, values, width)
        squares += np.bincount(columns, values**2, width)
    mean = sums / n_rows
    return mean, np.maximum(squares / n_rows - mean**2, 0)

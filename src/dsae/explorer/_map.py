"""Maps: points in a plane, near each other where atoms or codes are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.interpret import similar

METHOD = (
    "The ten nearest by cosine attract each other, points drawn at random repel, as in UMAP (McInnes et al. 2018). "
    "They start from two principal directions. Distances between groups mean nothing."
)
_NEIGHBOURS = 10
_ROUNDS = 120
_REPELLED = 4  # points by which each is repelled in a round
_POWER_ITERATIONS = 30
_RANGE = 65535
_EXACT_UP_TO = 2e10  # multiplications for all cosines, a second; beyond, by random projections


def layout(rows: Any, nearest: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Positions ``[n, 2]`` in 0..65535 of rows; those of zeros lie at 0, 0.

    Each step moves all points at once and in one order, so that the result is the same for any number of threads.

    Parameters
    ----------
    rows : csr_matrix or ndarray, shape (n, width)
    nearest : ndarray of int, shape (n, n_neighbours), optional
        Nearest rows of each, -1 where there are fewer.
    seed : int

    Returns
    -------
    ndarray of int64, shape (n, 2)
    """
    n = rows.shape[0]
    if sp.issparse(rows):
        filled = np.asarray(rows.multiply(rows).sum(axis=1)).ravel() > 0
    else:
        filled = np.square(rows).sum(axis=1) > 0
    some = np.flatnonzero(filled)
    out = np.zeros((n, 2), np.int64)
    if some.size < 3:
        out[some] = _RANGE // 2
        return out
    if nearest is None:
        nearest = similar(rows, _NEIGHBOURS, exact=n * n * rows.shape[1] <= _EXACT_UP_TO).latents
    place = np.full(n, -1)
    place[some] = np.arange(some.size)
    near = place[np.where(nearest < 0, 0, nearest)][some]
    near[(nearest < 0)[some]] = -1
    points = _moved(_principal(rows[some], seed), near, seed)
    low, high = points.min(axis=0), points.max(axis=0)
    wide = np.where(high > low, high - low, 1.0).max()
    out[some] = np.rint((points - (low + high) / 2) / wide * (_RANGE - 2) + _RANGE / 2).astype(np.int64)
    return out


def _principal(rows: Any, seed: int) -> np.ndarray:
    """Coordinates along two principal directions of unit rows, by power iteration, with spread 1."""
    if not sp.issparse(rows):
        rows = np.asarray(rows, np.float64)
    squares = rows.multiply(rows).sum(axis=1) if sp.issparse(rows) else np.square(rows).sum(axis=1)
    norms = np.sqrt(np.asarray(squares, np.float64).ravel())
    unit: Any = sp.csr_matrix(sp.diags(1 / norms) @ sp.csr_matrix(rows, dtype=np.float64))
    across = unit.T.tocsr()
    mean = np.asarray(unit.sum(axis=0)).ravel() / unit.shape[0]
    directions = np.random.default_rng(seed).standard_normal((2, unit.shape[1]))
    for _ in range(_POWER_ITERATIONS):
        for i in range(2):
            along = unit @ directions[i] - (mean * directions[i]).sum()
            found = across @ along - mean * along.sum()
            if i:
                found -= directions[0] * (directions[0] * found).sum()
            norm = np.sqrt(np.square(found).sum())
            directions[i] = found / norm if norm > 0 else 0
    points = np.stack([unit @ direction - (mean * direction).sum() for direction in directions], axis=1)
    # Rows that coincide would stay together for ever.
    points += 1e-4 * np.random.default_rng(seed).standard_normal(points.shape)
    spread = points.std(axis=0)
    return points / np.where(spread > 0, spread, 1)


def _moved(points: np.ndarray, near: np.ndarray, seed: int) -> np.ndarray:
    n, k = near.shape
    rng = np.random.default_rng(seed)
    first = np.repeat(np.arange(n), k)[near.ravel() >= 0]
    second = near.ravel()[near.ravel() >= 0]
    degree = np.bincount(first, minlength=n) + np.bincount(second, minlength=n)
    # The plane grows with the number of points, so that there is room between groups.
    points = points * np.sqrt(n) / 4
    for number in range(_ROUNDS):
        rate = 1.0 - number / _ROUNDS
        apart = points[first] - points[second]
        squared = np.square(apart).sum(axis=1)
        pull = apart * (-2 / (1 + squared))[:, None]
        step = np.zeros_like(points)
        for axis in range(2):
            step[:, axis] += np.bincount(first, pull[:, axis], n) - np.bincount(second, pull[:, axis], n)
        step /= np.maximum(degree, 1)[:, None] / 2
        for other in rng.integers(0, n, (_REPELLED, n)):
            apart = points - points[other]
            squared = np.square(apart).sum(axis=1)
            step += apart * (2 / ((0.01 + squared) * (1 + squared)))[:, None]
        points = points + rate * np.clip(step, -4, 4)
    return points

"""Rows like the activations of a language model: many known atoms, a mean with outlier dimensions, and noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Activations(NamedTuple):
    """Rows to train on, to choose settings by, and to measure on, float32 ``[n, n_features]``."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def activations(
    n_rows: int = 30_000, n_features: int = 256, n_atoms: int = 3000, held_out: int = 5000, seed: int = 0
) -> Activations:
    """Sums of atoms by `dsae.data.make_sparse_features`, of which about 22 fire in a row.

    The mean has twice the norm of one feature's spread, most of it in one dimension of 64; noise has a tenth of that
    spread.
    """
    from dsae.data import make_sparse_features

    n = n_rows + 2 * held_out
    X, rng = make_sparse_features(n, n_features, n_atoms, random_state=seed).X, np.random.default_rng(seed + 1)
    spread, mean = X.std(), rng.standard_normal(n_features)
    mean[rng.choice(n_features, max(1, n_features // 64), replace=False)] *= 10
    mean *= 2 * spread / np.linalg.norm(mean)
    X = (X + mean + 0.1 * spread * rng.standard_normal(X.shape)).astype(np.float32)
    return Activations(X[:n_rows], X[n_rows : n_rows + held_out], X[n_rows + held_out :])

"""A linear code along the data's principal directions, turned so that few weights hold it."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from dsae.data import Rows
from dsae.topology import Layer, Topology

_MORE, _ROUNDS = 10, 4  # directions beside those asked for, and times that they are refined
_TURNS, _STILL = 30, 1e-4  # of the rotation, at most, and the gain below which it ends


def principal_layers(
    rows: Rows, moments: tuple[np.ndarray, np.ndarray], n_components: int, counts: tuple[int, int], rng: Any
) -> tuple[Layer, Layer]:
    """An encoder and a decoder along the principal directions of ``rows``, of their largest weights.

    The directions are found by subspace iteration (Halko, Martinsson & Tropp 2011), sparse rows being centred
    implicitly. A rotation among them changes nothing that the code tells, so they are turned by varimax (Kaiser 1958),
    which gathers each direction in few features.

    Parameters
    ----------
    rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
    moments : tuple of ndarray, shape (n_features,)
        Mean and scale by which rows are standardised.
    n_components : int
        At most ``n_features``.
    counts : two ints
        Edges of the encoder and of the decoder.
    rng : numpy Generator

    Returns
    -------
    two of Layer
        For standardised rows, without biases. The same on any number of threads.
    """
    mean, scale = moments
    with threadpool_limits(1, "blas"):
        directions = _turned(_directions(rows, mean, scale, n_components, rng))
    return _largest(directions.T, counts[0]), _largest(directions, counts[1])


def _directions(X: Any, mean: np.ndarray, scale: np.ndarray, n: int, rng: Any) -> np.ndarray:
    """Orthonormal ``[n_features, n]``, the direction of the largest variance first."""
    shift, by = mean / scale, scale[:, None]
    found = rng.standard_normal((mean.size, min(n + _MORE, mean.size)), np.float32)
    for _ in range(_ROUNDS):
        found, _ = np.linalg.qr(found)
        codes = X @ (found / by) - shift @ found
        found = (X.T @ codes) / by - np.outer(shift, codes.sum(axis=0))
    found, _ = np.linalg.qr(found)
    codes = X @ (found / by) - shift @ found
    _, axes = np.linalg.eigh((codes.T @ codes).astype(np.float64))
    return (found @ axes[:, ::-1][:, :n]).astype(np.float32)


def _turned(directions: np.ndarray) -> np.ndarray:
    """By the rotation that makes the sum of the weights' fourth powers largest."""
    turn, last = np.eye(directions.shape[1], dtype=np.float32), 0.0
    for _ in range(_TURNS):
        turned = directions @ turn
        left, values, right = np.linalg.svd(directions.T @ (turned**3 - turned * np.square(turned).mean(axis=0)))
        turn = left @ right
        if values.sum() < last * (1 + _STILL):
            break
        last = float(values.sum())
    return directions @ turn


def _largest(weights: np.ndarray, count: int) -> Layer:
    """The ``count`` largest by magnitude, those that come first among equals."""
    sizes = np.abs(weights).ravel()
    kept = np.ones(sizes.size, bool)
    if count < sizes.size:
        least = np.partition(sizes, sizes.size - count)[sizes.size - count]
        kept = sizes > least
        kept[np.flatnonzero(sizes == least)[: count - int(kept.sum())]] = True
    topology = Topology.from_mask(kept.reshape(weights.shape))
    values = weights[topology.rows, topology.cols]
    return Layer(topology, np.ascontiguousarray(values, np.float32), np.zeros(weights.shape[0], np.float32))

"""Derivatives of a part of a model, and their integrals along a straight way, on numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import ACTIVATIONS
from dsae.interpret._codes import Csr
from dsae.runtime import Runtime

_AT_ONCE = 2**22  # numbers of the derivatives of one layer: 32 MiB


class Step(NamedTuple):
    """A layer: ``activation(W x + bias)``, in float64."""

    weights: Csr
    bias: np.ndarray
    activation: str


def decoder_chain(runtime: Runtime) -> list[Step]:
    """The layers from the code to the output."""
    return _chain(runtime, "decoder")


def encoder_chain(runtime: Runtime) -> list[Step]:
    """The layers from what enters the model to the code, before the code's own activation."""
    *hidden, last = _chain(runtime, "encoder")
    return [*hidden, last._replace(activation="identity")]


def _chain(runtime: Runtime, side: str) -> list[Step]:
    activations = runtime.config.activations
    return [
        Step(layer.to_csr().astype(np.float64), layer.bias.astype(np.float64), activations[name])
        for name, layer in runtime.layers.items()
        if name.startswith(side)
    ]


def output(chain: list[Step], rows: np.ndarray) -> np.ndarray:
    """What comes out of the last layer, float64 ``[n, n_out]``."""
    for step, z in zip(chain, _forward(chain, rows), strict=True):
        rows = z
        ACTIVATIONS[step.activation].apply(rows, 0, None)
    return rows


def _forward(chain: list[Step], rows: np.ndarray) -> list[np.ndarray]:
    """Pre-activations of every layer."""
    found, rows = [], np.asarray(rows, np.float64)
    for step in chain:
        z = (step.weights @ rows.T).T + step.bias
        found.append(z)
        rows = z.copy()
        ACTIVATIONS[step.activation].apply(rows, 0, None)
    return found


def gradients(chain: list[Step], at: np.ndarray, outputs: np.ndarray | None = None) -> np.ndarray:
    """Mean over the points ``at [n, n_in]`` of the derivatives of some outputs by all inputs, ``[n_outputs, n_in]``."""
    return _backward(chain, _forward(chain, at), _chosen(chain, outputs)).mean(axis=0)


def integrated(
    chain: list[Step], start: np.ndarray, stop: np.ndarray, steps: int, outputs: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What each input that changes adds to the outputs on the straight way from ``start`` to ``stop``.

    Integrated gradients (Sundararajan et al. 2017, eq. 1): the change of an input times the mean of the derivatives by
    it along the way. They add up to the change of the outputs, but for the error of the sum, by the midpoint rule, that
    stands for the integral.

    Parameters
    ----------
    chain : list of Step
    start, stop : ndarray, shape (n_in,)
    steps : int
    outputs : ndarray of int, optional
        Which; all by default.

    Returns
    -------
    moving : ndarray of int64, shape (n_moving,)
        Inputs that change.
    parts : ndarray of float64, shape (n_moving, n_outputs)
    """
    change = np.asarray(stop, np.float64) - start
    moving = np.flatnonzero(change)
    shares = (np.arange(steps) + 0.5) / steps
    chosen = _chosen(chain, outputs)
    total = np.zeros((chosen.size, moving.size))
    width = max(step.weights.shape[0] for step in chain)
    few = min(moving.size, chosen.size)
    at_once = max(1, _AT_ONCE // max(1, width * few))
    for first in range(0, steps, at_once):
        points = start + shares[first : first + at_once, None] * change
        found = _forward(chain, points)
        # Whichever side has fewer columns to carry through the layers.
        if moving.size <= chosen.size:
            total += _ahead(chain, found, moving)[:, chosen].sum(axis=0)
        else:
            total += _backward(chain, found, chosen)[:, :, moving].sum(axis=0)
    return moving, (total / steps * change[moving]).T


def _slope(step: Step) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    slope = ACTIVATIONS[step.activation].slope
    if slope is None:
        raise ValueError(f"Layers must have activations with a derivative; {step.activation!r} has none in its record.")
    return slope


def _chosen(chain: list[Step], outputs: np.ndarray | None) -> np.ndarray:
    return np.arange(chain[-1].weights.shape[0]) if outputs is None else np.asarray(outputs, np.intp)


def _ahead(chain: list[Step], found: list[np.ndarray], moving: np.ndarray) -> np.ndarray:
    """Derivatives of all outputs by some inputs at each point, ``[n, n_out, n_moving]``."""
    moved = np.broadcast_to(chain[0].weights[:, moving].toarray(), (len(found[0]), chain[0].bias.size, moving.size))
    for k, (step, z) in enumerate(zip(chain, found, strict=True)):
        if k:
            moved = _times(step.weights, moved)
        moved = _slope(step)(z, moved)
    return moved


def _backward(chain: list[Step], found: list[np.ndarray], chosen: np.ndarray) -> np.ndarray:
    """Derivatives of some outputs by all inputs at each point, ``[n, n_chosen, n_in]``."""
    pick = np.zeros((chain[-1].bias.size, chosen.size))
    pick[chosen, np.arange(chosen.size)] = 1
    moved = np.broadcast_to(pick, (len(found[0]), *pick.shape))
    for step, z in zip(reversed(chain), reversed(found), strict=True):
        moved = _times(sp.csr_matrix(step.weights.T), _slope(step)(z, moved))
    return moved.transpose(0, 2, 1)


def _times(weights: Csr, moved: np.ndarray) -> np.ndarray:
    """``weights @ moved[i]`` for every point, ``[n, n_out, m]``, as one product."""
    n, width, m = moved.shape
    flat = weights @ np.ascontiguousarray(moved.transpose(1, 0, 2)).reshape(width, n * m)
    return flat.reshape(-1, n, m).transpose(1, 0, 2)

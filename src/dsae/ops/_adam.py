"""Adam's step for active weights, with a learning rate per edge that depends on its unit's fan-in."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dsae.ops import _native
from dsae.ops._autograd import is_native
from dsae.ops._copies import per_edge
from dsae.topology import Topology

_WIDEST = 1024


@torch.no_grad()
def adam_step(
    parameter: Tensor,
    grad: Tensor,
    mean: Tensor,
    square: Tensor,
    *,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
    step: int,
    topology: Topology | None = None,
) -> None:
    """One step of Adam in place (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    parameter, grad, mean, square : Tensor
        The parameter, its gradient and its two moments, all of one shape.
    rate, betas, epsilon
        As in `torch.optim.Adam`.
    step : int
        From 1 on.
    topology : Topology, optional
        Of the layer whose values ``parameter`` is. An edge then has the rate ``rate * min(n_in, 1024) / fan_in``,
        ``fan_in`` the active inputs of its row or, where these are fewer, the mean over rows.
    """
    first, root = 1 - betas[0] ** step, (1 - betas[1] ** step) ** -0.5
    if topology is not None and topology.nnz == 0:
        return
    if topology is not None and is_native(parameter):
        scaled = rate * reference(topology) / first
        return _native.adam(parameter, grad, mean, square, topology, (scaled, *betas, epsilon, root))
    mean.lerp_(grad, 1 - betas[0])
    square.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
    change = mean / (square.sqrt() * root + epsilon)
    if topology is not None:
        change *= per_edge(topology, "rates", change, lambda: edge_rates(topology))
    parameter.sub_(change, alpha=rate / first)


def reference(topology: Topology) -> int:
    """Fan-in at which an edge has the rate itself: that of a full layer, but at most 1024."""
    return min(topology.shape[1], _WIDEST)


def edge_rates(topology: Topology) -> np.ndarray:
    """``min(n_in, 1024) / max(fan-in of the row, mean fan-in)`` of every edge, ``[nnz]``."""
    fan_in = np.diff(topology.indptr)
    return np.repeat(reference(topology) / np.maximum(fan_in, topology.nnz / max(fan_in.size, 1)), fan_in)

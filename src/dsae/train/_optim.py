"""The one place where optimiser state is touched."""

from __future__ import annotations

import torch
from torch import Tensor

from dsae.nn import SparseLinear
from dsae.nn._linear import move
from dsae.topology import Rewiring


def swap_parameter(optimizer: torch.optim.Optimizer, layer: SparseLinear, rewiring: Rewiring) -> None:
    """Rewire ``layer`` and let the optimiser follow: moments move with their edges and are zero where one was grown.

    Changing the length of a parameter in place would break the next backward pass, so the parameter is replaced in
    the module and in the optimiser's groups.
    """
    old = layer.values
    layer.rewire(rewiring)
    for group in optimizer.param_groups:
        group["params"] = [layer.values if p is old else p for p in group["params"]]
    state = optimizer.state.pop(old, None)
    if state is not None:
        optimizer.state[layer.values] = {key: _moved(value, old, rewiring) for key, value in state.items()}


def _moved(value: object, old: Tensor, rewiring: Rewiring) -> object:
    return move(value, rewiring) if isinstance(value, Tensor) and value.shape == old.shape else value

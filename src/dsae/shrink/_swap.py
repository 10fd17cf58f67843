"""Any torch optimizer follows a change of topology."""

from __future__ import annotations

import torch
from torch import Tensor

from dsae.nn import SparseLinear, move_values
from dsae.topology import Rewiring

# Running means of squared gradients, by torch's names for them.
_SQUARES = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")


def swap_parameter(optimizer: torch.optim.Optimizer, layer: SparseLinear, rewiring: Rewiring) -> None:
    """Rewire ``layer`` and let the optimizer follow.

    State that has one number per weight moves with its edges. A grown edge has no momentum and the layer's mean second
    moment: with none, Adam would take its first gradient for the largest ever seen and step three times too far.

    Changing the length of a parameter in place would break the next backward pass, so the parameter is replaced in
    the module and in the optimizer's groups.
    """
    old = layer.values
    layer.rewire(rewiring)
    for group in optimizer.param_groups:
        # In its place: torch's state dicts count parameters.
        group["params"] = [layer.values if p is old else p for p in group["params"]]
    state = optimizer.state.pop(old, None)
    if state is not None:
        optimizer.state[layer.values] = {key: _moved(key, value, old, rewiring) for key, value in state.items()}


def _moved(key: str, value: object, old: Tensor, rewiring: Rewiring) -> object:
    if not isinstance(value, Tensor) or value.shape != old.shape:  # a count of steps, say
        return value
    moved = move_values(value, rewiring)
    if key in _SQUARES and value.numel():
        # An edge with the mean second moment takes steps as long as its neighbours' from the first one on.
        moved.masked_fill_(torch.tensor(rewiring.source < 0, device=moved.device), value.mean())
    return moved

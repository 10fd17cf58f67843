"""The one place where optimiser state is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from dsae.nn import SparseLinear
from dsae.nn._linear import move
from dsae.topology import Rewiring

# Of the rule that an edge's step grows as its unit loses inputs; docs/design/shrinking.md has the measurements.
_RATE_EXPONENT = 1.0


def adam(layers: Mapping[str, SparseLinear], others: Iterable[nn.Parameter]) -> torch.optim.Adam:
    """Adam with a group, and so a learning rate, for the values of each layer, and one for all ``others``."""
    groups: list[dict] = [{"params": [layer.values], "layer": name} for name, layer in layers.items()]
    rest = [p for p in others if not any(p is layer.values for layer in layers.values())]
    return torch.optim.Adam([*groups, {"params": rest}], fused=True)


def set_rates(optimizer: torch.optim.Optimizer, layers: Mapping[str, SparseLinear], rate: float) -> dict[str, float]:
    """Set the learning rate of every layer's values to ``rate / density``, of the others to ``rate``.

    A unit with a tenth of the inputs needs ten times the step to change as much: the rule ``1 / fan-in`` of Adam's
    learning rate (Yang et al. 2022, table 8) for the live fan-in (Dey et al. 2024, "Sparse maximal update
    parameterization", table 1).
    """
    rates = {name: rate * layer.density**-_RATE_EXPONENT for name, layer in layers.items()}
    for group in optimizer.param_groups:
        group["lr"] = rates.get(group.get("layer", ""), rate)
    return rates


def swap_parameter(optimizer: torch.optim.Optimizer, layer: SparseLinear, rewiring: Rewiring) -> None:
    """Rewire ``layer`` and let the optimiser follow.

    Moments move with their edges. A grown edge has no first moment and the layer's mean second moment: with none,
    Adam would take its first gradient for the largest ever seen and step three times too far.

    Changing the length of a parameter in place would break the next backward pass, so the parameter is replaced in
    the module and in the optimiser's groups.
    """
    old = layer.values
    layer.rewire(rewiring)
    for group in optimizer.param_groups:
        group["params"] = [layer.values if p is old else p for p in group["params"]]
    state = optimizer.state.pop(old, None)
    if state is not None:
        optimizer.state[layer.values] = {key: _moved(key, value, old, rewiring) for key, value in state.items()}


def _moved(key: str, value: object, old: Tensor, rewiring: Rewiring) -> object:
    if not isinstance(value, Tensor) or value.shape != old.shape:
        return value
    moved = move(value, rewiring)
    if key == "exp_avg_sq":
        moved.masked_fill_(torch.from_numpy(rewiring.source < 0).to(moved.device), value.mean())
    return moved

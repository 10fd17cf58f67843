"""What a module, an array per edge or a generator remembers: plain arrays and JSON, taken out and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsae.nn._linear import SparseLinear
from dsae.topology import Topology

Memory = dict[str, Any]


def plain(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, not copied where they are on the CPU."""
    return tensor.detach().cpu().numpy()


@torch.no_grad()
def fill(tensor: Tensor, array: Any, what: str = "a tensor") -> Tensor:
    """``tensor``, with the numbers of ``array``, which must be of its type and shape."""
    wanted = (plain(tensor).dtype, tuple(tensor.shape))
    got = (array.dtype, array.shape) if isinstance(array, np.ndarray) else type(array).__name__
    if got != wanted:
        raise ValueError(f"{what} must be {wanted[0]} of shape {wanted[1]}; got {got}")
    return tensor.copy_(torch.from_numpy(array))


def whole(value: Any, below: int, what: str) -> int:
    """``value``, which must be a whole number of at least 0 and below a bound."""
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(f"{what} must be a whole number in 0..{below - 1}; got {value!r}")
    return value


def module_memory(module: nn.Module) -> Memory:
    """Topologies, parameters and buffers of ``module``."""
    layers = _layers(module)
    return {
        "topology": {
            name: {"indptr": layer.topology.indptr, "indices": layer.topology.indices} for name, layer in layers.items()
        },
        "taped": sorted(name for name, layer in layers.items() if layer.tape.recording),
        "tensors": {name: plain(tensor) for name, tensor in _tensors(module).items()},
    }


def remember_module(module: nn.Module, memory: Mapping[str, Any]) -> None:
    """The reverse of `module_memory`; where ``memory`` has no topologies, those that there are stay."""
    layers = _layers(module)
    for name, edges in memory.get("topology", {}).items():
        layer = layers[name]
        layer.adopt(Topology((layer.out_features, layer.in_features), edges["indptr"], edges["indices"]))
    for name, layer in layers.items():
        layer.tape.recording = name in memory["taped"]
    for name, tensor in _tensors(module).items():
        fill(tensor, memory["tensors"][name], name)


def _layers(module: nn.Module) -> dict[str, SparseLinear]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, SparseLinear)}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def set_random_state(rng: np.random.Generator, state: Any) -> None:
    """Let ``rng`` go on from what its ``bit_generator.state`` was."""
    try:
        rng.bit_generator.state = state
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"the state of a random generator is damaged ({error!r})") from None

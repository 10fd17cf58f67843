"""L1 regularisation by its proximal step: exact zeros, which then leave the topology."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dsae.nn import SparseLinear
from dsae.ops import Fused
from dsae.shrink._base import Clock, Shrinker
from dsae.topology import Rewiring


class L1(Shrinker):
    """w <- sign(w) max(|w| - learning rate * strength, 0) after each step (Parikh & Boyd 2014, section 6.5.2).

    A block of n weights goes as one (group lasso, Yuan & Lin 2006): its weights are multiplied by
    max(1 - learning rate * strength * sqrt(n) / norm, 0), so that they become zero together.

    Decoupled from Adam's scaling, as AdamW's weight decay is: ``strength`` is the pull towards zero in units of
    Adam's usual step, so 0.1 is gentle and 1 removes every weight that the data do not support.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def fuse(self, layers: Mapping[str, SparseLinear], rates: Mapping[str, float]) -> dict[str, Fused]:
        """The soft threshold of every layer, where none has blocks."""
        # Norms of blocks need a pass over all weights of a block before the first of them is written.
        if any(layer.block_size > 1 for layer in layers.values()):
            return {}
        return {name: Fused(threshold=rates[name] * self.strength) for name in layers}

    @torch.no_grad()
    def prox(self, layers: Mapping[str, SparseLinear], rates: Mapping[str, float]) -> None:
        """Soft-threshold the values of every layer, or the norms of its blocks."""
        for name, layer in layers.items():
            threshold = rates[name] * self.strength
            if layer.block_size == 1:
                layer.values.copy_(torch.nn.functional.softshrink(layer.values, threshold))
                continue
            for part in layer.topology.by_block(layer.values.detach()):
                norms = torch.linalg.vector_norm(part, dim=1, keepdim=True)
                part.mul_((1 - threshold * math.sqrt(part.shape[1]) / norms).clamp_(min=0))


class DropZeros(Shrinker):
    """Removes edges whose value is exactly zero from the topology, every ``every`` steps and at the end.

    A block goes when all of its values are zero.

    An edge that another method grew in the same step is zero because it is new, so its layer waits for the next step.
    """

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self._waiting: set[str] = set()
        self._grown: set[str] = set()

    def due(self, clock: Clock) -> bool:
        """At every ``every``-th step and the last, and while layers wait."""
        return self._starts(clock) or bool(self._waiting)

    def _starts(self, clock: Clock) -> bool:
        return clock.step % self.every == 0 or clock.step == clock.n_steps

    def rewire(self, layers: Mapping[str, SparseLinear], clock: Clock) -> dict[str, Rewiring]:
        """Drop the zeros; nothing grows."""
        if self._starts(clock):
            self._waiting = set(layers)
        ready = self._waiting - self._grown
        self._waiting -= ready
        self._grown.clear()
        return self.zeros({name: layer for name, layer in layers.items() if name in ready})

    def moved(self, name: str, rewiring: Rewiring) -> None:
        """Record the layers in which edges grew."""
        if (rewiring.source < 0).any():
            self._grown.add(name)

    def state_dict(self) -> dict[str, Any]:
        """Layers that still wait."""
        return {"waiting": sorted(self._waiting), "grown": sorted(self._grown)}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """The same layers wait."""
        self._waiting, self._grown = set(state["waiting"]), set(state["grown"])
        if not self._waiting | self._grown <= set(layers):
            raise ValueError(f"layers that wait must be among {list(layers)}; got {state}")

    @staticmethod
    def zeros(layers: Mapping[str, SparseLinear]) -> dict[str, Rewiring]:
        """The rewirings that remove zeros, of each layer that has any."""
        found = {name: _zero_blocks(layer) for name, layer in layers.items()}
        return {name: layers[name].topology.rewire(zero) for name, zero in found.items() if zero.any()}


def _zero_blocks(layer: SparseLinear) -> np.ndarray:
    # Exactly zero: an edge that is only small may grow again, and is the drop score's business.
    zero = (layer.values.detach() == 0).cpu().numpy()
    if layer.block_size == 1:
        return zero
    return layer.topology.block_scores((~zero).astype(np.float32)) == 0

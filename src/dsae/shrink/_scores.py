"""What makes an edge worth keeping, and an inactive edge worth growing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsae import ops
from dsae.nn import SparseLinear, move_values, restored
from dsae.ops import Fused
from dsae.topology import Rewiring, Topology, inactive_edges


class Magnitude:
    """|w|: weak edges go."""

    observes = False  # whether `fuse` leaves anything to `observe`

    def observe(self, layers: Mapping[str, SparseLinear]) -> None:
        """Look at one step's weights and gradients."""

    def fuse(self, layers: Mapping[str, SparseLinear]) -> dict[str, Fused]:
        """What the optimiser's pass may do in place of `observe`; nothing where it cannot."""
        return {}

    def score(self, name: str, layer: SparseLinear) -> Tensor:
        """One number per slot; the smallest are dropped."""
        return layer.values.detach().abs()

    def moved(self, name: str, rewiring: Rewiring) -> None:
        """Follow a rewiring."""

    def forget(self) -> None:
        """The topology is final: nothing more will be asked."""

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """Continue from there."""


class Gradient(Magnitude):
    """|dL/dw|, literally, of the last batch."""

    def score(self, name: str, layer: SparseLinear) -> Tensor:
        """One number per slot; the smallest are dropped."""
        assert layer.values.grad is not None
        return layer.values.grad.abs()


class Saliency(Magnitude):
    """Running mean of |w dL/dw|, the first-order change of the loss when the edge goes (Molchanov et al. 2017)."""

    observes = True

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay
        self._mean: dict[str, Tensor] = {}

    def observe(self, layers: Mapping[str, SparseLinear]) -> None:
        """Take one step into the mean."""
        for name, layer in layers.items():
            now = self._now(layer)
            self._mean.setdefault(name, torch.zeros_like(now)).lerp_(now, 1 - self.decay)

    @staticmethod
    def _now(layer: SparseLinear) -> Tensor:
        assert layer.values.grad is not None
        return (layer.values.detach() * layer.values.grad).abs_()

    def score(self, name: str, layer: SparseLinear) -> Tensor:
        """One number per slot; the smallest are dropped."""
        return self._mean[name]

    def moved(self, name: str, rewiring: Rewiring) -> None:
        """Follow a rewiring; a grown edge starts at zero."""
        if name in self._mean:
            self._mean[name] = move_values(self._mean[name], rewiring)

    def forget(self) -> None:
        """Free the running means."""
        self._mean.clear()

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return dict(self._mean)

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """The running means continue."""
        self._mean = {name: restored(mean, layers[name].values, f"the mean of {name}") for name, mean in state.items()}


class Tempered(Saliency):
    """|w| (running mean of |dL/dw|)^(1/4): saliency that trusts the weight more than the gradient.

    A converged weight's gradient is noise around zero, yet its size tells how much the data use the edge; the power
    was chosen by measurement (docs/design/shrinking.md).
    """

    power, observes = 0.25, False

    def fuse(self, layers: Mapping[str, SparseLinear]) -> dict[str, Fused]:
        """The running mean, which needs the gradient alone."""
        for name, layer in layers.items():
            self._mean.setdefault(name, torch.zeros_like(layer.values.detach()))
        return {name: Fused(self._mean[name], self.decay) for name in layers}

    @staticmethod
    def _now(layer: SparseLinear) -> Tensor:
        assert layer.values.grad is not None
        return layer.values.grad.abs()

    def score(self, name: str, layer: SparseLinear) -> Tensor:
        """One number per slot; the smallest are dropped."""
        return layer.values.detach().abs() * self._mean[name] ** self.power


class RandomGrowth:
    """Inactive edges grow at random."""

    needs_tape = False

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def edges(self, layer: SparseLinear, n: int) -> Topology:
        """``n`` inactive edges."""
        return inactive_edges(layer.topology, n, self._rng)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Draw on from there."""
        self._rng.bit_generator.state = state["rng"]


class AbsentGradient(RandomGrowth):
    """The inactive edges with the largest |dL/dw| of the last batch grow (Evci et al. 2020), approximately: see `ops`.

    Edges grow at random where no gradient was taped.
    """

    needs_tape = True

    def edges(self, layer: SparseLinear, n: int) -> Topology:
        """``n`` inactive edges."""
        taped = torch.tensor(float(layer.tape.x is not None and layer.tape.dy is not None))
        if not ops.ranks().max(taped):  # no backward pass has reached the layer
            return super().edges(layer, n)
        return ops.absent_gradient_topk(layer.tape.x, layer.tape.dy, layer.topology, n, self._rng)

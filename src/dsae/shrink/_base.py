"""The hooks of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dsae.nn import Autoencoder, SparseLinear, Trace
from dsae.ops import Fused
from dsae.topology import Rewiring


@dataclass(frozen=True)
class Clock:
    """Where a stage of training is.

    Parameters
    ----------
    step : int
        Steps done, from 1 to ``n_steps`` after the optimiser moved.
    n_steps : int
        Steps of the whole stage; 0 if its length is unknown.
    steps_per_epoch : int
    """

    step: int
    n_steps: int
    steps_per_epoch: int


class Shrinker:
    """Base class that does nothing; subclasses override one of `penalty`, `prox` and `rewire` (with `due`)."""

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """A term of the loss."""
        return 0.0

    def fuse(self, layers: Mapping[str, SparseLinear], rates: Mapping[str, float]) -> Mapping[str, Fused]:
        """What the optimiser's own pass over the values is to do in this step, by layer name.

        Of a shrinker that names layers here, neither `prox` nor `observe` is called in the same step.
        """
        return {}

    def prox(self, layers: Mapping[str, SparseLinear], rates: Mapping[str, float]) -> None:
        """A proximal step on the values after the optimiser's step; ``rates`` are its learning rates by layer name."""

    def observe(self, layers: Mapping[str, SparseLinear]) -> None:
        """Called after every step; gradients are still available."""

    observes: bool = False
    """Whether `observe` does anything; it may end in the course of training."""

    def due(self, clock: Clock) -> bool:
        """Whether `rewire` will look at values or gradients in this step."""
        return False

    def rewire(self, layers: Mapping[str, SparseLinear], clock: Clock) -> dict[str, Rewiring]:
        """New topologies by layer name, after the optimiser's step; gradients are still available."""
        return {}

    def moved(self, name: str, rewiring: Rewiring) -> None:
        """Called when any shrinker has rewired a layer: per-edge state must be permuted accordingly."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on beside the settings: tensors, JSON and dicts of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """Continue from an earlier `state_dict`; ``layers`` have the topologies that they had then."""

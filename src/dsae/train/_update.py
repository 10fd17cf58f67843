"""How parameters move once their gradients are there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from torch import Tensor

from dsae import ops
from dsae.train._learner import Learner
from dsae.train._optim import Matrices


class InMatrices(Protocol):
    """A layer whose weights are kept in another order."""

    matrices: Matrices

    def fused(self, given: ops.Fused) -> ops.Fused:
        """The same in that order."""
        ...

    def live_gradient(self) -> Tensor:
        """The gradient at the edges, in the order of the layer's own."""
        ...

    def take_gradient(self, live: Tensor) -> object:
        """The reverse: another gradient in its place."""
        ...


def update(learner: Learner, dense: Mapping[str, InMatrices] = MappingProxyType({})) -> None:
    """Adam's step with all that shrinkers do in its pass, then what others do beside it.

    Parameters
    ----------
    learner : Learner
    dense : mapping of str to InMatrices, optional
        Where the numbers of some layers are in place of the layers' own tensors.
    """
    if learner.columns not in dense.values():
        learner.columns = None
    layers, optimizer, shrinkers = learner.layers, learner.optimizer, learner.stage.shrinkers
    rates, beside = optimizer.rates(), []
    fused: dict[str, ops.Fused] = {}
    for shrinker in shrinkers:
        found = shrinker.fuse(layers, rates)
        fused |= {name: more.joined(fused.get(name)) for name, more in found.items()}
        if not found:
            beside.append(shrinker)
    fused |= {name: dense[name].fused(given) for name, given in fused.items() if name in dense}
    optimizer.step(fused=fused, dense={name: held.matrices for name, held in dense.items()})
    for shrinker in beside:
        shrinker.prox(layers, rates)
    for shrinker in beside:
        shrinker.observe(layers)

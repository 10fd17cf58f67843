"""How parameters move once their gradients are there."""

from __future__ import annotations

from dsae import ops
from dsae.train._learner import Learner


def update(learner: Learner) -> None:
    """Adam's step with all that shrinkers do in its pass, then what others do beside it."""
    layers, optimizer, shrinkers = learner.layers, learner.optimizer, learner.stage.shrinkers
    rates, beside = optimizer.rates(), []
    fused: dict[str, ops.Fused] = {}
    for shrinker in shrinkers:
        found = shrinker.fuse(layers, rates)
        fused |= {name: more.joined(fused.get(name)) for name, more in found.items()}
        if not found:
            beside.append(shrinker)
    optimizer.step(fused=fused)
    for shrinker in beside:
        shrinker.prox(layers, rates)
    for shrinker in beside:
        shrinker.observe(layers)

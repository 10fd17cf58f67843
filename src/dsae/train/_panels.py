"""A training step on dense rows in native calls, panel by panel through all layers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dsae import ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.shrink import L1, L2, DropZeros, Rewire
from dsae.train._between import ON_CODE, Between, layers_of
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._step import AutogradStep
from dsae.train._world import World

_COVERED = (Rewire, L1, DropZeros, L2, *ON_CODE)


class PanelStep(AutogradStep):
    """The gradients of the whole network by `dsae.ops.Tower`, into one buffer laid out by layer.

    One call, or two halves where autograd stands between them. Covers dense rows, all activations, losses that have a
    kernel, and the penalties on weights and on the code. `AutogradStep` is its oracle.
    """

    def __init__(self, run: Run, learner: Learner) -> None:
        super().__init__(run, learner)
        model = run.model
        self._loss = loss_of(run.config.loss)
        self._on_weights = [s for s in learner.stage.shrinkers if isinstance(s, L2)]
        self._between = Between(run, learner.stage.shrinkers)
        self.parameters = [p for layer in model.layers.values() for p in (layer.values, layer.bias) if p is not None]

    @cached_property
    def _tower(self) -> ops.Tower:
        return ops.Tower(*layers_of(self._run.model))

    @staticmethod
    def covers(run: Run, learner: Learner) -> bool:
        """Whether every part of the step is one that it knows."""
        model, stage = run.model, learner.stage
        records = [ACTIVATIONS[kind] for kind in model.config.activations.values()]
        loss = loss_of(run.config.loss)
        return (
            learner.extra is None
            and len(learner.layers) == len(model.layers) <= ops.MOST_LAYERS
            and all(ops.is_native(p) and p.requires_grad for p in model.parameters())
            and set(model.extras) <= {"log_dispersion"}
            and all(record.sparse or record.name in ops.DIFFERENTIATED for record in records)
            and loss.kernel is not None
            and all(isinstance(shrinker, _COVERED) for shrinker in stage.shrinkers)
        )

    def takes(self, given: ops.Given) -> bool:
        """Dense rows only, and none by which a latent may have died."""
        return isinstance(given.x, Tensor) and isinstance(given.aim, Tensor) and self._between.takes(given.n_rows)

    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """By one native call for each half of the network that nothing else has to see."""
        ops.share_products(0)
        for parameter, grad in zip(self.parameters, self._tower.grads, strict=True):
            parameter.grad = grad
        model, penalty, world = self._run.model, 0.0, ops.ranks()
        x, finished = model.transformed(given.x), None
        if isinstance(world, World) and not self._on_weights:  # which add to gradients after all
            finished = world.starting(list(model.layers.values()), given)
        if self._between.asked or self._run.looks:  # the code is where the halves meet
            loss = self._by_halves(given, x, finished)
            penalty = self._between.penalty
        else:
            loss = self._whole(given, x, finished)
        for shrinker in self._on_weights:
            penalty += shrinker.add_gradient(model)
        return loss, loss + penalty

    def _whole(self, given: ops.Given, x: Any, finished: ops.Finished | None) -> float:
        model, size, linear = self._run.model, given.size, self._run.model.config.output.linear
        target = None if given.target is None and x is given.x else model.aim(given)
        how = {"centring": (model.mean, model.scale), "target": target, "as_given": not linear and target is None}
        factor, beside = self._loss.factor / size, self._beside(given)
        return self._tower.network.loss(x, self._loss, factor, finished=finished, **how, **beside) / size

    def _beside(self, given: ops.Given) -> dict[str, Any]:
        """What the loss takes beside what it compares."""
        how: dict[str, Any] = {"known": given.known, "weight": given.weight}
        if self._loss.exposure:
            counts: Any = given.aim  # dense, as all rows of this step
            if given.known is not None and self._loss.couples_outputs:
                counts = counts * given.known
            how["offset"] = ops.offset_of(counts.sum(1))
        for extra in self._run.model.extras.values():
            extra.grad = torch.empty_like(extra) if extra.grad is None else extra.grad
            how["dispersion"] = extra, extra.grad
        return how

    def _by_halves(self, given: ops.Given, x: Any, finished: ops.Finished | None) -> float:
        """Encode, what autograd does with the code, decode and loss, then back."""
        model, aim = self._run.model, self._run.model.aim(given)
        z = self._tower.encode(x, (model.mean, model.scale))
        code = self._between.enter(z, given, aim)
        how = {"size": given.size, "finished": finished, **self._beside(given)}
        loss, d_code = self._tower.decode(code, aim, self._loss, **how)  # type: ignore[arg-type]
        self._tower.back(self._between.back(d_code), finished)
        return loss

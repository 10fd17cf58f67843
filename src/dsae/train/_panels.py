"""A training step on dense rows in one native call, panel by panel through all layers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dsae import ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.shrink import L1, L2, DropZeros, Rewire, TargetRate
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._step import AutogradStep

_COVERED = (Rewire, L1, DropZeros, L2, TargetRate)


class PanelStep(AutogradStep):
    """The gradients of the whole network by `dsae.ops.NetworkGradients`, into one buffer laid out by layer.

    Covers dense rows, all activations without thresholds, losses that have a kernel, and the penalties on weights and
    on the rate of the code. `AutogradStep` is its oracle.
    """

    def __init__(self, run: Run, learner: Learner) -> None:
        super().__init__(run, learner)
        model = run.model
        self._loss = loss_of(run.config.loss)
        self._on_weights = [s for s in learner.stage.shrinkers if isinstance(s, L2)]
        self._on_code = [s for s in learner.stage.shrinkers if isinstance(s, TargetRate)]
        self.parameters = [p for layer in model.layers.values() for p in (layer.values, layer.bias) if p is not None]

    @cached_property
    def _network(self) -> ops.NetworkGradients:
        config, layers = self._run.model.config, []
        for name, layer in self._run.model.layers.items():
            assert layer.bias is not None
            record = ACTIVATIONS[config.activations[name]]
            layers.append(ops.StepLayer(layer.topology, layer.values, layer.bias, record, config.k or 0, layer.lines))
        return ops.NetworkGradients(layers)

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
            and all(record.name in ops.DIFFERENTIATED for record in records)
            and loss.name in ops.COMPARED
            and all(isinstance(shrinker, _COVERED) for shrinker in stage.shrinkers)
        )

    def takes(self, given: ops.Given) -> bool:
        """Dense rows only."""
        return isinstance(given.x, Tensor) and isinstance(given.aim, Tensor)

    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """By one native call for each half of the network that nothing else has to see."""
        ops.share_products(0)
        for parameter, grad in zip(self.parameters, self._network.grads, strict=True):
            parameter.grad = grad
        model, size, penalty = self._run.model, given.size, 0.0
        factor, linear = self._loss.factor / size, model.config.output.linear
        x = model.transformed(given.x)
        if self._on_code:
            summed, penalty = self._by_halves(given, x, factor)
        else:
            target = None if given.target is None and x is given.x else model.aim(given)
            centring, as_given = (model.mean, model.scale), not linear and target is None
            summed = self._loss_of(given, factor, x, centring=centring, target=target, as_given=as_given)
        for shrinker in self._on_weights:
            penalty += shrinker.add_gradient(model)
        return summed / size, summed / size + penalty

    def _loss_of(self, given: ops.Given, factor: float, x: Any, **how: Any) -> float:
        if self._loss.exposure:
            how["offset"] = ops.offset_of(given.aim.sum(1))  # type: ignore[union-attr]
        for extra in self._run.model.extras.values():
            extra.grad = torch.empty_like(extra) if extra.grad is None else extra.grad
            how["dispersion"] = extra, extra.grad
        return self._network.loss(x, self._loss, factor, known=given.known, weight=given.weight, **how)  # type: ignore

    def _by_halves(self, given: ops.Given, x: Any, factor: float) -> tuple[float, float]:
        """Encode, penalties on the code by autograd, decode and loss, then back through the encoder."""
        model, n = self._run.model, len(self._run.model.encoder)
        code = self._network.forward(x, n, (model.mean, model.scale))
        rows = ops.unpack(code).requires_grad_()
        with torch.enable_grad():
            penalty = torch.stack([shrinker.on_code(model.config, rows) for shrinker in self._on_code]).sum()
        (d_rows,) = torch.autograd.grad(penalty, rows)
        d_code = torch.empty_like(code.tensor)
        summed = self._loss_of(given, factor, code, first=n, target=model.aim(given), dx=d_code)
        d_code += ops.pack(d_rows, code.lanes).tensor
        self._network.backward(code, d_code)
        return summed, penalty.item()

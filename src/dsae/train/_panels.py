"""A training step on dense rows in one native call, panel by panel through all layers."""

from __future__ import annotations

import torch
from torch import Tensor

from dsae import kernels, ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.shrink import L1, L2, DropZeros, Rewire, TargetRate
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._step import AutogradStep

_COVERED = (Rewire, L1, DropZeros, L2, TargetRate)


class PanelStep(AutogradStep):
    """The gradients of the whole network by `dsae.kernels.Step`, into one buffer laid out by layer.

    Covers dense rows, all activations without thresholds, losses that have a kernel, and the penalties on weights and
    on the rate of the code. `AutogradStep` is its oracle.
    """

    def __init__(self, run: Run, learner: Learner) -> None:
        super().__init__(run, learner)
        model, config = run.model, run.model.config
        self._loss = loss_of(run.config.loss)
        self._on_weights = [s for s in learner.stage.shrinkers if isinstance(s, L2)]
        self._on_code = [s for s in learner.stage.shrinkers if isinstance(s, TargetRate)]
        layers = model.layers
        self.parameters = [p for layer in layers.values() for p in (layer.values, layer.bias) if p is not None]
        self.flat = ops.empty(sum(p.numel() for p in self.parameters))
        self._grads = self.flat.split([p.numel() for p in self.parameters])
        self._centring = (model.mean.numpy(), model.scale.numpy())
        self._native = kernels.Step()
        for i, (name, layer) in enumerate(layers.items()):
            topology = layer.topology
            transposed, slots = topology.transpose
            values, bias = (p.detach().numpy() for p in self.parameters[2 * i : 2 * i + 2])
            self._native.add(
                (topology.indptr, topology.indices, values, bias),
                (transposed.indptr, transposed.indices, slots),
                (self._grads[2 * i].numpy(), self._grads[2 * i + 1].numpy()),
                layer.in_features,
                ACTIVATIONS[config.activations[name]].kernel,  # type: ignore[arg-type]
                config.k or 0,
            )

    @staticmethod
    def covers(run: Run, learner: Learner) -> bool:
        """Whether every part of the step is one that it knows."""
        model, stage = run.model, learner.stage
        records = [ACTIVATIONS[kind] for kind in model.config.activations.values()]
        loss = loss_of(run.config.loss)
        return (
            learner.extra is None
            and len(learner.layers) == len(model.layers)
            and model.config.block_size == 1
            and all(ops.is_native(p) and p.requires_grad for p in model.parameters())
            and not model.extras
            and all(record.kernel is not None and not record.threshold for record in records)
            and loss.kernel is not None
            and loss.tiled
            and all(isinstance(shrinker, _COVERED) for shrinker in stage.shrinkers)
        )

    def gradients(self, x: Tensor | ops.SparseRows) -> tuple[float, float]:
        """By one native call for each half of the network that nothing else has to see."""
        if isinstance(x, ops.SparseRows):
            return super().gradients(x)
        for parameter, grad in zip(self.parameters, self._grads, strict=True):
            parameter.grad = grad
        penalty, size = 0.0, x.shape[0] * x.shape[1]
        if self._on_code:
            summed, penalty = self._by_halves(x)
        else:
            summed = self._summed(x, 0, None)
        for shrinker in self._on_weights:
            penalty += shrinker.add_gradient(self._run.model)
        return summed / size, summed / size + penalty

    def _summed(self, x: Tensor, first: int, dx: Tensor | None, code: ops.Panels | None = None) -> float:
        """The summed loss of the layers from ``first`` on: on rows ``x`` or, against them, on a code."""
        linear = self._run.model.config.output.linear
        factor = self._loss.factor / (x.shape[0] * x.shape[1])
        entering = x if code is None else code.tensor
        target = None if code is None else ops.tensor_of(self._run.model.centred(x) if linear else x).numpy()  # type: ignore[arg-type]
        return self._native.gradients(
            first,
            len(self._grads) // 2,
            entering.contiguous().numpy(),
            x.shape[0],
            self._centring if code is None else None,
            target,
            code is None and not linear,
            None,
            None,
            self._loss.kernel,  # type: ignore[arg-type]
            factor,
            None if dx is None else dx.numpy(),
            None,
        )

    def _by_halves(self, x: Tensor) -> tuple[float, float]:
        """Encode, penalties on the code by autograd, decode and loss, then back through the encoder."""
        model, n = self._run.model, len(self._run.model.encoder)
        panels = torch.from_numpy(kernels.empty_panels(x.shape[0], model.config.n_components))
        self._native.forward(0, n, x.contiguous().numpy(), x.shape[0], self._centring, panels.numpy(), True)
        code = ops.Panels(panels, x.shape[0])
        rows = ops.unpack(code).requires_grad_()
        with torch.enable_grad():
            penalty = torch.stack([shrinker.on_code(model.config, rows) for shrinker in self._on_code]).sum()
        (d_rows,) = torch.autograd.grad(penalty, rows)
        d_code = torch.empty_like(panels)
        summed = self._summed(x, n, d_code, code)
        d_code += ops.pack(d_rows, code.lanes).tensor
        self._native.backward(panels.numpy(), d_code.numpy(), None, True, None)
        return summed, penalty.item()

"""Steps of a joint model, one modality after another: only codes and their gradients meet."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from dsae import ops
from dsae.config import Loss, loss_of
from dsae.nn import Autoencoder, Joint, JointGiven, JointTrace
from dsae.shrink import L1, L2, DropZeros, Rewire, TargetRate
from dsae.train._between import layers_of
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._step import AutogradStep

_COVERED = (Rewire, L1, DropZeros, L2, TargetRate)


class Part(Protocol):
    """The network of one modality in a step."""

    def encode(self, given: ops.Given) -> Tensor:
        """Codes before they are joined, ``[n_rows, n_components]``."""
        ...

    def loss(self, given: ops.Given, code: Tensor, factor: float) -> tuple[float, Tensor]:
        """The mean loss from joint codes, and ``factor`` times its gradient by them; the decoder keeps its own."""
        ...

    def backward(self, d: Tensor) -> None:
        """The encoder's gradients, from that of what `encode` gave."""
        ...


class TowerPart:
    """By `dsae.ops.Tower`, or `dsae.ops.SparseTower` for CSR rows."""

    def __init__(self, model: Autoencoder, loss: Loss, sparse: bool) -> None:
        self._model, self._loss = model, loss
        last = list(model.layers.values())[-1]
        self._tower: Any = ops.Tower(*layers_of(model))
        if sparse:
            self._tower = ops.SparseTower(*layers_of(model), by_gemm=last.executor == "dense")
        self._parameters = [p for layer in model.layers.values() for p in (layer.values, layer.bias)]
        self._centred: Any = None

    @staticmethod
    def covers(model: Autoencoder, loss: Loss, sparse: bool) -> bool:
        """Whether it computes such a network and loss on such rows."""
        first, *inner, last = model.config.activations.values()
        known = all(ops.is_native(p) for p in model.parameters()) and len(model.layers) <= ops.MOST_LAYERS
        if sparse:
            inside = first in ops.HAND_WRITTEN and all(kind in ops.DIFFERENTIATED for kind in inner)
            return known and inside and loss.tiled and last == loss.link
        kinds = all(kind in ops.DIFFERENTIATED for kind in (first, *inner, last))
        return known and kinds and set(model.extras) <= {"log_dispersion"} and loss.kernel is not None

    @torch.no_grad()
    def encode(self, given: ops.Given) -> Tensor:
        model = self._model
        if isinstance(given.x, Tensor):
            return self._tower.encode(model.transformed(given.x), (model.mean, model.scale))
        self._centred = model.centred(given.x)
        return self._tower.encode(self._centred)

    @torch.no_grad()
    def loss(self, given: ops.Given, code: Tensor, factor: float) -> tuple[float, Tensor]:
        model, loss, extras = self._model, self._loss, list(self._model.extras.values())
        if not isinstance(given.x, Tensor):
            aim = model.aim(given, self._centred)
            return self._tower.decode(code, aim, loss.name, scale=factor, extras=extras)
        how: dict[str, Any] = {"size": given.size, "known": given.known, "weight": given.weight}
        if loss.exposure:
            assert isinstance(given.aim, Tensor)
            how["offset"] = ops.offset_of(given.aim.sum(1))
        for extra in extras:
            extra.grad = torch.empty_like(extra) if extra.grad is None else extra.grad
            how["dispersion"] = extra, extra.grad
        return self._tower.decode(code, model.aim(given), loss, scale=factor, **how)

    @torch.no_grad()
    def backward(self, d: Tensor) -> None:
        self._tower.back(d)
        self._centred = None
        for parameter, grad in zip(self._parameters, self._tower.grads, strict=True):
            parameter.grad = grad  # type: ignore[union-attr]


class AutogradPart:
    """Any network and any rows, by torch's autograd."""

    def __init__(self, joint: Joint, name: str) -> None:
        self._joint, self._name = joint, name
        self._z: Tensor | None = None

    def encode(self, given: ops.Given) -> Tensor:
        with torch.enable_grad():
            self._z = self._joint.encode_part(self._name, given)
        return self._z.detach()

    def loss(self, given: ops.Given, code: Tensor, factor: float) -> tuple[float, Tensor]:
        code = code.detach().requires_grad_()
        with torch.enable_grad():
            alone = JointGiven({self._name: given}, {}, {}, given.n_rows)
            found = JointTrace(self._joint, alone, code).losses[self._name]
            (factor * found).backward()
        assert code.grad is not None
        return found.item(), code.grad

    def backward(self, d: Tensor) -> None:
        assert self._z is not None
        self._z.backward(d)
        self._z = None


class JointStep(AutogradStep):
    """Encoders, the joint code, decoders with their losses, and back: each network by the fastest way that it has.

    `AutogradStep` is its oracle.
    """

    def __init__(self, run: Run, learner: Learner) -> None:
        super().__init__(run, learner)
        self._joint: Joint = run.model  # type: ignore[assignment]
        self._on_weights = [s for s in learner.stage.shrinkers if isinstance(s, L2)]
        self._on_code = [s for s in learner.stage.shrinkers if isinstance(s, TargetRate)]
        self._parts: dict[tuple[str, bool], Part] = {}

    @staticmethod
    def covers(learner: Learner) -> bool:
        """Whether nothing asks for more than codes and weights."""
        return all(isinstance(shrinker, _COVERED) for shrinker in learner.stage.shrinkers)

    def _part(self, name: str, given: ops.Given) -> Part:
        sparse = isinstance(given.x, ops.SparseRows)
        if sparse != isinstance(given.aim, ops.SparseRows):
            return AutogradPart(self._joint, name)
        if (name, sparse) not in self._parts:
            model, loss = self._joint.of(name), loss_of((self._joint.config.losses or {})[name])
            by_matrix = all(layer.executor == "dense" for layer in model.layers.values())
            covered = not by_matrix and TowerPart.covers(model, loss, sparse)
            self._parts[name, sparse] = TowerPart(model, loss, sparse) if covered else AutogradPart(self._joint, name)
        return self._parts[name, sparse]

    def gradients(self, given: JointGiven) -> tuple[float, float]:  # type: ignore[override]
        """Into ``grad`` of the parameters."""
        model, penalty = self._joint, 0.0
        self._learner.optimizer.forget()
        ops.share_products(0)
        parts = {name: self._part(name, part) for name, part in given.parts.items()}
        codes = {name: part.encode(given.parts[name]).requires_grad_() for name, part in parts.items()}
        with torch.enable_grad():
            code = model.join(codes, given)
            on_code = [shrinker.on_code(model.config, code) for shrinker in self._on_code]  # type: ignore[arg-type]
        d = torch.zeros_like(code)
        losses = {}
        for name, part in parts.items():
            where, factor = given.rows.get(name), given.weighed(model.factors[name], name)
            mine = code.detach() if where is None else code.detach()[where]
            losses[name], d_mine = part.loss(given.parts[name], mine, factor)
            d = d.add_(d_mine) if where is None else d.index_add_(0, where, d_mine)
        torch.autograd.backward([code, *on_code], [d, *(torch.ones_like(found) for found in on_code)])
        for name, part in parts.items():
            part.backward(codes[name].grad)  # type: ignore[arg-type]
        model.fill_gradients()
        penalty += sum(found.item() for found in on_code)
        for shrinker in self._on_weights:
            penalty += shrinker.add_gradient(model)  # type: ignore[arg-type]
        self._run.part_losses = losses
        if given.shares is not None:
            loss = sum(given.weighed(model.factors[name], name) * found for name, found in losses.items())
        else:
            loss = sum(model.factors[name] * found for name, found in losses.items()) / len(losses)
        return loss, loss + penalty

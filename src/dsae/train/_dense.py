"""Steps of networks that are nearly dense: matrix products on dense masters of the weights, derivatives by hand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from dsae import ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.nn import SparseLinear, bias_of
from dsae.shrink import L2
from dsae.train._between import Between, is_plain
from dsae.train._learner import Learner
from dsae.train._optim import Matrices
from dsae.train._run import Run
from dsae.train._update import InMatrices, update


class _Master:
    """A layer's weights as a dense matrix, with all that belongs to a weight.

    Where the layer is full its own tensors are these matrices; else they are copies, until `settle` writes them back.
    """

    def __init__(self, layer: SparseLinear, activation: ops.ByHand | None, moments: tuple[Tensor, Tensor]) -> None:
        self.layer, self.topology, self.moments, self.activation = layer, layer.topology, moments, activation
        self.weight, mean, square = (self._matrix(t) for t in (layer.values.detach(), *moments))
        self.grad = ops.empty(*self.topology.shape)
        mask = None
        if not self.topology.is_matrix:
            mask = ops.spread(torch.ones(layer.nnz), self.topology).ne(0).view(torch.uint8)
        self.matrices = Matrices(self.weight, self.grad, mean, square, mask)
        self._seen: tuple[Tensor, Tensor] | None = None

    def _matrix(self, numbers: Tensor) -> Tensor:
        return numbers.view(self.topology.shape) if self.topology.is_matrix else ops.spread(numbers, self.topology)

    def fused(self, given: ops.Fused) -> ops.Fused:
        """The same with the running mean as a matrix."""
        if given.magnitude is None:
            return given
        if self._seen is None:
            self._seen = given.magnitude, self._matrix(given.magnitude)
        return ops.Fused(self._seen[1], given.decay, given.threshold)

    def live_gradient(self) -> Tensor:
        """The gradient edge by edge."""
        return self.grad.view(-1) if self.topology.is_matrix else ops.collect(self.grad, self.topology)

    def take_gradient(self, live: Tensor) -> None:
        """One edge by edge in its place."""
        self.grad.copy_(live.view(self.topology.shape) if self.topology.is_matrix else ops.spread(live, self.topology))

    def settle(self) -> None:
        """Write every number back to its edge."""
        layer = self.layer
        if self.topology.is_matrix:
            layer.values.grad = self.grad.view(-1)
            return
        if layer.values.grad is None:
            layer.values.grad = torch.empty_like(layer.values)
        pairs = [
            (self.weight, layer.values.detach()),
            (self.matrices.mean, self.moments[0]),
            (self.matrices.square, self.moments[1]),
            (self.grad, layer.values.grad),
        ]
        for matrix, numbers in [*pairs, *([] if self._seen is None else [self._seen[::-1]])]:
            ops.collect(matrix, self.topology, numbers)


class DenseStep:
    """Steps without sparse products: for the dense twin, and for the dense beginning of a gradual shrinking.

    From one rewiring to the next, a layer's values, both moments, gradient and running score are matrices with zeros
    where there is no edge. GEMMs take them as they are; Adam's pass counts gradients at edges alone.
    """

    def __init__(self, run: Run, learner: Learner) -> None:
        self._run, self._learner, self._moved = run, learner, False
        self._loss = loss_of(run.config.loss)
        self._l2 = sum(shrinker.strength for shrinker in learner.stage.shrinkers if isinstance(shrinker, L2))
        self._between, self._n_encoder = Between(run, learner.stage.shrinkers), len(run.model.encoder)
        self._buffers: dict[str, Tensor] = {}

    @cached_property
    def _masters(self) -> dict[str, _Master]:
        config, optimizer = self._run.model.config, self._learner.optimizer
        kinds = [ops.HAND_WRITTEN.get(config.activations[name]) for name in config.layer_shapes]
        last = None if self._loss.needs_link else kinds[-1]
        return {
            name: _Master(layer, activation, optimizer.moments(layer.values))
            for (name, layer), activation in zip(self._run.model.layers.items(), [*kinds[:-1], last], strict=True)
        }

    def takes(self, given: ops.Given) -> bool:
        """Dense rows only, and none by which a latent may have died."""
        return isinstance(given.x, Tensor) and isinstance(given.aim, Tensor) and self._between.takes(given.n_rows)

    @torch.no_grad()
    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """By hand, into the matrices and the biases' ``grad``."""
        model, x = self._run.model, self._run.model.transformed(given.x)
        assert isinstance(x, Tensor)
        ops.share_products(x.shape[0] * sum(layer.topology.size for layer in model.layers.values()))
        centred = torch.sub(x, model.mean, out=self._buffer("input", tuple(x.shape))).div_(model.scale)
        aim = model.aim(given, centred)
        assert isinstance(aim, Tensor)
        outputs = self._forward(centred, given, aim)
        loss, dz = self._output_gradient(outputs[-1], aim, given)
        self._backward(outputs, dz)
        self._moved = True
        return loss, loss + self._between.penalty + self._decay()

    def _buffer(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        """The same at every step: fresh pages cost as much as the passes over them."""
        found = self._buffers.get(kind)
        if found is None or found.shape[0] < shape[0]:
            found = self._buffers[kind] = ops.empty(*shape)
        return found[: shape[0]]

    def _forward(self, x: Tensor, given: ops.Given, aim: Tensor) -> list[Tensor]:
        """The input, then every layer's output; the last before its activation where the loss takes that."""
        outputs = [x]
        for i, master in enumerate(self._masters.values()):
            z = self._buffer(f"output {i}", (x.shape[0], master.topology.shape[0]))
            torch.addmm(bias_of(master.layer), outputs[-1], master.weight.t(), out=z)
            if i + 1 == self._n_encoder:
                outputs.append(self._between.enter(z, given, aim))
            else:
                outputs.append(z if master.activation is None else master.activation.apply(z))
        return outputs

    def _output_gradient(self, output: Tensor, target: Tensor, given: ops.Given) -> tuple[float, Tensor]:
        """The mean loss, and its gradient where the last layer ends."""
        loss, size, extras = self._loss, given.size, list(self._run.model.extras.values())
        beside: tuple[Tensor, ...] = ()
        if loss.exposure:
            assert isinstance(given.aim, Tensor)
            offset = ops.offset_of(given.aim.sum(1, keepdim=True))
            beside = (offset - output.logsumexp(1, keepdim=True) if loss.couples_outputs else offset, *extras)
        half = ops.torch_loss(self._run.config.loss)
        summed, residual, *by_extras = half.residual(loss, output, target, *beside, weights=given.weights)
        for extra, grad in zip(extras, by_extras, strict=True):
            extra.grad = grad.mul_(loss.factor / size)
        return (summed / size).item(), residual.mul_(loss.factor / size)

    def _backward(self, outputs: list[Tensor], dh: Tensor) -> None:
        for i, master in reversed(list(enumerate(self._masters.values()))):
            if i + 1 == self._n_encoder:
                dz = self._between.back(dh)
            else:
                dz = dh if master.activation is None else master.activation.back(dh, outputs[i + 1])
            torch.mm(dz.t(), outputs[i], out=master.grad)
            bias_of(master.layer).grad = dz.sum(0)
            if i:
                dh = torch.mm(dz, master.weight, out=self._buffer(f"gradient {i}", tuple(outputs[i].shape)))

    def _decay(self) -> float:
        """The penalty of `L2`, whose gradient is added."""
        if not self._l2:
            return 0.0
        squares = torch.stack([master.weight.square().sum() for master in self._masters.values()])
        for master in self._masters.values():
            master.grad.add_(master.weight, alpha=self._l2)
        return 0.5 * self._l2 * squares.sum().item()

    @property
    def held(self) -> Mapping[str, InMatrices]:
        """All layers' matrices."""
        return self._masters

    def update(self) -> None:
        """Adam, thresholds and scores in one pass over the matrices and the biases."""
        update(self._learner, self._masters)

    def settle(self) -> None:
        """Write the matrices back to the edges, unless nothing moved since."""
        if self._moved:
            with torch.no_grad():
                for master in self._masters.values():
                    master.settle()
            self._moved = False


def covers(run: Run, learner: Learner) -> bool:
    """Whether `DenseStep` computes what the settings ask for."""
    model, loss, layers = run.model, loss_of(run.config.loss), run.model.layers
    *kinds, output = model.config.activations.values()
    return (
        is_plain(run, learner)
        and all(ops.is_native(layer.values) and layer.bias is not None for layer in layers.values())
        and all(ACTIVATIONS[kind].sparse or kind in ops.HAND_WRITTEN for kind in kinds)
        and (output == loss.link if loss.needs_link else output in ops.HAND_WRITTEN)
    )

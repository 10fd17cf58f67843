"""Steps on CSR rows without autograd: nothing is as wide as the data but weights, and each product is made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from dsae import ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.nn import SparseLinear
from dsae.shrink import L2
from dsae.train._between import Between, is_plain, layers_of
from dsae.train._learner import Learner
from dsae.train._optim import Matrices
from dsae.train._run import Run
from dsae.train._update import InMatrices, update


class _Columns:
    """The first layer's weights by input, with all that belongs to a weight, until `settle` writes them back.

    What a number of a row meets, the edges of its column, then lies in one place; in the layer's own order they are as
    many places as edges.
    """

    def __init__(self, layer: SparseLinear, moments: tuple[Tensor, Tensor]) -> None:
        self.layer, self.parameter, self.topology, self.moments = layer, layer.values, layer.topology, moments
        values, mean, square = (ops.by_input(t, self.topology) for t in (layer.values.detach(), *moments))
        rates = ops.rates_by_input(self.topology)
        self.matrices = Matrices(values, ops.empty(self.topology.nnz), mean, square, None, rates)
        self._seen: tuple[Tensor, Tensor] | None = None

    def fused(self, given: ops.Fused) -> ops.Fused:
        """The same with the running mean by input."""
        if given.magnitude is None:
            return given
        if self._seen is None or self._seen[0] is not given.magnitude:
            self._seen = given.magnitude, ops.by_input(given.magnitude, self.topology)
        return ops.Fused(self._seen[1], given.decay, given.threshold)

    def live_gradient(self) -> Tensor:
        """The gradient edge by edge."""
        return ops.from_input(self.matrices.grad, self.topology, ops.empty(self.topology.nnz))

    def take_gradient(self, live: Tensor) -> None:
        """One edge by edge in its place."""
        self.matrices.grad.copy_(ops.by_input(live.contiguous(), self.topology))

    def settle(self) -> None:
        """Write every number back to its edge."""
        layer, held = self.layer, self.matrices
        if layer.values.grad is None:
            layer.values.grad = torch.empty_like(layer.values)
        pairs = [
            (held.values, layer.values.detach()),
            (held.mean, self.moments[0]),
            (held.square, self.moments[1]),
            (held.grad, layer.values.grad),
        ]
        for numbers, own in [*pairs, *([] if self._seen is None else [self._seen[::-1]])]:
            ops.from_input(numbers, self.topology, own)


class SparseStep:
    """Steps on CSR rows by `dsae.ops.SparseTower`, in halves that meet in the code; `AutogradStep` is its oracle."""

    def __init__(self, run: Run, learner: Learner) -> None:
        self._run, self._learner, self._moved = run, learner, False
        model, shrinkers = run.model, learner.stage.shrinkers
        self._name, (self._first, *_, self._last) = next(iter(model.layers)), model.layers.values()
        self._l2 = sum(shrinker.strength for shrinker in shrinkers if isinstance(shrinker, L2))
        self._between = Between(run, shrinkers)

    @cached_property
    def _columns(self) -> _Columns:
        """Those of the step before where only other layers were rewired since."""
        kept, layer = self._learner.columns, self._first
        if not isinstance(kept, _Columns) or kept.parameter is not layer.values:
            kept = self._learner.columns = _Columns(layer, self._learner.optimizer.moments(layer.values))
        return kept

    @cached_property
    def _tower(self) -> ops.SparseTower:
        held = self._columns.matrices
        halves = layers_of(self._run.model)
        return ops.SparseTower(*halves, (held.values, held.grad), by_gemm=self._last.executor == "dense")

    @cached_property
    def _parameters(self) -> Sequence[Tensor]:
        """Beside the first layer's values, in the order of the tower's gradients."""
        layers = self._run.model.layers.values()
        return [p for layer in layers for p in (layer.values, layer.bias) if p is not None][1:]

    def takes(self, given: ops.Given) -> bool:
        """Sparse rows only, and none by which a latent may have died."""
        sparse = isinstance(given.x, ops.SparseRows) and isinstance(given.aim, ops.SparseRows)
        return sparse and self._between.takes(given.n_rows)

    @torch.no_grad()
    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """By hand, into the columns of the first layer and ``grad`` of all other parameters."""
        model, last, between = self._run.model, self._last, self._between
        ops.share_products(given.n_rows * last.topology.size if last.executor == "dense" else 0)
        centred = model.centred(given.x)
        aim = model.aim(given, centred)
        code = between.enter(self._tower.encode(centred), given, aim)  # type: ignore[arg-type]
        extras = list(model.extras.values())
        loss, d_code = self._tower.decode(code, aim, self._run.config.loss, extras=extras)  # type: ignore[arg-type]
        self._tower.back(between.back(d_code))
        for parameter, grad in zip(self._parameters, self._tower.grads[1:], strict=True):
            parameter.grad = grad
        self._moved = True
        return loss, loss + between.penalty + self._decay()

    def _decay(self) -> float:
        """The penalty of `L2`, whose gradient is added."""
        if not self._l2:
            return 0.0
        held, others = self._columns.matrices, list(self._run.model.layers.values())[1:]
        pairs = [(held.values, held.grad), *((layer.values, layer.values.grad) for layer in others)]
        for values, grad in pairs:
            grad.add_(values, alpha=self._l2)  # type: ignore[union-attr]
        return 0.5 * self._l2 * torch.stack([values.square().sum() for values, _ in pairs]).sum().item()

    @property
    def held(self) -> Mapping[str, InMatrices]:
        """The first layer's columns."""
        return {self._name: self._columns}

    def update(self) -> None:
        """Adam, thresholds and scores in one pass."""
        update(self._learner, self.held)

    def settle(self) -> None:
        """Write the columns back to the edges, unless nothing moved since."""
        if self._moved:
            with torch.no_grad():
                self._columns.settle()
            self._moved = False


def covers(run: Run, learner: Learner) -> bool:
    """Whether `SparseStep` computes what the settings ask for."""
    model, loss = run.model, loss_of(run.config.loss)
    *kinds, output = model.config.activations.values()
    return (
        is_plain(run, learner)
        and all(ops.is_native(p) for p in model.parameters())
        and all(ACTIVATIONS[kind].sparse or kind in ops.DIFFERENTIATED for kind in kinds)
        and output == loss.link
    )

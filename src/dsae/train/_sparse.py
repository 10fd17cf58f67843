"""Steps on CSR rows without autograd: nothing is as wide as the data but weights, and each product is made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from dsae import ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.nn import SparseLinear
from dsae.shrink import L1, L2, DropZeros, Rewire, Shrinker, TargetRate
from dsae.train._activations import HAND_WRITTEN
from dsae.train._learner import Learner
from dsae.train._optim import Matrices
from dsae.train._run import Run
from dsae.train._update import update


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
    """Steps on CSR rows: the first layer by the stored values, the last by `dsae.ops.output_gradients`.

    Between them panels go through `dsae.ops.NetworkGradients`, in two halves that meet in the code. `AutogradStep` is
    its oracle.
    """

    def __init__(self, run: Run, learner: Learner) -> None:
        self._run, self._learner, self._moved = run, learner, False
        model, shrinkers = run.model, learner.stage.shrinkers
        names = list(model.layers)
        self._name, (self._first, *_, self._last) = names[0], model.layers.values()
        self._activation = HAND_WRITTEN[model.config.activations[names[0]]]
        self._l2 = sum(shrinker.strength for shrinker in shrinkers if isinstance(shrinker, L2))
        self._on_code = [shrinker for shrinker in shrinkers if isinstance(shrinker, TargetRate)]

    @cached_property
    def _columns(self) -> _Columns:
        """Those of the step before where only other layers were rewired since."""
        kept, layer = self._learner.columns, self._first
        if not isinstance(kept, _Columns) or kept.parameter is not layer.values:
            kept = self._learner.columns = _Columns(layer, self._learner.optimizer.moments(layer.values))
        return kept

    @cached_property
    def _inner(self) -> list[tuple[ops.NetworkGradients, list[SparseLinear]]]:
        """The layers between the first and the last, those before the code apart from those after it."""
        model, found = self._run.model, []
        for names in (model.names("encoder")[1:], model.names("decoder")[:-1]):
            layers = [model.layers[name] for name in names]
            if layers:
                kinds = [ACTIVATIONS[model.config.activations[name]] for name in names]
                found.append((_network(layers, kinds, model.config.k or 0), layers))
        return found

    def takes(self, given: ops.Given) -> bool:
        """Sparse rows only."""
        return isinstance(given.x, ops.SparseRows) and isinstance(given.aim, ops.SparseRows)

    @torch.no_grad()
    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """By hand, into the columns of the first layer and ``grad`` of all other parameters."""
        model, last, by_gemm = self._run.model, self._last, self._last.executor == "dense"
        ops.share_products(given.n_rows * last.topology.size if by_gemm else 0)
        centred = model.centred(given.x)
        assert isinstance(centred, ops.SparseRows)
        assert self._first.bias is not None
        assert last.bias is not None
        values = self._columns.matrices.values
        h = self._activation.apply(ops.csr_linear_by_input(values, self._first.bias, centred, self._first.topology))
        outputs = self._forward(ops.pack(h))
        aim = model.aim(given, centred)
        assert isinstance(aim, ops.SparseRows)
        layer = last.values, last.bias, outputs[-1], last.topology
        extras = list(model.extras.values())
        found = ops.output_gradients(*layer, aim, self._run.config.loss, by_gemm=by_gemm, extras=extras)
        last.values.grad, last.bias.grad = found.values, found.bias
        for extra, grad in zip(extras, found.extras, strict=True):
            extra.grad = grad
        assert found.input is not None
        d, penalty = self._backward(outputs, found.input)
        dz = self._activation.back(ops.unpack(ops.Panels(d, given.n_rows)), h)
        self._first.bias.grad = dz.sum(0)
        ops.csr_sddmm_by_input(dz, centred, self._first.topology, self._columns.matrices.grad)
        self._moved = True
        loss = found.loss.item()
        return loss, loss + penalty + self._decay()

    def _forward(self, entering: ops.Panels) -> list[ops.Panels]:
        """What enters the inner layers, and what each half of them makes of it."""
        outputs = [entering]
        for network, layers in self._inner:
            outputs.append(network.forward(outputs[-1], len(layers)))
        return outputs

    def _backward(self, outputs: list[ops.Panels], d: Tensor) -> tuple[Tensor, float]:
        """From the gradient of the last of ``outputs`` to that of the first, and the penalties on the code."""
        code = min(len(self._run.model.encoder) - 1, 1)
        penalty = 0.0
        for i in range(len(outputs) - 1, -1, -1):
            if i == code and self._on_code:
                penalty, d_code = self._penalty(outputs[i])
                d = d + ops.pack(d_code, outputs[i].lanes).tensor
            if i:
                network, layers = self._inner[i - 1]
                entering = torch.empty_like(outputs[i - 1].tensor)
                network.backward(outputs[i], d, entering)
                parameters = [p for layer in layers for p in (layer.values, layer.bias)]
                for parameter, grad in zip(parameters, network.grads, strict=True):
                    parameter.grad = grad  # type: ignore[union-attr]
                d = entering
        return d, penalty

    def _penalty(self, code: ops.Panels) -> tuple[float, Tensor]:
        rows = ops.unpack(code).requires_grad_()
        with torch.enable_grad():
            found = torch.stack([shrinker.on_code(self._run.model.config, rows) for shrinker in self._on_code]).sum()
        (d_rows,) = torch.autograd.grad(found, rows)
        return found.item(), d_rows

    def _decay(self) -> float:
        """The penalty of `L2`, whose gradient is added."""
        if not self._l2:
            return 0.0
        held, others = self._columns.matrices, list(self._run.model.layers.values())[1:]
        pairs = [(held.values, held.grad), *((layer.values, layer.values.grad) for layer in others)]
        for values, grad in pairs:
            grad.add_(values, alpha=self._l2)  # type: ignore[union-attr]
        return 0.5 * self._l2 * torch.stack([values.square().sum() for values, _ in pairs]).sum().item()

    def update(self) -> None:
        """Adam, thresholds and scores in one pass."""
        update(self._learner, {self._name: self._columns})

    def settle(self) -> None:
        """Write the columns back to the edges, unless nothing moved since."""
        if self._moved:
            with torch.no_grad():
                self._columns.settle()
            self._moved = False


def _network(layers: Sequence[SparseLinear], activations: Sequence, k: int) -> ops.NetworkGradients:
    made = []
    for layer, activation in zip(layers, activations, strict=True):
        assert layer.bias is not None
        made.append(ops.StepLayer(layer.topology, layer.values, layer.bias, activation, k, layer.lines))
    return ops.NetworkGradients(made)


def covers(run: Run, learner: Learner) -> bool:
    """Whether `SparseStep` computes what the settings ask for."""
    model, loss, layers = run.model, loss_of(run.config.loss), run.model.layers
    kinds = model.config.activations
    first, *_, last = layers
    inner = [name for name in layers if name not in (first, last)]
    return (
        learner.extra is None
        and set(learner.stage.layers) == set(layers)
        and all(ops.is_native(p) for p in model.parameters())
        and run.activity is None
        and kinds[first] in HAND_WRITTEN
        and all(kinds[name] in ops.DIFFERENTIATED for name in inner)
        and loss.tiled
        and kinds[last] == loss.link
        and all(_is_covered(shrinker, model.config.block_size) for shrinker in learner.stage.shrinkers)
    )


def _is_covered(shrinker: Shrinker, block_size: int) -> bool:
    """Whether it asks for nothing beside Adam's pass; thresholds of whole blocks are beyond that."""
    if isinstance(shrinker, L1):
        return block_size == 1
    if isinstance(shrinker, Rewire):
        return not shrinker.observes
    return isinstance(shrinker, (L2, DropZeros, TargetRate))

"""A loss that needs whole outputs, computed a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from dsae.ops._autograd import LazyGradient, Tape, _backend, dense, first_derivatives, linear
from dsae.ops._rows import Panels
from dsae.topology import Topology

Measure = Callable[..., Tensor]


def loss_by_rows(
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    topology: Topology,
    measure: Measure,
    height: int,
    extras: Sequence[Tensor] = (),
    tape: Tape | None = None,
    *,
    by_gemm: bool = False,
    worth: np.ndarray | None = None,
) -> Tensor:
    """Mean over rows of a loss of ``W x + bias``, whose outputs are never all in memory.

    For each few rows, the layer, the loss and all gradients are computed, and the outputs are discarded.

    Parameters
    ----------
    values, bias : Tensor, shapes (nnz,) and (out_features,)
    x : Tensor, shape (batch, in_features)
    topology : Topology
        Of shape ``(out_features, in_features)``.
    measure : callable
        ``measure(z, piece, *extras)``: the mean loss of the outputs ``z`` of the rows that the slice ``piece`` selects;
        differentiable in ``z`` and ``extras``.
    height : int
        Rows at a time.
    extras : sequence of Tensor
        What the loss trains beside the weights.
    tape : Tape, optional
        Keeps ``x`` and a `LazyGradient` of the output while it is recording.
    by_gemm : bool
        Whether to scatter the values into a dense matrix and multiply by that.
    worth : ndarray of float64, shape (batch,), optional
        What the rows count for in the mean; by default all alike.

    Returns
    -------
    Tensor
        Its gradients are already computed: backward only multiplies them by the incoming gradient.
    """
    inputs = (x, values, bias, *extras)
    needs = tuple(torch.is_grad_enabled() and t.requires_grad for t in inputs)
    return _LossByRows.apply(_Plan(topology, measure, height, tape, by_gemm, worth, needs), *inputs)  # type: ignore[return-value]


@dataclass(frozen=True)
class _Plan:
    topology: Topology
    measure: Measure
    height: int
    tape: Tape | None
    by_gemm: bool
    worth: np.ndarray | None
    needs: tuple[bool, ...]

    def pieces(self, n_rows: int) -> Iterator[tuple[slice, float]]:
        """Rows to be computed at once, and their share of the mean."""
        for begin in range(0, n_rows, self.height):
            end = min(begin + self.height, n_rows)
            if self.worth is None:
                yield slice(begin, end), (end - begin) / n_rows
            else:
                yield slice(begin, end), float(self.worth[begin:end].sum() / (self.worth.sum() or 1.0))

    def outputs(self, x: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """``W x + bias`` of some rows."""
        if self.by_gemm:
            return F.linear(x, dense(values, self.topology), bias)
        return linear(values, bias, x, self.topology)  # type: ignore[return-value]


class _LossByRows(Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, *inputs: Tensor) -> Tensor:
        x = inputs[0]
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        found = [torch.zeros_like(t) if need else None for t, need in zip(inputs, plan.needs, strict=True)]
        for piece, share in plan.pieces(x.shape[0]):
            given = (x[piece], *inputs[1:])
            with torch.enable_grad():
                leaves = [t.detach().requires_grad_(need) for t, need in zip(given, plan.needs, strict=True)]
                loss = plan.measure(plan.outputs(*leaves[:3]), piece, *leaves[3:]) * share
            total += loss.detach()
            if any(plan.needs):
                _add_gradients(loss, leaves, found, piece)
        ctx.gradients = found
        if plan.tape is not None and plan.tape.recording and any(plan.needs):
            # Copies: the optimiser moves the values in place before a rewiring asks for gradients.
            kept = [t.detach().clone() for t in inputs]
            plan.tape.x = Panels(_backend(x).pack(kept[0]), x.shape[0])
            plan.tape.dy = _lazy_gradient(plan, *kept)
        return total.to(x)

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(None if g is None else g * d_loss for g in ctx.gradients)


def _add_gradients(loss: Tensor, leaves: Sequence[Tensor], found: Sequence[Tensor | None], piece: slice) -> None:
    """The loss' gradients onto those found so far; the first is that of the rows in ``piece``."""
    wanted = [i for i, total in enumerate(found) if total is not None]
    gradients = torch.autograd.grad(loss, [leaves[i] for i in wanted], allow_unused=True)
    for i, gradient in zip(wanted, gradients, strict=True):
        if gradient is not None:
            (found[i] if i else found[i][piece]).add_(gradient)  # type: ignore[index,union-attr]


def _lazy_gradient(plan: _Plan, x: Tensor, values: Tensor, bias: Tensor, *extras: Tensor) -> LazyGradient:
    backend = _backend(x)

    def gradients() -> Iterator[tuple[slice, Tensor]]:
        for piece, share in plan.pieces(x.shape[0]):
            with torch.enable_grad():
                z = plan.outputs(x[piece], values, bias).detach().requires_grad_()
                (dz,) = torch.autograd.grad(plan.measure(z, piece, *extras) * share, z)
            yield piece, dz

    def norms() -> Tensor:
        squares = x.new_zeros(plan.topology.shape[0])
        for _, dz in gradients():
            squares += dz.square().sum(0)
        return squares.sqrt_()

    def at(edges: Topology) -> Tensor:
        found = values.new_zeros(edges.nnz)
        for piece, dz in gradients():
            found += backend.sddmm(backend.pack(dz), backend.pack(x[piece]), edges)
        return found

    return LazyGradient(norms, at)

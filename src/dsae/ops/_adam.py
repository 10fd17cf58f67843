"""Adam's step for all parameters of a model, with a learning rate per edge that depends on its unit's fan-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dsae.ops import _native
from dsae.ops._autograd import is_native
from dsae.ops._copies import per_edge
from dsae.topology import Topology

_WIDEST = 1024


@dataclass(frozen=True)
class Fused:
    """What else is done to a parameter in the pass of its step.

    Parameters
    ----------
    magnitude : Tensor, optional
        Running mean of the absolute gradient, of the parameter's shape; updated in place.
    decay : float
        Of this mean.
    threshold : float
        By which values come nearer to zero after the step, as by `torch.nn.functional.softshrink`; 0 leaves them.
    """

    magnitude: Tensor | None = None
    decay: float = 0.99
    threshold: float = 0.0

    def joined(self, other: Fused | None) -> Fused:
        """Both; at most one of them has a running mean."""
        if other is None:
            return self
        first = self if self.magnitude is not None else other
        return Fused(first.magnitude, first.decay, self.threshold + other.threshold)


@dataclass(frozen=True, eq=False)
class AdamParameter:
    """A parameter with its gradient, moments and settings.

    Parameters
    ----------
    values, grad, mean, square : Tensor
        The parameter, its gradient and its two moments, all of one shape.
    rate : float
        As ``lr`` of `torch.optim.Adam`.
    step : int
        From 1 on.
    topology : Topology, optional
        Of the layer whose values these are. An edge then has the rate ``rate * min(n_in, 1024) / fan_in``, ``fan_in``
        the active inputs of its row or, where these are fewer, the mean over rows.
    fused : Fused
    mask : Tensor, optional
        Whether there is an edge, uint8. All tensors are then those of the dense matrix, with zeros where there is none.
        For the kernel alone.
    rates : tuple of ndarray, optional
        Of numbers that do not lie in the order of ``topology``, as `rates_by_input` has it. For the kernel alone.
    """

    values: Tensor
    grad: Tensor
    mean: Tensor
    square: Tensor
    rate: float
    step: int
    topology: Topology | None = None
    fused: Fused = Fused()
    mask: Tensor | None = None
    rates: tuple[np.ndarray, np.ndarray] | None = None


@torch.no_grad()
def adam_step(parameters: Sequence[AdamParameter], betas: tuple[float, float], epsilon: float) -> None:
    """One step of Adam in place (Kingma & Ba 2015, algorithm 1): one pass of the kernel over all parameters.

    Parameters
    ----------
    parameters : sequence of AdamParameter
    betas, epsilon
        As in `torch.optim.Adam`.
    """
    native = []
    for p in parameters:
        if is_native(p.values) and p.values.is_contiguous():
            native.append((p, _rate(p, betas), _root(p, betas)))
        elif p.values.numel():
            _move(p, betas, epsilon)
    if native:
        _native.adam(native, (*betas, epsilon))


def _rate(p: AdamParameter, betas: tuple[float, float]) -> float:
    scale = 1 if p.topology is None or p.rates is not None else reference(p.topology)
    if p.topology is not None and p.mask is None and p.rates is None:
        scale *= p.topology.block_size  # the kernel counts a group's slots
    return p.rate * scale / (1 - betas[0] ** p.step)


def _root(p: AdamParameter, betas: tuple[float, float]) -> float:
    return (1 - betas[1] ** p.step) ** -0.5


def _move(p: AdamParameter, betas: tuple[float, float], epsilon: float) -> None:
    p.mean.lerp_(p.grad, 1 - betas[0])
    p.square.mul_(betas[1]).addcmul_(p.grad, p.grad, value=1 - betas[1])
    change = p.mean / (p.square.sqrt() * _root(p, betas) + epsilon)
    if (topology := p.topology) is not None:
        change *= per_edge(topology, "rates", change, lambda: edge_rates(topology))
    p.values.sub_(change, alpha=p.rate / (1 - betas[0] ** p.step))
    if p.fused.magnitude is not None:
        p.fused.magnitude.lerp_(p.grad.abs(), 1 - p.fused.decay)
    if p.fused.threshold:
        p.values.copy_(torch.nn.functional.softshrink(p.values, p.fused.threshold))


def reference(topology: Topology) -> int:
    """Fan-in at which an edge has the rate itself: that of a full layer, but at most 1024."""
    return min(topology.shape[1], _WIDEST)


def edge_rates(topology: Topology) -> np.ndarray:
    """``min(n_in, 1024) / max(fan-in of the row, mean fan-in)`` of every edge, ``[nnz]``.

    Of blocks, a group's slots over ``block_size`` are its rows' fan-in: less than that in a narrow last group, whose
    edges have the rate at the mean fan-in or a little less.
    """
    return np.repeat(_group_rates(topology), np.diff(topology.starts))


def rates_by_input(topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """The output of each edge, int32 ``[nnz]``, input by input, and every output's rate as by `edge_rates`, float32."""
    by_output = np.repeat(_group_rates(topology), topology.block_size)[: topology.shape[0]]
    return topology.transpose[0].indices, by_output.astype(np.float32)


def _group_rates(topology: Topology) -> np.ndarray:
    n_slots = np.diff(topology.starts)
    scale = reference(topology) * topology.block_size
    # Never more than at the mean fan-in (docs/design/shrinking.md).
    return scale / np.maximum(n_slots, max(topology.nnz, 1) / max(n_slots.size, 1))

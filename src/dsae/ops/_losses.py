"""The torch halves of the losses in `dsae.config.LOSSES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from dsae.config import LARGEST_LOG_DISPERSION, LARGEST_LOG_RATE, Loss, one_of

_NO_TOTAL = 1e-30  # of a row of zeros: its logarithm is finite, and so is its product with 0


@dataclass(frozen=True)
class TorchLoss:
    """A loss in torch, on any device and in any dtype.

    Parameters
    ----------
    each : callable
        ``each(output, target, **extras)``, over rows ``[n_rows, n_features]``: the loss of every value, of the same
        shape, differentiable. A loss that needs its link takes the last layer's pre-activations in place of the output;
        one with ``exposure`` also takes ``exposure=``, the rows' totals ``[n_rows, 1]``.
    tile : callable, optional
        As `dsae.config.Loss.tile` has it, of tensors; one with offset and extras also takes ``weights=``. By default
        autograd derives it from ``each``, for losses without exposure and extras.
    fused : callable, optional
        The mean of ``each`` over all values, where torch has it in one pass.
    couples : bool
        Whether outputs share the total of their row: ``each`` then takes ``weights=``, those of the values
        ``[n_rows, n_features]``, which count in that total, too.
    """

    each: Callable[..., Tensor]
    tile: Callable[..., tuple[Tensor, ...]] | None = None
    fused: Callable[..., Tensor] | None = None
    couples: bool = False

    def mean(self, output: Tensor, target: Tensor, weights: Tensor | None = None, **extras: Tensor) -> Tensor:
        """The mean loss of all values, by their weights where these are given, which are broadcast."""
        if weights is None:
            mean = self.fused or (lambda *given, **more: self.each(*given, **more).mean())
            return mean(output, target, **extras)
        total = weights.sum() * (target.numel() / max(1, weights.numel()))
        return self._summed(output, target, weights, **extras) / total.clamp(min=torch.finfo(total.dtype).tiny)

    def residual(
        self, record: Loss, z: Tensor, target: Tensor, *beside: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """``tile``, or the same from ``each``, where the link is the identity or the loss takes pre-activations.

        Sum and derivatives count by weights where these are given.
        """
        if self.tile is not None and beside:
            return self.tile(z, target, *beside, weights=weights)
        if self.tile is not None:
            if weights is None:
                return self.tile(z, target)
            return self._summed(z, target, weights), self.tile(z, target)[1].mul_(weights)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            summed = self.mean(z, target) * z.numel() if weights is None else self._summed(z, target, weights)
            (dz,) = torch.autograd.grad(summed, z)
        return summed.detach(), dz.div_(record.factor)

    def _summed(self, output: Tensor, target: Tensor, weights: Tensor, **extras: Tensor) -> Tensor:
        more = {"weights": weights} if self.couples and weights.shape[1] > 1 else {}
        losses = self.each(output, target, **extras, **more)
        if losses.shape != target.shape:
            raise ValueError(
                f"[TorchLoss] each must give the loss of every value, of shape {tuple(target.shape)}; got shape "
                f"{tuple(losses.shape)}."
            )
        return (losses * weights).sum()


def _squared(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    residual = z - target
    return residual.square().sum(), residual


def _cross_entropy(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    summed = F.binary_cross_entropy_with_logits(z, target, reduction="sum")
    return summed, z.sigmoid().sub_(target)


def offset_of(totals: Tensor) -> Tensor:
    """Logarithm of rows' totals."""
    return totals.clamp(min=_NO_TOTAL).log()


def _rate(z: Tensor, offset: Tensor) -> Tensor:
    """``exp(z + offset)``, bounded as the activation ``exp`` is; the gradient is the rate all the same."""
    return (z - (z - LARGEST_LOG_RATE).clamp(min=0).detach() + offset).exp()


def _deviance(rate: Tensor, logarithm: Tensor, target: Tensor) -> Tensor:
    return rate - target * logarithm + torch.special.xlogy(target, target) - target


def _poisson(z: Tensor, target: Tensor, exposure: Tensor) -> Tensor:
    offset = offset_of(exposure)
    return _deviance(_rate(z, offset), z + offset, target)


def _weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    return values if weights is None else values * weights


def _poisson_tile(z: Tensor, target: Tensor, offset: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    rate = _rate(z, offset)
    return _weighted(_deviance(rate, z + offset, target), weights).sum(), _weighted(rate - target, weights)


def log_sums(z: Tensor, weights: Tensor | None) -> Tensor:
    """Logarithm of every row's sum of ``weights * exp(z)``, ``[n_rows, 1]``; minus infinity where nothing weighs."""
    return (z if weights is None else z + weights.log()).logsumexp(1, keepdim=True)


def shared_offset(totals: Tensor, sums: Tensor) -> Tensor:
    """Logarithm by which the rates of coupled outputs come to their total; that of the total where nothing weighs."""
    return offset_of(totals) - torch.where(sums.isinf(), 0.0, sums)


def _multinomial(z: Tensor, target: Tensor, exposure: Tensor, weights: Tensor | None = None) -> Tensor:
    """With weights ``w`` that of counts ``w x`` and shares of ``w exp(z)``: of those that are known, where they are 0
    or 1. Its gradient is that of a Poisson with the same rates, whose weighted sum is the weighted total (Baker 1994).
    """
    if weights is None:
        logarithm = z.log_softmax(1) + offset_of(exposure)
    else:
        weighing = torch.where((weights > 0).any(1, keepdim=True), weights, 1.0)  # no NaN in gradients
        logarithm = z + shared_offset((target * weights).sum(1, keepdim=True), log_sums(z, weighing))
    return _deviance(target, logarithm, target)  # rates sum to the row's total, as the targets do


def _multinomial_tile(
    z: Tensor, target: Tensor, offset: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    logarithm = z + offset
    rate = logarithm.exp()
    return _weighted(_deviance(rate, logarithm, target), weights).sum(), _weighted(rate - target, weights)


def _dispersion(logarithm: Tensor) -> Tensor:
    return logarithm.clamp(-LARGEST_LOG_DISPERSION, LARGEST_LOG_DISPERSION).exp()


def _negative_binomial(z: Tensor, target: Tensor, exposure: Tensor, log_dispersion: Tensor) -> Tensor:
    return _surprise(z, target, offset_of(exposure), _dispersion(log_dispersion))


def _surprise(z: Tensor, target: Tensor, offset: Tensor, size: Tensor) -> Tensor:
    """Minus the log probability of every count."""
    grown = (_rate(z, offset) / size).log1p()
    ways = size.lgamma() - (target + size).lgamma() + (target + 1).lgamma()
    return (target + size) * grown + target * (size.log() - z - offset) + ways


def _negative_binomial_tile(
    z: Tensor, target: Tensor, offset: Tensor, log_dispersion: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    size, mean = _dispersion(log_dispersion), _rate(z, offset)
    summed, off = _weighted(_surprise(z, target, offset, size), weights).sum(), (target - mean) / (size + mean)
    by_size = size.digamma() - (target + size).digamma() + (mean / size).log1p() + off
    inside = log_dispersion.abs() < LARGEST_LOG_DISPERSION  # beyond the bounds the gradient is that of clamp: 0
    return summed, _weighted(-size * off, weights), _weighted(by_size * size, weights).sum(0) * inside


LOSSES: dict[str, TorchLoss] = {
    "mse": TorchLoss(partial(F.mse_loss, reduction="none"), _squared, F.mse_loss),
    "bce": TorchLoss(
        partial(F.binary_cross_entropy_with_logits, reduction="none"),
        _cross_entropy,
        F.binary_cross_entropy_with_logits,
    ),
    "poisson": TorchLoss(_poisson, _poisson_tile),
    "nb": TorchLoss(_negative_binomial, _negative_binomial_tile),
    "multinomial": TorchLoss(_multinomial, _multinomial_tile, couples=True),
}
"""Torch halves by name: how a loss is computed from outputs or tiles of them."""


def torch_loss(name: str) -> TorchLoss:
    """The torch half of a loss; one that has none raises ValueError."""
    one_of("a loss that is trained", name, LOSSES)
    return LOSSES[name]

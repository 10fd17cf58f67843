"""The torch halves of the losses in `dsae.config.LOSSES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dsae.config import Loss, one_of


@dataclass(frozen=True)
class TorchLoss:
    """A loss in torch, on any device and in any dtype.

    Parameters
    ----------
    mean : callable
        ``mean(output, target, **extras)``, over rows ``[n_rows, n_features]``: differentiable. A loss that needs its
        link takes the last layer's pre-activations in place of the output; one with ``exposure`` also takes
        ``exposure=``, the rows' totals ``[n_rows, 1]``.
    tile : callable, optional
        ``tile(z, target)``: from pre-activations of the last layer, the summed loss and its derivative divided by the
        record's ``factor``. By default autograd derives it from ``mean``.
    """

    mean: Callable[..., Tensor]
    tile: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def residual(self, record: Loss, z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """``tile``, or the same from ``mean``, where the link is the identity or the loss takes pre-activations."""
        if self.tile is not None:
            return self.tile(z, target)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            summed = self.mean(z, target) * z.numel()
            (dz,) = torch.autograd.grad(summed, z)
        return summed.detach(), dz.div_(record.factor)


def _squared(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    residual = z - target
    return residual.square().sum(), residual


def _cross_entropy(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    summed = F.binary_cross_entropy_with_logits(z, target, reduction="sum")
    return summed, z.sigmoid().sub_(target)


LOSSES: dict[str, TorchLoss] = {
    "mse": TorchLoss(F.mse_loss, _squared),
    "bce": TorchLoss(F.binary_cross_entropy_with_logits, _cross_entropy),
}
"""Torch halves by name: how a loss is computed from outputs or tiles of them."""


def torch_loss(name: str) -> TorchLoss:
    """The torch half of a loss; one that has none raises ValueError."""
    one_of("a loss that is trained", name, LOSSES)
    return LOSSES[name]

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
        link takes what the last layer gives in place of the output.
    tile : callable, optional
        ``tile(z, target)``: of what the last layer gives with the loss' link, the summed loss and its derivative over
        the record's ``factor``. By default autograd finds it from ``mean``.
    """

    mean: Callable[..., Tensor]
    tile: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def residual(self, record: Loss, z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """``tile``, or what stands in for it where the link changes nothing or the loss takes logits."""
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

"""An autoencoder for which sparse layers have been written out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from dsae.config import Transform


class DenseAutoencoder(nn.Module):
    """An `Autoencoder` of `torch.nn.Linear` layers, which `torch.export` takes; see `Autoencoder.to_dense`."""

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self,
        layers: Sequence[nn.Linear],
        activations: Iterable[nn.Module],
        n_encoder: int,
        moments: tuple[Tensor, Tensor],
        restored: tuple[Tensor, Tensor] | None,
        transform: tuple[Transform, float],
    ) -> None:
        super().__init__()
        steps = [nn.Sequential(layer, copy.deepcopy(f)) for layer, f in zip(layers, activations, strict=True)]
        self.encoder, self.decoder = nn.Sequential(*steps[:n_encoder]), nn.Sequential(*steps[n_encoder:])
        self.register_buffer("mean", moments[0].detach().clone())
        self.register_buffer("scale", moments[1].detach().clone())
        self.restores, self.transform = restored is not None, transform
        mean, scale = restored or moments
        self.register_buffer("target_mean", mean.detach().clone())
        self.register_buffer("target_scale", scale.detach().clone())

    def encode(self, x: Tensor) -> Tensor:
        """Codes ``[batch, n_components]`` of rows ``[batch, n_features]``."""
        return self.encoder((transformed_rows(x, *self.transform) - self.mean) / self.scale)

    def decode(self, code: Tensor) -> Tensor:
        """Rows ``[batch, n_features]`` from codes ``[batch, n_components]``."""
        output = self.decoder(code)
        return output * self.target_scale + self.target_mean if self.restores else output

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct rows ``[batch, n_features]``."""
        return self.decode(self.encode(x))


def transformed_rows(x: Tensor, transform: Transform, total: float) -> Tensor:
    """Rows ``[batch, n_features]`` as they enter the network; see `dsae.config.transformed`."""
    if transform.by_total:
        totals = x.sum(1, keepdim=True)
        x = x * (total / torch.where(totals > 0, totals, 1.0))
    return transform.apply(x, torch.log1p)

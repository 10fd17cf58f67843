"""An autoencoder for which sparse layers have been written out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from torch import Tensor, nn


class DenseAutoencoder(nn.Module):
    """An `Autoencoder` of `torch.nn.Linear` layers, which `torch.export` takes; see `Autoencoder.to_dense`."""

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        layers: Sequence[nn.Linear],
        activations: Iterable[nn.Module],
        n_encoder: int,
        moments: tuple[Tensor, Tensor],
        restores: bool,
    ) -> None:
        super().__init__()
        steps = [nn.Sequential(layer, copy.deepcopy(f)) for layer, f in zip(layers, activations, strict=True)]
        self.encoder, self.decoder = nn.Sequential(*steps[:n_encoder]), nn.Sequential(*steps[n_encoder:])
        self.register_buffer("mean", moments[0].detach().clone())
        self.register_buffer("scale", moments[1].detach().clone())
        self.restores = restores

    def encode(self, x: Tensor) -> Tensor:
        """Codes ``[batch, n_components]`` of rows ``[batch, n_features]``."""
        return self.encoder((x - self.mean) / self.scale)

    def decode(self, code: Tensor) -> Tensor:
        """Rows ``[batch, n_features]`` from codes ``[batch, n_components]``."""
        output = self.decoder(code)
        return output * self.scale + self.mean if self.restores else output

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct rows ``[batch, n_features]``."""
        return self.decode(self.encode(x))

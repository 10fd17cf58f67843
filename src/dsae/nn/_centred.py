"""What happens to rows before the first layer of a model, and to its output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsae.config import TRANSFORMS, AutoencoderConfig
from dsae.data import Rows, filled
from dsae.nn._dense import transformed_rows
from dsae.nn._fold import Moments
from dsae.ops import SparseRows


class Centred(nn.Module):
    """A module that transforms, centres and scales its input, and takes a linear output back."""

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor
    stand_in: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.n_features))
        self.register_buffer("scale", torch.ones(config.n_features))
        self.register_buffer("target_mean", torch.zeros(config.output_width))
        self.register_buffer("target_scale", torch.ones(config.output_width))
        self.register_buffer("stand_in", torch.zeros(config.n_features), persistent=False)
        self.fills_by_total = False

    def set_moments(
        self,
        mean: Tensor,
        scale: Tensor,
        stand_in: Tensor | None = None,
        target: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Centre (and scale) transformed inputs from now on; a linear output is taken back.

        ``stand_in``, by default ``mean``, is in place of values not known before the transform. ``target`` are the mean
        and the scale of what is predicted, where that is not the input.
        """
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.stand_in.copy_(mean if stand_in is None else stand_in)
        if target is not None or self.config.n_outputs is None:
            target_mean, target_scale = target or (mean, scale)
            self.target_mean.copy_(target_mean)
            self.target_scale.copy_(target_scale)

    def filled(self, rows: Rows) -> Rows:
        """Rows in arrays with what stands for values not known."""
        return filled(rows, self.stand_in.cpu().numpy(), self.fills_by_total)

    def centred(self, x: Tensor | SparseRows) -> Tensor | SparseRows:
        """``(x - mean) / scale`` of transformed rows."""
        return self._less_mean(self.transformed(x))

    def transformed(self, x: Tensor | SparseRows) -> Tensor | SparseRows:
        """Rows after the input transform, before they are centred."""
        record, total = TRANSFORMS[self.config.input_transform], self.config.input_total
        if record.name == "none":
            return x
        return x.transformed(record, total) if isinstance(x, SparseRows) else transformed_rows(x, record, total)

    def _less_mean(self, x: Tensor | SparseRows) -> Tensor | SparseRows:
        return standardised(x, self.mean, self.scale)

    def _restored(self, output: Tensor) -> Tensor:
        return output * self.target_scale + self.target_mean if self.config.output.linear else output

    @property
    def _moments(self) -> tuple[Moments, Moments]:
        """Mean and scale of the input, and of the output, in float64."""
        held = (self.mean, self.scale), (self.target_mean, self.target_scale)
        into, out = ((mean.double().cpu().numpy(), scale.double().cpu().numpy()) for mean, scale in held)
        return into, out


def standardised(rows: Tensor | SparseRows, mean: Tensor, scale: Tensor) -> Tensor | SparseRows:
    """``(rows - mean) / scale``."""
    if isinstance(rows, SparseRows):
        return rows.centred(mean, scale)
    return (rows - mean).div_(scale)

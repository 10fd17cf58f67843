"""Activations on rows ``[batch, features]`` and panels ``[n_panels, features, lanes]`` alike: features are axis 1."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from dsae import ops
from dsae.config import LARGEST_LOG_RATE, one_of
from dsae.topology import Topology


class Activation(nn.Module):
    """A non-linearity; subclasses define its value and its directional derivative.

    Parameters
    ----------
    n_features : int, optional
    k : int, optional
        Non-zeros per row, where that has a meaning.
    """

    def __init__(self, n_features: int | None = None, k: int | None = None) -> None:
        super().__init__()
        self.k = k

    def start(self, mean: Tensor) -> Tensor | None:
        """Initial bias of an output layer whose output should be ``mean``; by default zero."""
        return None

    def tangent(self, code: Tensor, t: Tensor) -> Tensor:
        """Change of the output ``code`` when the input changes by ``t``; by default where the unit is on."""
        return t * (code != 0)


class Identity(Activation):
    """z."""

    def tangent(self, code: Tensor, t: Tensor) -> Tensor:
        """``t`` itself."""
        return t

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """``z`` itself."""
        return z


class ReLU(Activation):
    """max(z, 0)."""

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """Negative values become zero."""
        return z.relu()


class Sigmoid(Activation):
    """1 / (1 + exp(-z)), each unit in 0..1."""

    def start(self, mean: Tensor) -> Tensor:
        """Its logit, within the bounds that float32 holds: the rate of a rare item is often below one in a thousand."""
        return mean.clamp(1e-6, 1 - 1e-6).logit()

    def tangent(self, code: Tensor, t: Tensor) -> Tensor:
        """h (1 - h) t."""
        return t * code * (1 - code)

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """Each unit by itself."""
        return z.sigmoid()


class Exp(Activation):
    """exp(min(z, 15)), for rates; where it is bounded, its gradient is that of its value."""

    def start(self, mean: Tensor) -> Tensor:
        """Its logarithm, from 1e-6 on."""
        return mean.clamp(min=1e-6).log()

    def tangent(self, code: Tensor, t: Tensor) -> Tensor:
        """h t."""
        return t * code

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """Each unit by itself."""
        return (z - (z - LARGEST_LOG_RATE).clamp(min=0).detach()).exp()


class Softmax(Activation):
    """exp(z) / sum(exp(z)): a probability distribution over the units."""

    def tangent(self, code: Tensor, t: Tensor) -> Tensor:
        """h (t - <h, t>)."""
        return code * (t - (code * t).sum(1, keepdim=True))

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """Over the features of each sample."""
        return z.softmax(1)


class SparseActivation(Activation):
    """One that leaves few latents of a row, which it can name."""

    @property
    def expected(self) -> int | None:
        """Latents of a row that live, as far as that is known before."""
        return None

    @abstractmethod
    def support(self, z: Tensor) -> Topology:
        """Of float32 rows ``z`` on the CPU, the entries on which the code or its gradient depends."""

    def of(self, near: ops.Code) -> Tensor:
        """The code at the entries of its support, of the pre-activations there; by default these themselves."""
        return near.values


class Thresholded(SparseActivation):
    """One that leaves the latents above a threshold."""

    threshold: Tensor
    """Of all latents, or of each."""

    @abstractmethod
    def set_threshold(self, threshold: Tensor) -> None:
        """Take a threshold for each latent, ``[n_features]``."""


class TopK(SparseActivation):
    """The ``k`` largest of each sample, where positive; the rest is zero (Makhzani & Frey 2013; Gao et al. 2024)."""

    k: int

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """At most ``k`` non-zeros per sample."""
        best, at = z.topk(self.k, dim=1)
        return torch.zeros_like(z).scatter(1, at, best.relu())

    @property
    def expected(self) -> int:
        """``k``."""
        return self.k

    def support(self, z: Tensor) -> Topology:
        """Those that live."""
        return ops.topk_of(z, self.k)

    def extra_repr(self) -> str:
        """``k``, for ``print``."""
        return f"k={self.k}"


class BatchTopK(Thresholded):
    """The ``k * batch`` largest of a whole batch in training; a threshold at inference (Bussmann et al. 2024).

    The threshold is the running mean of the smallest kept value, so that at inference a row's code does not depend on
    the other rows.
    """

    k: int
    threshold: Tensor
    n_updates: Tensor

    def __init__(self, n_features: int, k: int) -> None:
        super().__init__(n_features, k)
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """``n_rows`` is the number of samples in a stack of panels, without padding."""
        if not self.training:
            return z * (z > self.threshold)
        n_rows = n_rows or (z.shape[0] if z.ndim == 2 else z.shape[0] * z.shape[2])
        # Without the lanes of the last panel that hold no row.
        candidates = z.detach() if z.ndim == 2 else z.detach().transpose(1, 2).reshape(-1, z.shape[1])[:n_rows]
        if ops.ranks().size > 1:
            smallest = ops.kth_over_ranks(candidates, self.k, n_rows)
        else:
            kept = candidates.flatten().topk(min(self.k * n_rows, candidates.numel()), sorted=False).values
            smallest = kept.min().clamp(min=0)
        self._follow(smallest)
        code = z * ((z >= smallest) & (z > 0))
        return code

    @property
    def expected(self) -> int | None:
        """``k`` in training."""
        return self.k if self.training else None

    def support(self, z: Tensor) -> Topology:
        """Those that live."""
        if not self.training:
            return ops.above(z, self.threshold)
        if ops.ranks().size > 1:
            smallest = np.float32(ops.kth_over_ranks(z, self.k, z.shape[0]).item())
        else:
            smallest = np.float32(ops.kth_of_all(z, min(self.k * z.shape[0], z.numel())))
        self._follow(self.threshold.new_tensor(smallest))
        # `above` is strict, and the smallest itself belongs to the code.
        below = np.nextafter(smallest, np.float32(-1)) if smallest > 0 else smallest
        return ops.above(z, self.threshold.new_tensor(below))

    @torch.no_grad()
    def set_threshold(self, threshold: Tensor) -> None:
        """Set one threshold for all latents."""
        self.threshold.copy_(threshold[0])

    @torch.no_grad()
    def _follow(self, smallest: Tensor) -> None:
        self.n_updates += 1
        # A mean at first, then one that forgets over 100 batches.
        self.threshold += (smallest - self.threshold) / self.n_updates.clamp(max=100)

    def extra_repr(self) -> str:
        """``k``, for ``print``."""
        return f"k={self.k}"


class _Jump(Function):
    """z where z > threshold; the threshold's gradient through a rectangle of the given bandwidth."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, d_code: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.bandwidth / 2) * d_code
        d_threshold = (-threshold / ctx.bandwidth * near).sum_to_size(threshold.shape)
        return d_code * (z > threshold), d_threshold, None


class _Step(Function):
    """1 where z > threshold; the threshold's gradient as in `_Jump`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, d_step: Tensor) -> tuple[None, Tensor, None]:  # type: ignore[override]
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.bandwidth / 2) * d_step
        return None, (-1 / ctx.bandwidth * near).sum_to_size(threshold.shape), None


class JumpReLU(Thresholded):
    """z where it exceeds a learned positive threshold per latent, else zero (Rajamanoharan et al. 2024).

    The straight-through estimators are those of the paper's equations 11 and 12 with a rectangle kernel.
    """

    def __init__(self, n_features: int, k: int | None = None, bandwidth: float = 0.1) -> None:
        super().__init__(n_features, k)
        self.bandwidth = bandwidth
        self.log_threshold = nn.Parameter(torch.full((n_features,), -3.0))

    @property
    def threshold(self) -> Tensor:
        """Threshold per latent, ``[n_features]``, positive."""
        return self.log_threshold.exp()

    @torch.no_grad()
    def set_threshold(self, threshold: Tensor) -> None:
        """Set a threshold per latent."""
        self.log_threshold.copy_(threshold.log())

    def _like(self, z: Tensor) -> Tensor:
        return self.threshold if z.ndim == 2 else self.threshold[:, None]

    def forward(self, z: Tensor, n_rows: int | None = None) -> Tensor:
        """Each unit by itself."""
        return _Jump.apply(z, self._like(z), self.bandwidth)  # type: ignore[return-value]

    def support(self, z: Tensor) -> Topology:
        """Those that live and, where gradients are wanted, those within the kernel of their threshold."""
        return ops.above(z, self.threshold, self.bandwidth / 2 if torch.is_grad_enabled() else 0.0)

    def of(self, near: ops.Code) -> Tensor:
        """Zero below the threshold."""
        return _Jump.apply(near.values, self._of_entries(near), self.bandwidth)  # type: ignore[return-value]

    def l0(self, z: Tensor | ops.Code) -> Tensor:
        """Mean number of units above their threshold, for rows ``z`` or the entries of `support`; differentiable in the
        thresholds.
        """
        if isinstance(z, ops.Code):
            steps = _Step.apply(z.values, self._of_entries(z), self.bandwidth)
            return steps.sum() / max(1, z.shape[0])  # type: ignore[union-attr]
        return _Step.apply(z, self._like(z), self.bandwidth).sum(1).mean()  # type: ignore[union-attr]

    def _of_entries(self, near: ops.Code) -> Tensor:
        return self.threshold[torch.from_numpy(near.pattern.indices.astype(np.int64))]


ACTIVATIONS: dict[str, type[Activation]] = {
    "identity": Identity,
    "relu": ReLU,
    "sigmoid": Sigmoid,
    "softmax": Softmax,
    "topk": TopK,
    "batchtopk": BatchTopK,
    "jumprelu": JumpReLU,
    "exp": Exp,
}


def activation(name: str, n_features: int, k: int | None = None) -> Activation:
    """The module of an activation, by its name in the configuration."""
    one_of("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name](n_features, k)  # type: ignore[arg-type]

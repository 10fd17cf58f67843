"""A term of the loss that brings dead latents back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dsae import ops
from dsae.nn import Autoencoder, SparseLinear, Trace, restored
from dsae.shrink._base import Shrinker

_LIFT = 0.01  # per step; by the gradient alone 30 % stayed dead in 12 dimensions (docs/design/codes.md)


class AuxK(Shrinker):
    """Dead latents reconstruct the residual: ``weight * var(x) * |e - e'|^2 / |e|^2`` (Gao et al. 2024, eq. 7).

    e is the residual of the batch, as a target only, and e' what the ``n_features / 2`` largest pre-activations of dead
    latents add to the output: their product with the decoder's Jacobian at the row's own code, which for one linear
    layer is its matrix. The pre-activations are used without a ReLU: with one, as in the paper, a latent that is dead
    because it is negative everywhere would get no gradient and stay dead.

    A latent far below zero would still not return: e' is then a constant, and the decoder makes it vanish sooner than
    Adam's steps can raise the bias. So during training a dead latent's bias also rises, by 1 % of the gap between its
    largest pre-activation in the batch and the largest of any latent, until it fires.

    While a latent is dead, a residual as wide as the data is materialised, even for sparse data: of the whole batch, or
    of as many rows as make 2^24 numbers.

    Parameters
    ----------
    dead_after : int
        Samples without firing after which a latent counts as dead.
    weight : float
        1/32 in the paper; the factor var(x), the variance of the target, brings the quotient to the scale of the loss.

    Attributes
    ----------
    idle : Tensor of int64, shape (n_components,), or None
        Samples seen in training since each latent last fired.
    """

    def __init__(self, dead_after: int, weight: float = 1 / 32) -> None:
        self.weight, self.dead_after = weight, dead_after
        self.idle: Tensor | None = None

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """0 while no latent is dead; the clocks advance only during training."""
        if model.training:
            self._tick(trace)
        dead = self.dead()
        if not dead.numel():
            return 0.0
        if model.training:
            self._lift(model, trace, dead)
        scale, few = trace.variance, trace.subsample()
        with torch.no_grad():  # keeps the subsample out of the layers' tapes, too
            residual = few.target - few.rows(few.output)
        left = residual.square().mean().clamp(min=1e-6 * scale)
        error = (few.rows(self._added(model, few, dead)) - residual).square().mean()
        return self.weight * scale * (error / left.clamp(min=torch.finfo(left.dtype).tiny))

    def dead(self) -> Tensor:
        """Which latents have not fired for ``dead_after`` samples."""
        return (
            torch.empty(0, dtype=torch.int64, device="cpu")
            if self.idle is None
            else (self.idle >= self.dead_after).nonzero()[:, 0]
        )

    def state_dict(self) -> dict[str, Any]:
        """The clocks."""
        return {} if self.idle is None else {"idle": self.idle}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """The clocks go on."""
        self.idle = None
        if "idle" in state:
            code = [layer for name, layer in layers.items() if name.startswith("encoder")][-1]
            clocks = torch.empty(code.out_features, dtype=torch.int64, device=code.values.device)
            self.idle = restored(state["idle"], clocks, "idle")

    @torch.no_grad()
    def _tick(self, trace: Trace) -> None:
        code = trace.code
        if self.idle is None:
            self.idle = torch.zeros(code.shape[1], dtype=torch.int64, device=code.device)
        self.idle += code.shape[0]
        self.idle[(code != 0).any(0)] = 0

    @torch.no_grad()
    def _lift(self, model: Autoencoder, trace: Trace, dead: Tensor) -> None:
        largest = ops.tensor_of(trace.hidden[-1]).max()
        highest = ops.tensor_of(trace.pre_code)[:, dead].transpose(0, 1).flatten(1).amax(1)
        bias: Tensor = model.encoder[-1].bias  # type: ignore[assignment]
        bias[dead] += _LIFT * (largest - highest).clamp(min=0)

    def _added(self, model: Autoencoder, trace: Trace, dead: Tensor) -> Tensor | ops.Panels:
        k = min(max(1, model.config.n_features // 2), dead.numel())

        def largest(pre_code: Tensor) -> Tensor:
            best, at = pre_code[:, dead].topk(k, dim=1)
            return torch.zeros_like(pre_code).scatter(1, dead[at], best)

        t = ops.on_features(largest, trace.pre_code)
        decoders = zip(model.decoder, trace.decoded, model.activations[len(model.encoder) :], strict=True)
        for layer, output, activation in decoders:
            output = ops.on_features(Tensor.detach, output)
            t = ops.on_features(activation.tangent, output, layer.tangent(t))  # type: ignore[operator]
        return t

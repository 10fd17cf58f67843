"""A term of the loss that brings dead latents back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsae import ops
from dsae.nn import Autoencoder, SparseLinear, Trace, bias_of, restored
from dsae.shrink._base import Shrinker
from dsae.topology import Topology

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

    Latents that no input reaches, or that reach no output, stay as they are: raised, they would fire in every row and
    add a constant or nothing (`Autoencoder.connected`).

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
        if dead.numel():
            dead = dead[torch.from_numpy(model.connected).to(dead.device)[dead]]
        if not dead.numel():
            return 0.0
        if model.training:
            self._lift(model, trace, dead)
        scale, few = trace.variance, trace.subsample()
        with torch.no_grad():  # keeps the subsample out of the layers' tapes, too
            residual = few.target - few.rows(few.output)
        # Where nothing is left to explain, the ratio would explode.
        left = ops.mean_over_ranks(residual.square().mean(), few.n_rows).clamp(min=1e-6 * scale)
        own = (few.rows(self._added(model, few, dead)) - residual).square().mean()
        error = ops.mean_over_ranks(own, few.n_rows)
        return self.weight * scale * (error / left.clamp(min=torch.finfo(left.dtype).tiny))

    def dead(self) -> Tensor:
        """Which latents have not fired for ``dead_after`` samples."""
        return (
            torch.empty(0, dtype=torch.int64, device="cpu")
            if self.idle is None
            else (self.idle >= self.dead_after).nonzero()[:, 0]
        )

    def near_death(self, model: Autoencoder, n_rows: int) -> bool:
        """Whether a latent that can fire counts as dead, or will if it does not fire in ``n_rows`` samples more."""
        if self.idle is None:
            return n_rows >= self.dead_after
        idle = self.idle[torch.from_numpy(model.connected).to(self.idle.device)]
        return bool(idle.numel()) and int(idle.max()) + n_rows >= self.dead_after

    def state_dict(self) -> dict[str, Any]:
        """The clocks."""
        return {} if self.idle is None else {"idle": self.idle}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """The clocks continue."""
        self.idle = None
        if "idle" in state:
            code = [layer for name, layer in layers.items() if name.startswith("encoder")][-1]
            clocks = torch.empty(code.out_features, dtype=torch.int64, device=code.values.device)
            self.idle = restored(state["idle"], clocks, "idle")

    @torch.no_grad()
    def _tick(self, trace: Trace) -> None:
        latents, n_rows, _ = trace.fired
        if self.idle is None:
            self.idle = torch.zeros(latents.numel(), dtype=torch.int64, device=trace.device)
        self.idle += n_rows
        self.idle[latents] = 0

    @torch.no_grad()
    def _lift(self, model: Autoencoder, trace: Trace, dead: Tensor) -> None:
        pre_code, code = trace.pre_code, trace.hidden[-1]
        if isinstance(pre_code, ops.PreCode):
            assert isinstance(code, ops.Code)
            highest, largest = pre_code.z[:, dead].amax(0), pre_code.near.values.new_zeros(1)
            largest = torch.cat([largest, code.values]).max()
        else:
            assert not isinstance(code, ops.Code)
            largest = ops.tensor_of(code).max()
            highest = ops.tensor_of(pre_code)[:, dead].transpose(0, 1).flatten(1).amax(1)
        both = torch.cat([largest.reshape(1), highest])
        if ops.ranks().size > 1:
            ops.ranks().max(both.fill_(-torch.inf) if ops.ranks().void else both)
        largest, highest = both[0], both[1:]
        bias_of(model.encoder[-1])[dead] += _LIFT * (largest - highest).clamp(min=0)

    def _added(self, model: Autoencoder, trace: Trace, dead: Tensor) -> Tensor | ops.Panels:
        k = min(max(1, model.config.n_features // 2), dead.numel())
        if isinstance(trace.pre_code, ops.PreCode):
            t = _largest(trace.pre_code, dead, k)
        else:
            t = ops.on_features(lambda z: _largest_of_rows(z, dead, k), trace.pre_code)
        decoders = zip(model.decoder, trace.decoded, model.activations[len(model.encoder) :], strict=True)
        for layer, output, activation in decoders:
            t, output = layer.tangent(t), ops.on_features(Tensor.detach, output)  # type: ignore[operator]
            t = ops.on_features(activation.tangent, output, trace.like(t, output))  # type: ignore[arg-type]
        return t  # type: ignore[return-value]


def _largest_of_rows(pre_code: Tensor, dead: Tensor, k: int) -> Tensor:
    best, at = pre_code[:, dead].topk(k, dim=1)
    return torch.zeros_like(pre_code).scatter(1, dead[at], best)


def _largest(pre_code: ops.PreCode, dead: Tensor, k: int) -> ops.Code:
    """The same as a code."""
    n_rows = pre_code.shape[0]
    latents = dead[pre_code.z[:, dead].topk(k, dim=1, sorted=False).indices].sort(1).values
    starts = np.arange(0, n_rows * k + 1, k, dtype=np.int32)
    pattern = Topology(pre_code.shape, starts, latents.numpy().ravel().astype(np.int32))
    return ops.Code(pattern, pre_code.at(pattern))

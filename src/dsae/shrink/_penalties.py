"""Terms of the loss, which is a mean over samples and outputs: sums over units are divided by the number of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dsae import ops
from dsae.config import AutoencoderConfig
from dsae.nn import Autoencoder, JumpReLU, SparseLinear, Trace, restored
from dsae.shrink._base import Shrinker

_EPS = 1e-6
_LEAST_LOG_THRESHOLD = -12.0  # stops the shift where no row has k latents to offer


class L2(Shrinker):
    """strength / 2 * sum(w^2) over the active weights: torch's ``weight_decay``, as a penalty."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """Over all layers."""
        return 0.5 * self.strength * sum(layer.values.square().sum() for layer in model.layers.values())

    @torch.no_grad()
    def add_gradient(self, model: Autoencoder) -> float:
        """The penalty, its gradient added to ``grad`` of every layer's values."""
        for layer in model.layers.values():
            assert layer.values.grad is not None
            layer.values.grad.add_(layer.values, alpha=self.strength)
        return float(self.penalty(model, None))  # type: ignore[arg-type]


class Contractive(Shrinker):
    """strength * |J|_F^2 / n_outputs, J the Jacobian of the encoder (Rifai et al. 2011, eq. 2 and 3).

    For any depth, |J|_F^2 is the mean of |J u|^2 over u ~ N(0, 1) (Hutchinson); each sample draws one u, and J u is
    one more pass through the encoder. u is as wide as the data, also where these are sparse; of these, rows that make
    2^24 numbers draw one.
    """

    def __init__(self, strength: float, seed: int) -> None:
        self.strength = strength
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """An unbiased estimate over the batch."""
        return self.strength * self.squared_norm(model, trace) / model.config.output_width

    def squared_norm(self, model: Autoencoder, trace: Trace) -> Tensor:
        """Estimate of the mean over samples of |J|_F^2."""
        trace = trace.subsample()
        t = trace.like_input(self._draw)
        for name, output, activation in zip(model.names("encoder"), trace.hidden, model.activations, strict=False):
            t = model.layers[name].tangent(t)
            t = ops.on_features(activation.tangent, trace.like(output, t), t)  # type: ignore[arg-type]
        return trace.rows(t).square().sum(1).mean()

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        generator, world = self._generator, ops.ranks()
        if world.size > 1:  # the same on all ranks is a number from which each draws on by itself
            drawn = int(torch.randint(2**62, (), generator=generator, device="cpu"))
            generator = torch.Generator("cpu").manual_seed(drawn + world.rank)
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    def state_dict(self) -> dict[str, Any]:
        """The generator's."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """Draw on from there."""
        self._generator.set_state(restored(state["generator"], self._generator.get_state(), "a generator"))


class TargetRate(Shrinker):
    """Pulls the code's activation rate to a target.

    For sigmoid codes, ``beta * sum_j KL(rate || mean activation of unit j)`` (Ng 2011, CS294A notes on sparse
    autoencoders). For softmax codes, whose mean is always 1/n, the rate is that of each sample: the perplexity of the
    distribution divided by n; excess over the target is penalised.

    Parameters
    ----------
    rate : float
        In (0, 1).
    beta : float
        Weight against half the summed squared error, as in Ng's notes.
    """

    def __init__(self, rate: float, beta: float = 3.0) -> None:
        self.rate, self.beta = rate, beta

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """Summed over units, in the scale of the loss."""
        return self.on_code(model.config, trace.code)

    def on_code(self, config: AutoencoderConfig, code: Tensor) -> Tensor:
        """The same from a code ``[n_rows, n_components]`` alone."""
        excess = self._entropy_excess(code) if config.code.by_row else self._divergence(code)
        return 2 * self.beta * excess / config.output_width

    def _divergence(self, code: Tensor) -> Tensor:
        mean = ops.mean_over_ranks(code.mean(0), code.shape[0]).clamp(_EPS, 1 - _EPS)
        rate = self.rate
        return (rate * (rate / mean).log() + (1 - rate) * ((1 - rate) / (1 - mean)).log()).sum()

    def _entropy_excess(self, code: Tensor) -> Tensor:
        entropy = -(code * code.clamp(min=_EPS).log()).sum(1)
        allowed = max(0.0, code.new_tensor(self.rate * code.shape[1]).log().item())
        return (entropy - allowed).relu().mean()


class TargetL0(Shrinker):
    """Brings the mean number of active latents of a jumprelu code to ``k`` by a learned price.

    ``var(x) * (price * excess + weight * excess^2)`` with ``excess = L0 / k - 1`` is added to the loss, and every
    training step adds ``rate * excess`` to the price: a Lagrange multiplier found by dual ascent. With the square
    alone the reconstruction pulls L0 away from its target, the more so the more it gains (60 instead of 25 on sums of
    30 atoms out of 2048).

    The price acts through the learning rate, which ends near zero while latents still return. So every step also moves
    all log thresholds by ``shift * excess``: the price sets how thresholds differ, the shift their common level. Both
    use an excess of at most 1; no threshold falls below ``exp(-12)``, even if no row has ``k`` latents to offer.
    """

    def __init__(self, k: int, weight: float = 0.1, rate: float = 1e-3, shift: float = 3e-3) -> None:
        self.k, self.weight, self.rate, self.shift, self.price = k, weight, rate, shift, 0.0
        self._begun = False

    def penalty(self, model: Autoencoder, trace: Trace) -> Tensor | float:
        """Through the thresholds' straight-through estimator."""
        jump = model.code_activation
        assert isinstance(jump, JumpReLU)
        z = trace.pre_code.near if isinstance(trace.pre_code, ops.PreCode) else trace.rows(trace.pre_code)
        if model.training and not self._begun:
            # which latents are near their thresholds was found before these move
            z = trace.pre_code.z if isinstance(trace.pre_code, ops.PreCode) else trace.rows(trace.pre_code)
            self._begin(jump, z.detach())
        l0 = ops.mean_over_ranks(jump.l0(z), trace.n_rows)
        excess = l0 / self.k - 1  # relative to k, so that the rates serve any k
        if model.training:
            self._follow(jump, min(max(excess.item(), -1.0), 1.0))
        scale = trace.variance
        return scale * (self.price * excess + self.weight * excess.square())

    @torch.no_grad()
    def _begin(self, jump: JumpReLU, z: Tensor) -> None:
        """One factor for all thresholds gives the first batch its L0; learning it would take thousands of steps."""
        self._begun = True
        ratio = (z / jump.threshold).flatten()
        # The k latents of each row that reach farthest above their thresholds, on average over the batch, stay above.
        if ops.ranks().size > 1:
            factor = ops.kth_over_ranks(ratio, self.k, z.shape[0])
        else:
            factor = ratio.topk(min(self.k * z.shape[0], ratio.numel()), sorted=False).values.min()
        jump.log_threshold.add_(factor.clamp(min=1e-3).log())

    @torch.no_grad()
    def _follow(self, jump: JumpReLU, excess: float) -> None:
        self.price += self.rate * excess
        jump.log_threshold.add_(self.shift * excess).clamp_(min=_LEAST_LOG_THRESHOLD)

    def state_dict(self) -> dict[str, Any]:
        """The price, and whether the first batch was seen."""
        return {"price": self.price, "begun": self._begun}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """The price that was found."""
        self.price, self._begun = float(state["price"]), bool(state["begun"])

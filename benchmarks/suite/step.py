"""A whole training step of a deep autoencoder: forward, backward, Adam, and topology updates at their usual rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from dsae import ops
from dsae.config import AutoencoderConfig
from dsae.nn import Autoencoder
from dsae.nn._autoencoder import target_nnz
from dsae.shrink import METHODS, Clock, Rewire
from dsae.train import SparseAdam, swap_parameter
from suite.contestants import DENSE
from suite.timing import Settings, progress, turns

WIDTHS, CODE, BATCH = (4096, 4096), 256, 256
DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
EVERY = 100  # steps between topology updates
AUTOCAST = "autocast bfloat16"


class SparseTraining:
    """Our model and the step of `dsae.train`, one step at a time."""

    def __init__(self, widths: tuple[int, ...], code: int, density: float, method: str, x: torch.Tensor) -> None:
        config = AutoencoderConfig(
            n_features=widths[0], n_components=code, hidden_layer_sizes=widths[1:], density=density
        )
        generator = torch.Generator().manual_seed(0)
        self.x, self.model = x, Autoencoder(config, generator).train()
        self.layers = self.model.layers
        self.optimizer = SparseAdam(self.layers, self.model.parameters())
        self.shrinkers = (Rewire(METHODS[method], target_nnz(config), seed=0),)
        self.round = 0

    def plain(self) -> None:
        """The step before an update; it tells the layers to keep what a gradient-based update will need."""
        self._step(EVERY * (self.round + 1) - 1)

    def update(self) -> None:
        """A step whose topology update is due."""
        self.round += 1
        self._step(EVERY * self.round)

    def _step(self, count: int) -> None:
        """As `dsae.train` does it."""
        with ops.sparing_threads():
            self._update(count)

    def _update(self, count: int) -> None:
        clock = Clock(count, 10**6 * EVERY, EVERY)
        self.optimizer.set_rate(1e-3)
        self.optimizer.zero_grad()
        trace = self.model.trace(self.x)
        loss = trace.loss("mse")
        objective = loss + sum(shrinker.penalty(self.model, trace) for shrinker in self.shrinkers)
        _finite(loss.item(), objective.item())
        objective.backward()
        self.optimizer.step()
        for shrinker in self.shrinkers:
            shrinker.prox(self.layers, self.optimizer.rates())
        for shrinker in self.shrinkers:
            for name, rewiring in shrinker.rewire(self.layers, clock).items():
                swap_parameter(self.optimizer, self.layers[name], rewiring)
                shrinker.moved(name, rewiring)


def dense_training(widths: tuple[int, ...], code: int, x: torch.Tensor, autocast: bool) -> Callable[[], None]:
    """The dense twin's step, float32 or under bfloat16 autocast with float32 master weights."""
    torch.manual_seed(0)
    sizes = (*widths, code, *widths[::-1])
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        linear_after = n_out == code or i == len(sizes) - 2
        layers += [nn.Linear(n_in, n_out)] if linear_after else [nn.Linear(n_in, n_out), nn.ReLU()]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            loss = nn.functional.mse_loss(model(x), x)
        _finite(loss.item())
        loss.backward()
        optimizer.step()

    return step


def _finite(*losses: float) -> None:
    if not all(map(math.isfinite, losses)):
        raise FloatingPointError(f"The loss became {losses}.")


def measure(settings: Settings) -> dict[str, Any]:
    """One row per density: an ordinary step, a step with an update, and the mean over `EVERY` steps."""
    widths = settings.pick(WIDTHS, (512, 512))
    densities = settings.pick(DENSITIES, (0.05,))
    x = torch.randn(BATCH, widths[0])
    dense = {DENSE: dense_training(widths, CODE, x, False), AUTOCAST: dense_training(widths, CODE, x, True)}
    rows = []
    with progress("step", len(densities)) as advance:
        for density in densities:
            advance(f"density {density:g}")
            rows.append(_measure(widths, density, x, dense, settings))
    sizes = (*widths, CODE, *widths[::-1])
    return {"widths": sizes, "batch": BATCH, "every": EVERY, "rows": rows}


def _measure(widths: tuple[int, ...], density: float, x: torch.Tensor, dense: dict, settings: Settings) -> dict:
    runs = {method: SparseTraining(widths, CODE, density, method, x) for method in ("set", "rigl")}
    calls, before = dict(dense), {}
    for method, run in runs.items():
        calls |= {f"{method} plain": run.plain, f"{method} update": run.update}
        before[f"{method} update"] = run.plain
    ms = turns(calls, settings.pick(12.0, 0.5), least=settings.pick(7, 3), before=before)
    mean = {
        method: ((EVERY - 1) * ms[f"{method} plain"]["median"] + ms[f"{method} update"]["median"]) / EVERY
        for method in runs
    }
    model = runs["set"].model
    return {"density": density, "nnz": model.nnz, "ms": ms, "mean_ms": mean}

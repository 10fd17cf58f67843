"""A training step of a deep autoencoder, as whole fits through the estimator take it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from dsae import DeepSparseAutoencoder
from suite.contestants import BF16, DENSE, OURS
from suite.timing import Settings, progress, summary

# Features, hidden widths, width of the code, steps in an epoch.
SHAPES = ((784, (1024, 256), 32, 235), (4096, (4096,), 256, 6))
BATCH, EPOCHS = 256, (1, 5)
DENSITIES = (1.0, 0.2, 0.1, 0.05, 0.02, 0.01)
TORCH = (DENSE, BF16)
# Outputs that share their inputs.
BLOCKS = (1, 4)


def measure(settings: Settings) -> dict[str, Any]:
    """Milliseconds a step, one row per shape and density; ``random`` topologies, so that the density is fixed."""
    shapes = settings.pick(SHAPES, ((64, (32,), 8, 2),))
    densities = settings.pick(DENSITIES, (1.0, 0.1))
    rounds = settings.pick(3, 1)
    found = []
    with progress("step", rounds * len(shapes)) as advance:
        for shape in shapes:
            calls = _calls(shape, densities)
            taken: dict[Any, list[float]] = {key: [] for key in calls}
            for at in range(rounds):
                advance(f"{shape[0]} features, round {at + 1}")
                for key, call in calls.items():
                    taken[key].append(call())
            found += _rows(shape, taken)
    return {"batch": BATCH, "epochs": EPOCHS, "rows": found}


def _rows(shape: tuple[Any, ...], taken: dict[Any, list[float]]) -> Iterator[dict[str, Any]]:
    features, hidden, code, _ = shape
    dense = {name: summary(taken[name]) for name in TORCH}
    for (density, block), seconds in ((key, taken[key]) for key in taken if key not in TORCH):
        widths = (features, *hidden, code)
        yield {"widths": widths, "density": density, "block_size": block, "ms": {OURS: summary(seconds), **dense}}


def _calls(shape: tuple[Any, ...], densities: tuple[float, ...]) -> dict[Any, Callable[[], float]]:
    features, hidden, code, steps = shape
    X = np.random.default_rng(0).random((steps * BATCH, features), np.float32)
    sizes = (features, *hidden, code, *hidden[::-1], features)
    calls: dict[Any, Callable[[], float]] = {name: _torch(sizes, X, name == BF16) for name in TORCH}
    for density in densities:
        for block in BLOCKS if density < 1 else (1,):
            calls[density, block] = _ours(hidden, code, X, density, block)
    return calls


def _ours(hidden: tuple[int, ...], code: int, X: np.ndarray, density: float, block: int) -> Callable[[], float]:
    """Seconds a step: the difference of two fits, which leaves out what a fit does once."""
    how = {"n_components": code, "hidden_layer_sizes": hidden, "density": density, "batch_size": BATCH}
    how |= {"block_size": block} if block > 1 else {}

    def fit(epochs: int) -> float:
        shrink = "none" if density == 1 else "random"
        estimator = DeepSparseAutoencoder(**how, shrink=shrink, max_iter=epochs, random_state=0, verbose=0)
        begun = time.perf_counter()
        estimator.fit(X)
        return time.perf_counter() - begun

    steps = (EPOCHS[1] - EPOCHS[0]) * (len(X) // BATCH)
    return lambda: -(fit(EPOCHS[0]) - fit(EPOCHS[1])) / steps


def _torch(sizes: tuple[int, ...], X: np.ndarray, autocast: bool) -> Callable[[], float]:
    """Seconds a step of a plain loop: float32, or bfloat16 autocast with float32 master weights; fused Adam."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        linear_after = i in (len(sizes) // 2 - 1, len(sizes) - 2)
        layers += [nn.Linear(n_in, n_out)] if linear_after else [nn.Linear(n_in, n_out), nn.ReLU()]
    model, rows = nn.Sequential(*layers), torch.from_numpy(X)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(x: torch.Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            loss = nn.functional.mse_loss(model(x), x)
        if not np.isfinite(loss.item()):
            raise FloatingPointError(f"The loss became {loss.item()}.")
        loss.backward()
        optimizer.step()

    def epoch() -> float:
        begun = time.perf_counter()
        for batch in torch.randperm(len(rows)).split(BATCH):
            step(rows[batch])
        return (time.perf_counter() - begun) / (len(rows) // BATCH)

    return epoch

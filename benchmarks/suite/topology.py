"""What a topology update costs: time beside ordinary steps, and memory."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from typing import Any

import torch

from dsae.nn import SparseLinear
from dsae.shrink import METHODS, Clock, Rewire
from dsae.train import swap_parameter
from suite.memory import peak_growth, training_bytes
from suite.timing import Settings, progress, summary

WIDTH, BATCH, DENSITY, EVERY = 4096, 256, 0.05, 100


class Training:
    """One layer under Adam and a topology method."""

    def __init__(self, width: int, method: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.layer = SparseLinear(width, width, density=DENSITY, generator=generator)
        self.layers = {"layer": self.layer}
        self.optimizer = torch.optim.Adam(self.layer.parameters(), lr=1e-3, fused=True)
        self.method = Rewire(METHODS[method], {"layer": self.layer.nnz}, seed=0)
        self.x = torch.randn(BATCH, width, requires_grad=True)
        self.dy = torch.randn(BATCH, width)
        self.round = 0

    def step(self) -> None:
        """Forward, backward, Adam."""
        self.optimizer.zero_grad()
        self.x.grad = None
        self.layer(self.x).backward(self.dy)
        self.optimizer.step()

    def arm(self) -> None:
        """What the method does at the end of the step before an update."""
        self.method.rewire(self.layers, self._clock(EVERY * (self.round + 1) - 1))

    def update(self) -> None:
        """The update: choose, rewire, move values and moments, rebuild the transpose."""
        self.round += 1
        for name, rewiring in self.method.rewire(self.layers, self._clock(EVERY * self.round)).items():
            swap_parameter(self.optimizer, self.layer, rewiring)
            self.method.moved(name, rewiring)

    @staticmethod
    def _clock(step: int) -> Clock:
        return Clock(step, 10**6 * EVERY, EVERY)


def measure(settings: Settings) -> dict[str, Any]:
    """For SET and RigL the milliseconds of each part of an update, and its share of the steps between two."""
    width = settings.pick(WIDTH, 512)
    rows = []
    with progress("topology", 2) as advance:
        for method in ("set", "rigl"):
            advance(method)
            rows.append(_time(width, method, settings) | _memory(width, method))
    return {"width": width, "batch": BATCH, "density": DENSITY, "every": EVERY, "rows": rows}


def _time(width: int, method: str, settings: Settings) -> dict[str, Any]:
    run = Training(width, method)
    taken: dict[str, list[float]] = {"plain": [], "taped": [], "update": [], "after": []}
    for turn in range(settings.pick(40, 5) + 2):
        for _ in range(4):
            plain = _seconds(run.step)
        times = {"plain": plain}
        run.arm()
        times["taped"], times["update"], times["after"] = (_seconds(c) for c in (run.step, run.update, run.step))
        for name, value in times.items():
            if turn >= 2:
                taken[name].append(value)
    medians = {name: 1e3 * statistics.median(values) for name, values in taken.items()}
    extra = medians["update"] + medians["taped"] + medians["after"] - 2 * medians["plain"]
    return {
        "method": method,
        "nnz": run.layer.nnz,
        "ms": {name: summary(values) for name, values in taken.items()},
        "share": extra / (EVERY * medians["plain"]),
    }


def _seconds(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _memory(width: int, method: str) -> dict[str, Any]:
    """Peak memory of an update beyond what is there before it: of numpy, and of the process where Linux tells."""
    run = Training(width, method)
    state = 0
    traced, resident = [], []
    for _ in range(3):
        run.step()
        run.arm()
        run.step()
        state = training_bytes(run.layer, run.optimizer)["total"]
        gc.collect()
        resident.append(peak_growth(run.update))
    for _ in range(2):
        run.step()
        run.arm()
        run.step()
        tracemalloc.start()
        run.update()
        traced.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    known = [value for value in resident if value is not None]
    return {
        "state_bytes": state,
        "traced_peak_bytes": max(traced),
        "resident_peak_bytes": max(known) if known else None,
    }

"""A small fit and its transform on an idle machine, and beside four busy loops, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

from suite.timing import Settings, progress

ROWS, FEATURES, EPOCHS, LOOPS = 400, 30, 20, 4
_LOOP = "while True: pass"
_WORK = """
import sys, time
import numpy as np
from dsae import DeepSparseAutoencoder

rows, features, epochs, repeats = map(int, sys.argv[1:])
X = np.random.default_rng(0).normal(size=(rows, features)).astype(np.float32)
def fit(epochs):
    return DeepSparseAutoencoder(8, max_iter=epochs, random_state=0).fit(X)
model = fit(2)
def median(call, times):
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[len(taken) // 2]
print(1e3 * median(lambda: fit(epochs), repeats), 1e3 * median(lambda: model.transform(X), 10 * repeats))
"""


def measure(settings: Settings) -> dict[str, Any]:
    """Medians in milliseconds, idle and busy, with the waiting policy that users get."""
    repeats, epochs = settings.pick(5, 1), settings.pick(EPOCHS, 2)
    rows = []
    with progress("busy", 2) as advance:
        for loops in (0, LOOPS):
            advance(f"{loops} busy loops")
            with _busy(loops):
                fit, transform = _times(epochs, repeats)
            rows.append({"loops": loops, "fit_ms": fit, "transform_ms": transform})
    return {"n_rows": ROWS, "n_features": FEATURES, "epochs": epochs, "rows": rows}


def _times(epochs: int, repeats: int) -> list[float]:
    command = [sys.executable, "-c", _WORK, *map(str, (ROWS, FEATURES, epochs, repeats))]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    run = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return [float(number) for number in run.stdout.split()]


@contextmanager
def _busy(n: int):
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()

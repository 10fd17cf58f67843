"""Where the time of a whole fit goes: its steps, and what is outside of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from suite.timing import Settings, progress
from suite.wide import topics

# Rows and features; of digits, those that scikit-learn has.
CASES = ("digits", "images", "texts")
IMAGES, TEXTS, PER_TEXT = (10_000, 784), (11_314, 10_000), 70
DENSITY, EPOCHS, BATCH = 0.05, (2, 10), 256
PARTS = ("steps", "importances", "batches", "moments", "start")


def measure(settings: Settings) -> dict[str, Any]:
    """Seconds of the processor that fits with default settings take on one thread, part by part; the least of some."""
    cases, epochs, rounds = settings.pick(CASES, CASES[:1]), settings.pick(EPOCHS, EPOCHS[:1]), settings.pick(3, 1)
    rows = []
    with progress("overheads", len(cases) * len(epochs)) as advance:
        for case in cases:
            for n in epochs:
                advance(f"{case}, {n} epochs")
                rows.append({"case": case, "epochs": n, "seconds": _apart(case, n, rounds)})
    return {"density": DENSITY, "batch": BATCH, "rows": rows}


def _apart(case: str, epochs: int, rounds: int) -> dict[str, float]:
    folder = Path(__file__).parents[1]
    command = [sys.executable, "-W", "ignore", "-m", "suite.overheads", case, str(epochs), str(rounds)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | {"PYTHONPATH": str(folder)} | one
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def rows_of(case: str) -> np.ndarray | sp.csr_matrix:
    """The rows of a case."""
    if case == "digits":
        from sklearn.datasets import load_digits

        return load_digits().data.astype(np.float32)
    if case == "images":
        rng = np.random.default_rng(0)
        shown = rng.random((IMAGES[0], 16), np.float32) @ rng.random((16, IMAGES[1]), np.float32)
        return np.maximum(shown / shown.mean() - 1, 0)
    return topics(*TEXTS, PER_TEXT)


class Clock:
    """Processor seconds of one thread by part; what is called within a part counts for its own alone."""

    def __init__(self) -> None:
        self.seconds, self._within = dict.fromkeys(PARTS, 0.0), [0.0]

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Count what is done meanwhile for ``part``."""
        begun = time.thread_time()
        self._within.append(0.0)
        try:
            yield
        finally:
            taken = time.thread_time() - begun
            self.seconds[part] += taken - self._within.pop()
            self._within[-1] += taken

    def call(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with its time counted."""

        def timed(*given: Any, **how: Any) -> Any:
            with self.timing(part):
                return function(*given, **how)

        return timed

    def each(self, part: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The same of a function that gives one thing after another."""

        def timed(*given: Any, **how: Any) -> Iterator[Any]:
            found = iter(function(*given, **how))
            while True:
                with self.timing(part):
                    one = next(found, None)
                if one is None:
                    return
                yield one

        return timed


def shares(X: Any, epochs: int) -> dict[str, float]:
    """Processor seconds of the parts of one fit, and ``fit``, those of all of it."""
    from dsae import DeepSparseAutoencoder
    from dsae.data import ArraySource
    from dsae.train import _fit, _loop
    from dsae.train._corrupt import Corruption
    from dsae.train._sensitivity import Sensitivity

    clock = Clock()
    places: list[tuple[Any, str, Any]] = [
        (_loop, "train_step", clock.call("steps", _loop.train_step)),
        (_loop, "batches_of", clock.each("batches", _loop.batches_of)),
        (Corruption, "part", clock.call("batches", Corruption.part)),
        (ArraySource, "moments", clock.call("moments", ArraySource.moments)),
        (_fit, "start_model", clock.call("start", _fit.start_model)),
        *((Sensitivity, name, clock.call("importances", getattr(Sensitivity, name))) for name in ("see", "of")),
    ]
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, timed in places:
        setattr(place, name, timed)
    try:
        estimator = DeepSparseAutoencoder(32, density=DENSITY, batch_size=BATCH, max_iter=epochs, random_state=0)
        begun = time.thread_time()
        estimator.fit(X)
        whole = time.thread_time() - begun
    finally:
        for (place, name, _), own in zip(places, before, strict=True):
            setattr(place, name, own)
    return {**clock.seconds, "fit": whole}


def _here(X: Any, epochs: int, rounds: int) -> dict[str, float]:
    """Of the shortest of some fits."""
    shares(X[:600], 1)  # a first time, for what is loaded lazily
    return min((shares(X, epochs) for _ in range(rounds)), key=lambda found: found["fit"])


if __name__ == "__main__":
    print(json.dumps(_here(rows_of(sys.argv[1]), *map(int, sys.argv[2:]))))

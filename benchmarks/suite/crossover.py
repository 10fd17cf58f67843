"""Where a dense matrix product overtakes the sparse kernels: both executors of one layer over the density."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dsae.nn import _executor
from suite.contestants import BF16, DENSE, OURS, Problem, check, contestants, problem
from suite.timing import Settings, progress, turns

SHAPES = ((784, 1024, 256), (768, 3072, 902), (4096, 4096, 256))
DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SPARSE_EXECUTOR, DENSE_EXECUTOR = "sparse executor", "dense executor"


def measure(settings: Settings) -> dict[str, Any]:
    """One row per shape and density."""
    shapes = settings.pick(SHAPES, SHAPES[:1])
    densities = settings.pick(DENSITIES, (0.1, 0.5, 0.9))
    rows = []
    with progress("crossover", len(shapes) * len(densities)) as advance:
        for n_in, n_out, batch in shapes:
            for density in densities:
                advance(f"{n_in} -> {n_out}, density {density:g}")
                p = problem(n_in, n_out, batch, density)
                calls = _calls(p)
                check(calls)
                ms = turns(calls, settings.pick(2.0, 0.1), least=settings.pick(5, 3))
                rows.append({"n_in": n_in, "n_out": n_out, "batch": batch, "density": density, "ms": ms})
    return {"dense_above": _executor.DENSE_ABOVE, "rows": rows}


def _calls(p: Problem) -> dict[str, Callable[[], Any]]:
    calls = contestants(p, (DENSE, BF16))
    for name, threshold in ((SPARSE_EXECUTOR, 2.0), (DENSE_EXECUTOR, -1.0)):
        calls[name] = _under(threshold, contestants(p, (OURS,))[OURS])
    return calls


def _under(threshold: float, call: Callable[[], Any]) -> Callable[[], Any]:
    def forced() -> Any:
        with dense_above(threshold):
            return call()

    return forced


@contextmanager
def dense_above(density: float) -> Iterator[None]:
    """Layers denser than this, and only they, run as dense matrix products."""
    usual = _executor.DENSE_ABOVE
    _executor.DENSE_ABOVE = density
    try:
        yield
    finally:
        _executor.DENSE_ABOVE = usual

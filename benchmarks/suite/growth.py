"""How the time of a forward and backward pass grows with live weights, with features and with the batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from suite.contestants import DENSE, LAB, OURS, PROP, Outcome, contestants, problem
from suite.timing import Settings, progress, turns

NAMES = (OURS, DENSE, LAB, PROP)
LARGEST_DENSE = 2 * 2**30  # bytes of weights
LONGEST = 8.0  # seconds; of the others, who is expected to take longer at a point does not take part


class Point(NamedTuple):
    """One square layer of a sweep."""

    width: int
    nnz: float
    batch: int

    @property
    def density(self) -> float:
        """Live share of the weights."""
        return min(1.0, self.nnz / self.width**2)


SWEEPS = {
    "nnz": [Point(4096, nnz, 256) for nnz in (1e4, 1e5, 1e6, 1e7)] + [Point(31623, 1e8, 256)],
    "features": [Point(n, 1e6, 64) for n in (1000, 3162, 10_000, 31_623, 100_000, 316_228, 1_000_000)],
    "batch": [Point(4096, 0.05 * 4096**2, batch) for batch in (1, 4, 16, 32, 64, 128, 256, 1024, 4096)],
}
QUICK = {
    "nnz": [Point(1024, nnz, 64) for nnz in (1e4, 1e5)],
    "features": [Point(n, 1e5, 64) for n in (1000, 10_000)],
    "batch": [Point(1024, 0.05 * 1024**2, batch) for batch in (1, 64)],
}


def measure(settings: Settings) -> dict[str, Any]:
    """One row per sweep and point."""
    sweeps = settings.pick(SWEEPS, QUICK)
    rows = []
    with progress("growth", sum(map(len, sweeps.values()))) as advance:
        for sweep, points in sweeps.items():
            rows += _sweep(sweep, points, settings, advance)
    return {"rows": rows}


def _sweep(
    sweep: str, points: list[Point], settings: Settings, advance: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    last: dict[str, float] = {}
    earlier = points[0]
    for point in points:
        advance(f"{sweep}: {point.width} features, {point.nnz:.0e} weights, batch {point.batch}")
        names = [name for name in NAMES if name == OURS or _expected(name, point, earlier, last) < LONGEST]
        p = problem(point.width, point.width, point.batch, point.density)
        calls = _in_time(contestants(p, names))
        ms = turns(calls, settings.pick(0.3 * len(calls), 0.05), least=3)
        last = {name: ms[name]["median"] / 1e3 if name in ms else float("inf") for name in NAMES}
        earlier = point
        yield {"sweep": sweep, **point._asdict(), "nnz": p.topology.nnz, "density": p.topology.density, "ms": ms}


def _expected(name: str, point: Point, earlier: Point, last: dict[str, float]) -> float:
    """Seconds, in proportion to the point before; endless for dense weights that are too large."""
    if name == DENSE and 4 * point.width**2 > LARGEST_DENSE:
        return float("inf")
    width, nnz, batch = (new / old for new, old in zip(point, earlier, strict=True))
    return last.get(name, 0.0) * batch * (width**2 if name == DENSE else max(width, nnz))


def _in_time(calls: dict[str, Callable[[], Outcome]]) -> dict[str, Callable[[], Outcome]]:
    """Those whose first call, which builds what is kept, and second, which is ordinary, are not too long."""
    kept = {}
    for name, call in calls.items():
        call()
        begun = time.perf_counter()
        call()
        if name == OURS or time.perf_counter() - begun < LONGEST:
            kept[name] = call
    return kept

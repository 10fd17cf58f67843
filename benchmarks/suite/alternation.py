"""Whether torch's operations and our kernels slow each other down when they alternate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dsae import kernels
from suite.contestants import edges
from suite.timing import Settings, turns

WIDTHS, BATCH, DENSITY, TIMES = (784, 4096), 256, 0.05, 20


def measure(settings: Settings) -> dict[str, Any]:
    """Milliseconds of a loop of torch products, of one of ours, and of one that alternates."""
    widths = settings.pick(WIDTHS, WIDTHS[:1])
    return {"batch": BATCH, "density": DENSITY, "rows": [_measure(width, settings) for width in widths]}


def _measure(width: int, settings: Settings) -> dict[str, Any]:
    t = edges(width, width, DENSITY)
    x, y = (kernels.empty_panels(BATCH, width) for _ in range(2))
    x[...] = 1.0
    values = torch.randn(t.nnz).numpy()
    a, b = torch.randn(512, 512), torch.randn(512, BATCH)

    def ours() -> None:
        kernels.spmm(t.indptr, t.indices, values, None, x, y)

    def theirs() -> None:
        torch.mm(a, b)

    def loop(*calls: Callable[[], None]) -> Callable[[], None]:
        def repeated() -> None:
            for _ in range(TIMES):
                for call in calls:
                    call()

        return repeated

    calls = {"dsae": loop(ours), "torch": loop(theirs), "alternating": loop(ours, theirs)}
    ms = turns(calls, settings.pick(4.0, 0.2), least=settings.pick(9, 3))
    together = ms["dsae"]["median"] + ms["torch"]["median"]
    return {"width": width, "times": TIMES, "ms": ms, "slowdown": ms["alternating"]["median"] / together}

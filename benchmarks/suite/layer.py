"""One layer, forward and backward: rows in, rows out, gradients of input, weights and bias."""

from __future__ import annotations

from typing import Any

from suite.contestants import BF16, BLOCKS, CSR, DENSE, LAB, OURS, PROP, check, contestants, in_blocks, problem
from suite.timing import Settings, progress, turns

SHAPES = ((784, 1024, 256), (768, 3072, 902), (4096, 4096, 256), (20000, 2000, 256))
DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
NAMES = (DENSE, BF16, CSR, LAB, PROP, OURS)


def measure(settings: Settings) -> dict[str, Any]:
    """One row per shape and density."""
    shapes = settings.pick(SHAPES, SHAPES[:1])
    densities = settings.pick(DENSITIES, (0.2, 0.05))
    rows = []
    with progress("layer", len(shapes) * len(densities)) as advance:
        for n_in, n_out, batch in shapes:
            for density in densities:
                advance(f"{n_in} -> {n_out}, density {density:g}")
                p = problem(n_in, n_out, batch, density)
                calls = contestants(p, NAMES)
                check(calls)
                calls[BLOCKS] = in_blocks(p, 8)
                ms = turns(calls, settings.pick(5.0, 0.2), least=settings.pick(7, 3))
                shape = {"n_in": n_in, "n_out": n_out, "batch": batch, "density": density, "nnz": p.topology.nnz}
                rows.append(shape | {"ms": ms})
    return {"rows": rows}

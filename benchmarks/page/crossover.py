"""Section on where dense wins."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from typing import Any

from page.common import COLOURS, figure, log_log, median, save, shapes, short, table

TITLE = "Where dense overtakes sparse"
SPARSE = "sparse executor"
OTHERS = ("dense executor", "dense float32", "dense bfloat16")
WHY = """
The sparse lines rise with the live weights, the dense ones stay where they are, so they cross once. A layer's dense
executor is above plain dense torch by what it takes to scatter the values into a matrix and to gather their gradient.
Where the lines cross is a property of the machine: of how near its GEMM comes to the peak, of whether it has bfloat16
units, and of how fast a core reads L2.
"""


def bars(part: dict[str, Any]) -> list:
    """None were set."""
    return []


def crossing(rows: list[dict[str, Any]], name: str, sparse: str = SPARSE) -> float | None:
    """The density from which on ``name`` is faster, by interpolation between the logarithms; None where it never is."""
    gaps = [(row["density"], log(median(row, name) / median(row, sparse))) for row in rows]
    if gaps[-1][1] > 0:
        return None
    wins = [i for i, (_, gap) in enumerate(gaps) if gap > 0]
    if not wins:
        return gaps[0][0]
    (low, above), (high, below) = gaps[wins[-1]], gaps[wins[-1] + 1]
    return exp(log(low) + (log(high) - log(low)) * above / (above - below))


def render(part: dict[str, Any], images: Path) -> str:
    """Text, table, plot."""
    text = f"""
Forward and backward pass of one layer with either executor forced, and dense torch. `SparseLinear` changes to the dense
executor above density {part["dense_above"]:g}. The density at which each dense line crosses the sparse one:

"""
    lines = []
    for (n_in, n_out, batch), rows in shapes(part["rows"]).items():
        lines.append((f"{n_in} → {n_out}, batch {batch}", *(_crossing(rows, name) for name in OTHERS)))
    return text + table(("layer", *OTHERS), lines) + "\n" + _plot(part, images) + WHY


def _crossing(rows: list[dict[str, Any]], name: str) -> str:
    found, first, last = crossing(rows, name), rows[0]["density"], rows[-1]["density"]
    if found is None:
        return f"above {last:g}"
    return f"below {first:g}" if found == first else short(found)


def _plot(part: dict[str, Any], images: Path) -> str:
    by_shape = shapes(part["rows"])
    made, axes = figure(len(by_shape), len(by_shape))
    for ax, ((n_in, n_out, batch), rows) in zip(axes, by_shape.items(), strict=True):
        densities = [row["density"] for row in rows]
        for name in (SPARSE, *OTHERS):
            ax.plot(densities, [median(row, name) for row in rows], color=COLOURS[name], label=name)
        ticks = [density for density in densities if density in (0.02, 0.05, 0.1, 0.2, 0.5, 0.9)]
        log_log(ax, "density", "ms", f"{n_in} → {n_out}, batch {batch}", ticks)
    return save(made, axes[0], images, "crossover")

"""Section on a whole training step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import COLOURS, OURS, Bar, figure, log_log, median, save, short, table

TITLE = "A whole training step"
DENSE = ("dense float32", "autocast bfloat16")
TARGETS = ((0.05, "dense float32", 6), (0.01, "dense float32", 15), (0.05, "autocast bfloat16", 1.5))
WHY = """
The gain is smaller than one layer's, because some work has no zeros to leave out: the rows are packed and unpacked,
activations and loss pass over `batch x width` numbers, and small layers stay denser than the mean (Erdős-Rényi-Kernel).
What the optimiser does shrinks with the live weights, so at low density nearly all of Adam's time is saved, too.
Autocast keeps float32 master weights and Adam in float32, so bfloat16 helps the products only.
"""


def _mean(row: dict[str, Any]) -> float:
    """The slower of the two methods, its updates at their share."""
    return max(row["mean_ms"].values())


def bars(part: dict[str, Any]) -> list[Bar]:
    """Against dense float32 and bfloat16 autocast."""
    widths = "-".join(map(str, part["widths"]))
    return [
        Bar(f"training step {widths}, density {density:g}, against {name}", median(row, name) / _mean(row), bar)
        for density, name, bar in TARGETS
        for row in part["rows"]
        if row["density"] == density
    ]


def render(part: dict[str, Any], images: Path) -> str:
    """Text, table, plot."""
    widths, every = "-".join(map(str, part["widths"])), part["every"]
    text = f"""
{widths}, ReLU between, linear code and output, mean squared error, batch {part["batch"]}: forward, backward, fused
Adam, and for dsae a topology update every {every} steps, by SET and by RigL; all that `fit` does in a step but fetching
the rows. dsae's time is the mean over {every} steps of the slower of the two; in brackets how many times as long
the others take.

"""
    header = ("density", OURS, *DENSE, "SET: step, with update", "RigL: step, with update")
    return text + table(header, map(_line, part["rows"])) + "\n" + _plot(part, images) + WHY


def _line(row: dict[str, Any]) -> list[str]:
    ours = _mean(row)
    dense = [f"{short(median(row, name))} ({short(median(row, name) / ours)}x)" for name in DENSE]
    pairs = [", ".join(short(median(row, f"{m} {kind}")) for kind in ("plain", "update")) for m in ("set", "rigl")]
    return [f"{row['density']:g}", short(ours), *dense, *pairs]


def _plot(part: dict[str, Any], images: Path) -> str:
    made, (ax,) = figure(1, 1)
    densities = [row["density"] for row in part["rows"]]
    ax.plot(densities, list(map(_mean, part["rows"])), color=COLOURS[OURS], label=OURS)
    for name in DENSE:
        ax.plot(densities, [median(row, name) for row in part["rows"]], color=COLOURS[name], label=name)
    log_log(ax, "density", "ms", "one step", densities)
    return save(made, ax, images, "step")

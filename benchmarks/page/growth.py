"""Section on how time grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import COLOURS, OURS, figure, log_log, median, save, short, table

TITLE = "How time grows"
ORDER = (OURS, "dense float32", "SparseLab", "SparseProp")
SWEEPS = {
    "nnz": ("nnz", "live weights"),
    "features": ("width", "features"),
    "batch": ("batch", "batch"),
}
WHY = """
With live weights the time is flat as long as the fixed cost of packing, unpacking and the calls outweighs the products,
and then in proportion; where the density is above that of the section before, a dense product runs. With features at
fixed live weights the activations take over: every feature of every sample is packed, written and read some times,
whatever the weights do; a panel that no longer fits L2, and later L3, makes each weight's load slower. A dense layer
grows with the square of the features until it no longer fits. With the batch the time rises little until a panel is
full (64 samples) and then in proportion. Who would have taken more than some seconds for a call, and dense weights
above 2 GB, are left out.
"""


def bars(part: dict[str, Any]) -> list:
    """None were set."""
    return []


def render(part: dict[str, Any], images: Path) -> str:
    """Text, plot, a table per sweep."""
    text = (
        "\nForward and backward pass of one square layer, rows in and out, as in the first section. Milliseconds.\n\n"
    )
    blocks = [text, _plot(part, images), WHY]
    for sweep, (key, label) in SWEEPS.items():
        rows = [row for row in part["rows"] if row["sweep"] == sweep]
        lines = [(*_layer(row, key), *(_cell(row, name) for name in ORDER)) for row in rows]
        blocks.append(f"\nBy {label}:\n\n" + table((*_layer(None, key), *ORDER), lines))
    return "".join(blocks)


def _layer(row: dict[str, Any] | None, key: str) -> list[str]:
    """What is varied first, then the rest; without a row their names."""
    names = {"width": "features", "nnz": "live weights", "density": "density", "batch": "batch"}
    order = [key, *(name for name in names if name != key)]
    if row is None:
        return [names[name] for name in order]
    return [f"{row[name]:.2g}" if name == "density" else f"{row[name]:,}" for name in order]


def _cell(row: dict[str, Any], name: str) -> str:
    return short(median(row, name)) if name in row["ms"] else ""


def _plot(part: dict[str, Any], images: Path) -> str:
    made, axes = figure(len(SWEEPS), len(SWEEPS))
    for ax, (sweep, (key, label)) in zip(axes, SWEEPS.items(), strict=True):
        rows = [row for row in part["rows"] if row["sweep"] == sweep]
        for name in ORDER:
            points = [(row[key], median(row, name)) for row in rows if name in row["ms"]]
            if points:
                ax.plot(*zip(*points, strict=True), color=COLOURS[name], label=name)
        log_log(ax, label, "ms", f"by {label}")
    return save(made, axes[-1], images, "growth")

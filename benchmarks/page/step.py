"""Section on a whole training step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import COLOURS, OURS, Bar, figure, log_log, median, save, short, table

TITLE = "A whole training step"
DENSE, HALF = "dense float32", "dense bfloat16"
# Density, blocks, the largest share of the faster dense step.
TARGETS = ((1.0, 1, 1.1), (0.2, 1, 0.5), (0.1, 1, 0.33), (0.05, 1, 0.15), (0.1, 4, 0.18), (0.05, 4, 0.1))
WHY = """
All layers go through one native call, panel by panel, so that activations stay in cache between forward, loss and
backward; the optimiser passes once over all live weights. Rows of 4 x 1 blocks are *structured*: four outputs share
their inputs, which costs error at equal weights ([blocks](design/blocks.md)). bfloat16 is torch's autocast with float32
master weights; where the processor has no bfloat16 products it is slower than float32.
"""


def _dense(rows: list[dict[str, Any]], widths: list[int]) -> float:
    """The faster of a plain torch loop and of dsae at density 1."""
    same = [row for row in rows if row["widths"] == widths]
    own = [median(row, OURS) for row in same if row["density"] == 1]
    return min([median(same[0], DENSE), *own])


def bars(part: dict[str, Any]) -> list[Bar]:
    """Shares of the dense step of the first shape."""
    rows, widths = part["rows"], part["rows"][0]["widths"]
    name = "-".join(map(str, widths))
    found = []
    for density, block, share in TARGETS:
        for row in rows:
            if row["widths"] == widths and (row["density"], row["block_size"]) == (density, block):
                what = f"training step {name}, density {density:g}" + (f", {block} x 1 blocks" if block > 1 else "")
                against = median(row, DENSE) if density == 1 else _dense(rows, widths)
                found.append(Bar(f"{what}, of a dense one", median(row, OURS) / against, share, "", at_least=False))
    return found


def render(part: dict[str, Any], images: Path) -> str:
    """Text, a table for each shape, plot."""
    few, many = part["epochs"]
    text = f"""
A mirrored autoencoder with ReLU between, linear code and output, mean squared error, batch {part["batch"]}, trained
through the estimator at a fixed density (`shrink="random"`). A step is the difference of fits of {few} and {many}
epochs, divided by its steps; dense torch is a plain loop with fused Adam. In brackets the share of the faster dense
step, of torch in float32 and of dsae at density 1. Median milliseconds.
"""
    shapes = list(dict.fromkeys(tuple(row["widths"]) for row in part["rows"]))
    for widths in shapes:
        rows = [row for row in part["rows"] if tuple(row["widths"]) == widths]
        header = ("density", OURS, "dsae, 4 x 1 blocks", DENSE, HALF)
        text += f"\n### {'-'.join(map(str, widths))}\n\n" + table(header, _lines(rows))
    return text + "\n" + _plot(part, images) + WHY


def _lines(rows: list[dict[str, Any]]) -> list[list[str]]:
    dense = _dense(rows, rows[0]["widths"])
    lines = []
    for density in dict.fromkeys(row["density"] for row in rows):
        ours = {row["block_size"]: median(row, OURS) for row in rows if row["density"] == density}
        cells = [f"{short(ours[b])} ({short(ours[b] / dense)})" if b in ours else "" for b in (1, 4)]
        lines.append([f"{density:g}", *cells, short(median(rows[0], DENSE)), short(median(rows[0], HALF))])
    return lines


def _plot(part: dict[str, Any], images: Path) -> str:
    shapes = list(dict.fromkeys(tuple(row["widths"]) for row in part["rows"]))
    made, axes = figure(len(shapes), len(shapes))
    for ax, widths in zip(axes, shapes, strict=True):
        rows = [row for row in part["rows"] if tuple(row["widths"]) == widths]
        for block, style in ((1, "-"), (4, "--")):
            line = [row for row in rows if row["block_size"] == block]
            label = OURS if block == 1 else "dsae, 4 x 1 blocks"
            points = [row["density"] for row in line], [median(row, OURS) for row in line]
            ax.plot(*points, style, color=COLOURS[OURS], label=label)
        densities = sorted({row["density"] for row in rows})
        for name in (DENSE, HALF):
            ax.plot(densities, [median(rows[0], name)] * len(densities), color=COLOURS[name], label=name)
        log_log(ax, "density", "ms", "-".join(map(str, widths)), densities)
    return save(made, axes[0], images, "step")

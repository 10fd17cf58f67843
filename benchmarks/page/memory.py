"""Section on memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, figure, save, short, table

TITLE = "Memory"
PARTS = {"values": "#c0392b", "gradients": "#e59866", "moments": "#1f618d", "indices": "#999999"}
LIMIT = 32
WHY = """
A live weight costs what a dense weight costs (value, gradient, two moments: 16 bytes) and what says where it is: its
index here and in the transpose, and the slot that connects the two. So memory falls by the density times the ratio of
the two. Row pointers and biases are included; they show where rows have few weights. `shrink="saliency"`
keeps one more number per live weight, 4 bytes. The peak of a whole fit includes activations, copies and checks of the
rows, which do not depend on the density.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Bytes per live weight, the most over the densities."""
    most = max(row["bytes"]["total"] / row["nnz"] for row in part["rows"])
    what = f"training state per live weight, {part['width']} x {part['width']}, most"
    return [Bar(what, most, LIMIT, " B", at_least=False)]


def render(part: dict[str, Any], images: Path) -> str:
    """Text, two tables, plot."""
    dense, fit = part["dense"], part["fit"]
    width, per_weight = part["width"], dense["bytes"]["total"] / dense["weights"]
    text = f"""
All that lives from step to step, counted from the arrays themselves after a step under Adam: bytes per live weight of a
{width} x {width} layer. The dense twin has {short(per_weight)} bytes per weight, zero or not, and
{dense["bytes"]["total"] / 1e6:,.0f} MB in all.

"""
    lines = [_line(row, dense) for row in part["rows"]]
    state = table(("density", *PARTS, "in all", "MB", "dense twin / dsae"), lines)
    title = f"""
How far memory rose in a whole fit of {fit["n_in"]}-{fit["n_code"]}-{fit["n_in"]}, {fit["rows"]} rows, two epochs, each
in a process of its own, above what the data and the libraries take:

"""
    return text + state + title + _fits(part) + "\n" + _plot(part, images) + WHY


def _line(row: dict[str, Any], dense: dict[str, Any]) -> list[str]:
    each = [short(row["bytes"][name] / row["nnz"]) for name in (*PARTS, "total")]
    total = row["bytes"]["total"]
    return [f"{row['density']:g}", *each, short(total / 1e6), f"{short(dense['bytes']['total'] / total)}x"]


def _fits(part: dict[str, Any]) -> str:
    peaks = [fit["peak_bytes"] for fit in part["fits"]]
    if any(peak is None for peak in peaks):
        return "The system does not tell.\n"
    lines = [
        (
            "dense torch" if fit["kind"] == "dense" else f"dsae, density {fit['kind']}",
            f"{fit['weights']:,}",
            f"{peak / 1e6:,.0f} MB",
            f"{short(peaks[0] / peak)}x",
        )
        for fit, peak in zip(part["fits"], peaks, strict=True)
    ]
    return table(("model", "weights", "peak", "dense torch / this"), lines)


def _plot(part: dict[str, Any], images: Path) -> str:
    made, (ax,) = figure(1, 1)
    columns = [("dense", part["dense"]["bytes"], part["dense"]["weights"])]
    columns += [(f"{row['density']:g}", row["bytes"], row["nnz"]) for row in part["rows"]]
    foot = [0.0] * len(columns)
    for name, colour in PARTS.items():
        heights = [counted[name] / weights for _, counted, weights in columns]
        ax.bar(range(len(columns)), heights, bottom=foot, color=colour, label=name, width=0.6)
        foot = [low + height for low, height in zip(foot, heights, strict=True)]
    ax.axhline(LIMIT, color="#555555", linestyle="--", marker="")
    ax.set_xticks(range(len(columns)), [name for name, *_ in columns])
    ax.set(xlabel="density", ylabel="bytes per live weight")
    return save(made, ax, images, "memory", columns=4)

"""Section on a model in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, figure, log_log, save, short, table

TITLE = "A model in use: one row and many"
OURS = "dsae"
ZEROS = "dsae, 80 % zeros"
ENCODE = {OURS: "#c0392b", ZEROS: "#e59866", "torch eager, dense": "#1f618d", "onnxruntime, dense": "#239b56"}
DECODE = {"dsae, sparse codes": "#c0392b", "dsae, dense codes": "#e59866", "torch eager, dense": "#1f618d"}
WHY = """
With one row there is no batch to reuse a weight for: a dense model is bound by reading all its weights from cache or
memory, a sparse one reads its live ones and little else, and what remains is the fixed cost of the calls. From some
dozens of rows on the panels fill and the kernels run at their usual rate. A row with zeros,
as an image of a digit has, costs only the columns of what is not zero. The rows of k-sparse codes have few values that
are not zero, which dsae takes as scipy CSR; a dense decoder takes them as dense rows.
"""


def _us(row: dict[str, Any], name: str) -> float:
    return row["us"][name]["median"]


def bars(part: dict[str, Any]) -> list[Bar]:
    """One row against torch and onnxruntime."""
    first = part["encode"][0]
    aims = {"torch eager, dense": 5, "onnxruntime, dense": 1}
    return [
        Bar(f"encode one row ({kind}), against {name}", _us(first, name) / _us(first, ours), aim)
        for name, aim in aims.items()
        if name in first["us"]
        for ours, kind in ((OURS, "no zeros"), (ZEROS, "80 % zeros"))
    ]


def render(part: dict[str, Any], images: Path) -> str:
    """Text, two tables, plot."""
    widths = "-".join(map(str, part["widths"]))
    encode = f"""
The encoder of a {widths} autoencoder at density {part["density"]:g}: `Runtime.encode`, numpy in and out, checks of the
input included, against the same weights with all zeros written out in torch (`inference_mode`, tensors ready) and in
onnxruntime. Median microseconds per call, in brackets how many times as long as dsae.

"""
    decode = f"""
Decoding codes of {part["latents"]} latents with {part["k"]} non-zeros each into {part["features"]} features, density
{part["density"]:g}: codes as scipy CSR, as dense rows, and densely in torch.

"""
    tables = encode + _table(part["encode"], ENCODE) + decode + _table(part["decode"], DECODE)
    return tables + "\n" + _plot(part, images) + WHY


def _table(rows: list[dict[str, Any]], names: dict[str, str]) -> str:
    ours, *others = [name for name in names if name in rows[0]["us"]]
    lines = [
        (
            str(row["rows"]),
            short(_us(row, ours)),
            *(f"{short(_us(row, name))} ({short(_us(row, name) / _us(row, ours))}x)" for name in others),
        )
        for row in rows
    ]
    return table(("rows", ours, *others), lines)


def _plot(part: dict[str, Any], images: Path) -> str:
    made, axes = figure(2, 2, 3.8)
    for ax, key, names in zip(axes, ("encode", "decode"), (ENCODE, DECODE), strict=True):
        rows = part[key]
        counts = [row["rows"] for row in rows]
        for name, colour in names.items():
            if name in rows[0]["us"]:
                ax.plot(counts, [_us(row, name) / row["rows"] for row in rows], color=colour, label=name)
        log_log(ax, "rows in a call", "µs per row", key, counts)
        ax.legend(fontsize=8)
    return save(made, axes[0], images, "rows")

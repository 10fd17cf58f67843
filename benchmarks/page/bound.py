"""Section on the kernels and what the machine allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, figure, save, shapes, table

TITLE = "The kernels against the machine's bound"
KERNELS = {"spmm": "#c0392b", "sddmm": "#239b56", "backward": "#7d3c98", "whole": "#999999"}
USED = ("spmm", "sddmm", "backward")
LABELS = {"whole": "whole layer, panels in and out"}
WHY = """
A kernel that keeps an output row of a panel in registers loads one 64-byte line for each multiply-add, and nothing else
of weight. So the speed of that load is the bound: the roofline program does only that. Shares above 100 % are possible
where part of a panel is still in L1. Below the bound the kernels read indices and values as well, broadcast each value,
and write outputs; rows with few live weights leave the pipeline half empty between rows. `sddmm` must besides sum
across lanes for every edge. `backward` uses a line of dY twice, for both gradients, so the same bound is a lower hurdle
for it. `whole layer` includes autograd, the allocation of outputs and the sum for the bias, and
counts as three products.
"""


NO_ROOFLINE = """
There was no g++ to compile the roofline program with, so there are rates without shares.

"""


def _share(part: dict[str, Any], row: dict[str, Any], kernel: str) -> float:
    return 100 * row["gflops"][kernel] / bound(part)


def bound(part: dict[str, Any]) -> float:
    """GFLOP/s: the better of streaming and random blocks from L2."""
    return max((row["median"] for row in part["roofline"] if row["level"] == "L2"), default=float("nan"))


def bars(part: dict[str, Any]) -> list[Bar]:
    """The least share over the densities, per kernel."""
    found = []
    if not part["roofline"]:
        return found
    for (n_in, n_out, _), rows in _by_shape(part).items():
        counted = [row for row in rows if n_in != 4096 or row["density"] >= 0.02]
        bar = 70 if n_in == 4096 else 50
        for kernel in USED:
            least = min(_share(part, row, kernel) for row in counted)
            span = f"density {counted[-1]['density']:g} to {counted[0]['density']:g}"
            found.append(Bar(f"{kernel} {n_in} → {n_out}, {span}, least share of the bound", least, bar, " %"))
    return found


def _by_shape(part: dict[str, Any]) -> dict[tuple[int, int, int], list[dict[str, Any]]]:
    return shapes([{**row, "batch": part["batch"]} for row in part["rows"]])


def render(part: dict[str, Any], images: Path) -> str:
    """Text, the roofline, the rates, plot."""
    rates = {(row["level"], row["access"]): row["median"] for row in part["roofline"]}
    lines = [
        (level, f"{rates[level, 'stream']:.0f}", f"{rates[level, 'random']:.0f}")
        for level in ("L1", "L2", "L3")
        if (level, "stream") in rates
    ]
    dense = ", ".join(f"{name} {rate:.0f}" for name, rate in part["dense"].items())
    text = f"""
`benchmarks/roofline.cpp` loads one 64-byte line for every multiply-add (32 FLOP) into 8 or 16 independent registers, on
all threads at once, in order or in random blocks of 256 bytes, which is how the kernels read a panel. Its data fit a
level of the caches (16 kB, 512 kB or 3 MB a thread). GFLOP/s:

{table(("from", "in order", "random blocks"), lines)}
The bound quoted is the better figure from L2: **{bound(part):.0f} GFLOP/s**. For comparison, a dense product of a
4096 x 4096 matrix with the same batch, GFLOP/s: {dense}.

"""
    return (text if lines else NO_ROOFLINE) + _table(part) + "\n" + _plot(part, images) + WHY


def _table(part: dict[str, Any]) -> str:
    names = [name for name in KERNELS if name in part["rows"][0]["gflops"]]
    header = ("layer", "density", *(LABELS.get(name, name) for name in names))
    rows = [
        (
            f"{row['n_in']} → {row['n_out']}",
            f"{row['density']:g}",
            *(f"{row['gflops'][name]:.0f} ({_share(part, row, name):.0f} %)" for name in names),
        )
        for row in part["rows"]
    ]
    return f"GFLOP/s and share of the bound, batch {part['batch']}:\n\n" + table(header, rows)


def _plot(part: dict[str, Any], images: Path) -> str:
    made, (ax,) = figure(1, 1, 3.8)
    ticks = [f"{row['n_in']}\n{row['density']:g}" for row in part["rows"]]
    for kernel, colour in KERNELS.items():
        if kernel in part["rows"][0]["gflops"]:
            rates = [row["gflops"][kernel] for row in part["rows"]]
            ax.plot(range(len(rates)), rates, "o", color=colour, label=LABELS.get(kernel, kernel))
    for level, style in (("L1", ":"), ("L2", "-"), ("L3", "--")):
        rates = [row["median"] for row in part["roofline"] if row["level"] == level]
        if rates:
            ax.axhline(max(rates), color="#555555", linestyle=style, marker="", label=f"bound from {level}")
    ax.set_xticks(range(len(ticks)), ticks, fontsize=8)
    ax.set(ylim=(0, None), xlabel="inputs, density", ylabel="GFLOP/s")
    made.set_size_inches(8, 4)
    return save(made, ax, images, "bound", columns=4)

"""Bars, tables and plots, as all sections use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

mpl.rcParams |= {
    "svg.fonttype": "none",
    "svg.hashsalt": "dsae",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": "#e0e0e0",
    "legend.frameon": False,
    "lines.marker": "o",
    "lines.markersize": 4,
}

OURS = "dsae"
COLOURS = {
    OURS: "#c0392b",
    "dsae, 8 x 1 blocks": "#f1948a",
    "sparse executor": "#c0392b",
    "dense executor": "#e59866",
    "dense float32": "#1f618d",
    "dense bfloat16": "#5dade2",
    "autocast bfloat16": "#5dade2",
    "torch CSR": "#7d6608",
    "SparseLab": "#239b56",
    "SparseProp": "#7d3c98",
}


@dataclass(frozen=True)
class Bar:
    """Something that was to be reached."""

    what: str
    measured: float
    bar: float
    unit: str = "x"
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether it was."""
        return self.measured >= self.bar if self.at_least else self.measured <= self.bar

    @property
    def verdict(self) -> str:
        """One word for a table."""
        return "met" if self.met else "**missed**"

    def cells(self) -> tuple[str, ...]:
        """What, measured, bar, verdict."""
        sign = "≥" if self.at_least else "≤"
        return self.what, f"{short(self.measured)}{self.unit}", f"{sign} {self.bar:g}{self.unit}", self.verdict


def short(value: float) -> str:
    """Two or three digits, as many as a reader wants."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """A Markdown table, the first ``left`` columns to the left, the others to the right."""
    align = ["---" if i < left else "---:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (header, align, *rows)) + "\n"


def median(row: dict[str, Any], name: str) -> float:
    """Median milliseconds of one contestant."""
    return row["ms"][name]["median"]


def ratio(row: dict[str, Any], name: str, ours: str = OURS) -> float:
    """How many times our time the other one takes."""
    return median(row, name) / median(row, ours)


def shapes(rows: list[dict[str, Any]]) -> dict[tuple[int, int, int], list[dict[str, Any]]]:
    """Rows by ``(n_in, n_out, batch)``, in their order."""
    found: dict[tuple[int, int, int], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["n_in"], row["n_out"], row["batch"]), []).append(row)
    return found


def figure(n: int, columns: int, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure with ``n`` plots."""
    lines = -(-n // columns)
    width = 4.4 * columns if columns > 1 else 6.0
    made = Figure(figsize=(width, height * lines))
    flat = list(made.subplots(lines, columns, squeeze=False).flat)
    for unused in flat[n:]:
        unused.set_visible(False)
    return made, flat[:n]


def log_log(axes: Axes, x: str, y: str, title: str, ticks: Sequence[float] | None = None) -> None:
    """Logarithmic axes with their names; ``ticks`` along x are written as they are."""
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=10, loc="left")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    if ticks is not None:
        axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())


def save(made: Figure, axes: Axes, images: Path, name: str, columns: int = 6) -> str:
    """Write the figure, with one legend below unless plots have their own; gives the Markdown that shows it."""
    foot = 0.0
    if axes.get_legend() is None:
        handles, labels = axes.get_legend_handles_labels()
        lines = -(-len(labels) // columns)
        made.legend(handles, labels, loc="lower center", ncols=min(columns, len(labels)), fontsize=9)
        foot = (0.1 + 0.2 * lines) / made.get_figheight()
    made.tight_layout(rect=(0, foot, 1, 1))
    images.mkdir(parents=True, exist_ok=True)
    made.savefig(images / f"{name}.svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return f"![{name}](img/{name}.svg)\n"

"""Section on topology updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, figure, save, short, table

TITLE = "What a topology update costs"
NAMES = {"set": "SET", "rigl": "RigL"}
PARTS = {"plain": "step", "taped": "step before", "update": "update", "after": "step after"}
WHY = """
An update drops and grows edges, moves values and Adam's moments with their edges, and rebuilds the transpose, which
is faster than to patch it; all in time proportional to the live weights. RigL besides takes the gradient of edges that
do not exist, for as many candidates as there are live weights: those for which it could be largest. The step before an
update keeps two references for that, the step after finds its arrays in no cache.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Share of the steps between two updates."""
    return [_bar(part, row) for row in part["rows"]]


def _bar(part: dict[str, Any], row: dict[str, Any]) -> Bar:
    what = f"{NAMES[row['method']]} update, {part['width']} x {part['width']}, share of {part['every']} steps"
    return Bar(what, 100 * row["share"], 2, " %", at_least=False)


def render(part: dict[str, Any], images: Path) -> str:
    """Text, table, plot."""
    text = f"""
One {part["width"]} x {part["width"]} layer at density {part["density"]:g}, batch {part["batch"]}, under Adam, an update
every {part["every"]} steps. The share is what the update and the steps before and after it take beyond ordinary steps,
of the time of {part["every"]} ordinary steps. Median milliseconds.

"""
    header = ("method", *PARTS.values(), "share", "peak memory, traced", "peak memory, resident", "training state")
    return text + table(header, (_line(part, row) for row in part["rows"])) + MEMORY + _plot(part, images) + WHY


MEMORY = """
Peak memory is how far memory rises during an update above what was there before: *traced* what numpy allocates, which
is all but torch's tensors; *resident* the process's pages beyond those it already had, freed ones included.

"""


def _line(part: dict[str, Any], row: dict[str, Any]) -> list[str]:
    memory = [_megabytes(row[key]) for key in ("traced_peak_bytes", "resident_peak_bytes", "state_bytes")]
    times = [short(row["ms"][name]["median"]) for name in PARTS]
    bar = _bar(part, row)
    return [NAMES[row["method"]], *times, f"{short(bar.measured)} %, {bar.verdict}", *memory]


def _megabytes(n: int | None) -> str:
    return "unknown" if n is None else f"{short(n / 1e6)} MB"


def _plot(part: dict[str, Any], images: Path) -> str:
    made, (ax,) = figure(1, 1, 2.6)
    for i, (name, label) in enumerate(PARTS.items()):
        times = [row["ms"][name]["median"] for row in part["rows"]]
        at = [row - 0.3 + 0.2 * i for row in range(len(times))]
        ax.barh(at, times, height=0.18, label=label, color=("#bbbbbb", "#5dade2", "#c0392b", "#e59866")[i])
    ax.set_yticks(range(len(part["rows"])), [NAMES[row["method"]] for row in part["rows"]])
    ax.set(xlabel="ms")
    ax.invert_yaxis()
    return save(made, ax, images, "topology", columns=4)

"""Section on training by several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "Several processes"
WHY = """
Step is the time from one step to the next. In a second round, whose steps are a little longer, it is split: compute is
forward and backward of a process's own rows, Adam included; wait until the last process has its gradient; reduce the
sum of all gradients, with copying into one buffer and back. The processes of one machine share its memory and its third
cache, so that two of them compute no faster than these allow. What the figures mean for many machines is in
[the design](design/cluster.md).
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Bytes at the final density, and two processes against one."""
    two = [row for row in part["rows"] if row["processes"] == 2]
    least = min(row["dense_bytes"] / row["bytes"] for row in two)
    found = [
        Bar(
            "bytes per live parameter and step, most",
            max(row["bytes"] / row["live"] for row in two),
            4.1,
            " B",
            at_least=False,
        ),
        Bar("bytes of the dense twin over those of density 0.05, least", least, 18),
    ]
    gain = _gain(part, 784, 512)
    return found + ([] if gain is None else [Bar("two processes over one, default widths, 512 rows each", gain, 1.6)])


def _gain(part: dict[str, Any], features: int, n: int) -> float | None:
    rates = {
        row["processes"]: row["rows_per_second"]
        for row in part["rows"]
        if (row["features"], row["rows"]) == (features, n)
    }
    return rates[2] / rates[1] if {1, 2} <= set(rates) else None


def render(part: dict[str, Any], images: Path) -> str:
    """Text and tables; there is nothing to plot."""
    text = f"""
Steps of autoencoders at density {part["density"]:g}, the processes on one core each, through gloo and the loopback
interface; four share two cores. Milliseconds are medians over the steps of the quieter of two rounds, bytes what a
process gives into sums.

"""
    one = {(row["features"], row["rows"]): row["rows_per_second"] for row in part["rows"] if row["processes"] == 1}
    lines = [
        (
            "-".join(map(str, row["widths"])),
            row["rows"],
            row["processes"],
            *(short(row["ms"][name]) for name in ("step", "compute", "wait", "reduce")),
            f"{row['bytes']:,.0f}",
            f"{short(row['rows_per_second'] / one[row['features'], row['rows']])}x",
        )
        for row in part["rows"]
    ]
    header = ("widths", "rows each", "processes", "step", "compute", "wait", "reduce", "bytes", "rows a second")
    runs = [
        (
            f"`{name}`",
            f"{run['bytes']:,.0f}",
            short(run["bytes"] / run["live"]),
            short(run["dense_bytes"] / run["bytes"]),
        )
        for name, run in (part.get("runs") or {"tempered": part["run"]}).items()
    ]
    whole = """
A whole run sends more: a method that starts with more weights sends them until they are dropped, and growing by
gradient asks for those of absent edges. Means over all steps of 400, updates of the topology included:

"""
    whole += (
        table(("`shrink`", "bytes a step", "bytes for each final parameter", "dense twin's over these"), runs) + "\n"
    )
    return text + table(header, lines) + whole + WHY

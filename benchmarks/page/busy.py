"""Section on machines whose cores are taken by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "On a busy machine"
WHY = """
With four busy loops on two cores, the fair share of one thread is two fifths of a core. Threads of an OpenMP runtime
spin while they wait and lose whole time slices to others; dsae's do not ([threads](design/threads.md)).
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Less than twice the fair share, which is three times."""
    idle, busy = part["rows"][0], part["rows"][-1]
    size = f"{part['n_rows']} x {part['n_features']}"
    what = f"fit of {size} rows beside {busy['loops']} busy loops, times as long as alone"
    return [Bar(what, busy["fit_ms"] / idle["fit_ms"], 6, at_least=False)]


def render(part: dict[str, Any], images: Path) -> str:
    """Text and table; there is nothing to plot."""
    text = f"""
Milliseconds to fit {part["n_rows"]} x {part["n_features"]} rows for {part["epochs"]} epochs and to encode them, alone
and beside processes that never rest. In brackets, how many times as long as alone.

"""
    idle = part["rows"][0]
    lines = [
        (str(row["loops"]), *(_beside(row[key], idle[key]) for key in ("fit_ms", "transform_ms")))
        for row in part["rows"]
    ]
    return text + table(("busy loops", "fit", "transform"), lines) + WHY


def _beside(ms: float, idle: float) -> str:
    return short(ms) if ms == idle else f"{short(ms)} ({short(ms / idle)}x)"

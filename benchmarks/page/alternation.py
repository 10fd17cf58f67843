"""Section on torch's operations and ours taking turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import short, table

TITLE = "Taking turns with torch"
WHY = """
Torch's threads spin for milliseconds after an operation, on the cores that the kernels' threads would have. A kernel
then runs on the calling thread alone; while it trains, dsae therefore leaves torch one thread (docs/design/threads.md).
"""


def bars(part: dict[str, Any]) -> list:
    """None were set."""
    return []


def render(part: dict[str, Any], images: Path) -> str:
    """Text and table; there is nothing to plot."""
    text = f"""
A loop of products by dsae (density {part["density"]:g}, batch {part["batch"]}), one of small dense products by torch,
and one that alternates between them. Without friction the last takes as long as the first two together. Milliseconds:

"""
    lines = [
        (
            f"{row['width']} x {row['width']}",
            *(short(row["ms"][name]["median"]) for name in ("dsae", "torch", "alternating")),
            f"{row['slowdown']:.2f}",
        )
        for row in part["rows"]
    ]
    return text + table(("layer", "dsae", "torch", "alternating", "alternating / sum"), lines) + WHY

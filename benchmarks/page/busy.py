"""Section on machines whose cores are taken by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import short, table

TITLE = "On a busy machine"
WHY = "\nWith four busy loops on two cores the fair share of one thread is two fifths of a core.\n"


def bars(part: dict[str, Any]) -> list:
    """None were set."""
    return []


def render(part: dict[str, Any], images: Path) -> str:
    """Text and table; there is nothing to plot."""
    text = f"""
Milliseconds to fit {part["n_rows"]} x {part["n_features"]} rows for {part["epochs"]} epochs and to encode them:

"""
    lines = [(str(row["loops"]), short(row["fit_ms"]), short(row["transform_ms"])) for row in part["rows"]]
    return text + table(("busy loops", "fit", "transform"), lines) + WHY

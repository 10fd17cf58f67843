"""Section on what of a fit is outside its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "Outside the steps of a fit"
LARGEST = 0.05
HEAD = ("rows", "epochs", "fit, s", "steps", "importances", "batches", "moments", "first model", "rest", "outside")
WHY = """
What is done once, moments, the first model, checks and the last look, weighs less the longer a fit is; importances take
a probe for every 128 times as many rows that are learned, and one at the end: docs/design/importance.md.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Of the longer fits."""
    longest = max(row["epochs"] for row in part["rows"])
    return [
        Bar(
            f"outside the steps, {row['case']}, {row['epochs']} epochs, percent",
            100 * _outside(row),
            100 * LARGEST,
            " %",
            at_least=False,
        )
        for row in part["rows"]
        if row["epochs"] == longest
    ]


def render(part: dict[str, Any], images: Path) -> str:
    """One table."""
    text = f"""
Processor seconds on one thread of fits with default settings at density {part["density"]:g}, batches of
{part["batch"]}, 32 latents: digits of scikit-learn (1797 x 64), made images (10,000 x 784) and texts
(11,314 x 10,000, CSR, 70 words each). Shares of the fit in percent; exchanges of edges are part of the steps.

"""
    return text + table(HEAD, [_line(row) for row in part["rows"]]) + WHY


def _outside(row: dict[str, Any]) -> float:
    seconds = row["seconds"]
    return 1 - seconds["steps"] / seconds["fit"]


def _line(row: dict[str, Any]) -> list[str]:
    seconds = row["seconds"]
    whole, parts = seconds["fit"], [value for name, value in seconds.items() if name != "fit"]
    each = [f"{100 * value / whole:.1f}" for value in [*parts, whole - sum(parts), _outside(row) * whole]]
    return [row["case"], f"{row['epochs']}", short(whole), *each]

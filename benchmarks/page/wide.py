"""Section on sparse rows of very many features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "Sparse rows of very many features"
LIMITS = {50_000: (None, 1.5e9), 1_000_000: (600, 4e9)}
WHY = """
A batch stays in CSR form, and the output and its loss are computed in tiles: docs/design/sparse_input.md. Dense layers
would take 16 bytes for each of their weights before the first activation.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Peak memory of each case, and the time of the wide one."""
    found = []
    for row in part["rows"]:
        seconds, peak = LIMITS.get(row["features"], (None, None))
        what = f"{row['rows']:,} x {row['features']:,}, one epoch and encoding"
        if peak is not None:
            found.append(Bar(f"{what}, peak", row["peak_bytes"] / 1e9, peak / 1e9, " GB", at_least=False))
        if seconds is not None:
            found.append(Bar(f"{what}, seconds", row["fit_seconds"], seconds, " s", at_least=False))
    return found


def render(part: dict[str, Any], images: Path) -> str:
    """One table."""
    text = """
CSR rows of ones, four fifths of them from the row's topic; one epoch and encoding all rows, each case in a process of
its own. The peak is the whole process', libraries and data included. Processor seconds are those of all threads
together, for machines that do other things meanwhile.

"""
    head = ("rows x features", "a row", "hidden, code", "weights", "fit, s", "processor, s", "encode, s", "peak, GB")
    return text + table((*head, "dense state, GB"), [_line(row) for row in part["rows"]]) + WHY


def _line(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['rows']:,} x {row['features']:,}",
        f"{row['per_row']}",
        f"{row['hidden']}, {row['code']}",
        f"{row['weights']:,}",
        *(short(row[key]) for key in ("fit_seconds", "fit_processor_seconds", "encode_seconds")),
        f"{row['peak_bytes'] / 1e9:.2f}",
        f"{row['dense_bytes'] / 1e9:,.1f}",
    ]

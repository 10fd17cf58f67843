"""Section on rows that do not fit in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "Rows from files"
MOST_WAITING, MOST_GROWTH = 0.05, 1.1
WHY = """
What is held: a buffer of about 16 MiB in which rows are shuffled, as much again while it is emptied, batches that are
ready, and, for Parquet, a page of every column of the row groups that are open. The pass for mean and spread reads
everything once before the first epoch; it is not in the share.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Growth of the peak from the smallest to the largest file, and the share of waiting in the largest."""
    found = []
    for kind in dict.fromkeys(row["kind"] for row in part["rows"]):
        rows = [row for row in part["rows"] if row["kind"] == kind]
        first, last = rows[0], rows[-1]
        growth = last["peak_bytes"] / first["peak_bytes"]
        what = f"peak memory, {last['rows']:,} over {first['rows']:,} rows of .{kind}"
        found.append(Bar(what, growth, MOST_GROWTH, "x", at_least=False))
        what = f"share of an epoch spent waiting, {last['rows']:,} rows of .{kind}"
        found.append(Bar(what, last["share_waited"], MOST_WAITING, "", at_least=False))
    return found


def render(part: dict[str, Any], images: Path) -> str:
    """Text and table."""
    text = f"""
One epoch of {part["n_features"]}-256-16 at density 0.1 from a file, in a process of its own: the largest resident set
of that process, torch and all, and the time in which training waited for rows.

"""
    lines = [
        (
            f".{row['kind']}",
            f"{row['rows']:,}",
            f"{row['bytes_on_disk'] / 1e6:,.0f} MB",
            f"{row['peak_bytes'] / 1e6:,.0f} MB",
            f"{row['peak_before'] / 1e6:,.0f} MB",
            f"{row['rows_per_second']:,.0f}",
            f"{100 * row['share_waited']:.1f} %",
            f"{short(row['pass_seconds'])} s",
            f"{short(row['seconds'])} s",
        )
        for row in part["rows"]
    ]
    head = ("file", "rows", "on disk", "peak", "before", "rows/s", "waiting", "pass for the mean", "epoch")
    return text + table(head, lines) + WHY

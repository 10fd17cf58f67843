"""Section on items for very many users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "Items for very many users"
LIMITS = {1_000_000: (900, 6e9, 1000)}
WHY = """
EASE would hold a matrix of items times items, and invert it or one of users times users: 160 GB and 4 TB for the second
case. Here an item's products with others are made when it is its turn, and forgotten: docs/design/recommender.md.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Seconds, peak memory and users per second of the large case."""
    found = []
    for row in part["rows"]:
        if row["users"] in LIMITS:
            seconds, peak, ranked = LIMITS[row["users"]]
            what = f"{row['users']:,} users x {row['items']:,} items"
            found.append(Bar(f"{what}, fit, seconds", row["fit_seconds"], seconds, " s", at_least=False))
            found.append(Bar(f"{what}, peak", row["peak_bytes"] / 1e9, peak / 1e9, " GB", at_least=False))
            found.append(Bar(f"{what}, users ranked per second", row["users_per_second"], ranked, ""))
    return found


def render(part: dict[str, Any], images: Path) -> str:
    """One table."""
    text = """
Generated ratings (`dsae.data.make_ratings`): users have 50 items, four fifths of them from two of the groups of 100
items. Each case in a process of its own; the peak is the whole process', data included. Recall@20 is that of 2,000
other users, a fifth of whose items is hidden; beside it that of the most popular items.

"""
    head = ("users x items", "neighbours", "weights", "fit, s", "processor, s", "users ranked per second", "peak, GB")
    return text + table((*head, "recall@20", "of popular items"), [_line(row) for row in part["rows"]]) + WHY


def _line(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['users']:,} x {row['items']:,}",
        f"{row['neighbours']}",
        f"{row['weights']:,}",
        *(short(row[key]) for key in ("fit_seconds", "fit_processor_seconds")),
        f"{row['users_per_second']:,.0f}",
        f"{row['peak_bytes'] / 1e9:.2f}",
        f"{row['recall']:.3f}",
        f"{row['popular_recall']:.3f}",
    ]

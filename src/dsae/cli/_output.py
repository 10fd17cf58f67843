"""What commands print."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import click


def show(facts: Mapping[str, Any], as_json: bool) -> None:
    """Facts as JSON or as aligned lines, on stdout."""
    if as_json:
        click.echo(json.dumps(plain(facts), indent=2))
    else:
        click.echo(columns([[name.replace("_", " "), text(value)] for name, value in facts.items()]))


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it; what is no number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(value: Any) -> str:
    """A fact as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a table in aligned columns; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(_padded(field, width, i) for i, (field, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def _padded(field: str, width: int, column: int) -> str:
    return field.rjust(width) if column and field[:1].isdigit() else field.ljust(width)

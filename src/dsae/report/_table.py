"""The comparison as cells of text, with a few ratios and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsae.metrics import METRICS, Metric
from dsae.pages import factor, number, percent, size

_FORMS = {"number": number, "percent": percent, "bytes": size}


def comparison(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the section shows: the table of all models, if there is one, with ratios as tiles above it."""
    if not given:
        return None
    rows = given["rows"]
    columns = [
        metric for metric in METRICS.values() if metric.label and any(row.get(metric.name) is not None for row in rows)
    ]
    return {
        "labels": [metric.label for metric in columns],
        "rows": [
            {
                "name": str(row["name"]),
                "own": row["name"] == "DSA",
                "widths": row.get("widths") or [],
                "cells": [_cell(row, rows, metric) for metric in columns],
            }
            for row in rows
        ],
        "tiles": _tiles(given.get("ratios", {})),
        "notes": [str(note) for note in given.get("notes", [])],
    }


def _cell(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], metric: Metric) -> dict[str, Any]:
    value = row.get(metric.name)
    values = [other[metric.name] for other in rows if other.get(metric.name) is not None]
    best = metric.better and value is not None and value == {"lower": min, "higher": max}[metric.better](values)
    return {"text": _FORMS[metric.form](value), "best": bool(best)}


def _tiles(ratios: Mapping[str, Mapping[str, float | None]]) -> list[tuple[str, str, str]]:
    tiles = [
        _tile("Squared error", values.get("squared_error_per_row"), "the error of", "less error than", twin)
        for twin, values in ratios.items()
    ]
    for key, title, more, less in (
        ("bytes_on_disk", "On disk", "larger", "smaller"),
        ("encode_us_per_row", "Encoding in batches", "slower", "faster"),
        ("encode_us_single_row", "Encoding one row", "slower", "faster"),
        ("fit_seconds", "Training", "slower", "faster"),
    ):
        ratio = ratios.get("dense twin", {}).get(key)
        tiles.append(_tile(title, ratio, f"{more} than", f"{less} than", "dense twin"))
    return [tile for tile in tiles if tile]


def _tile(title: str, ratio: float | None, more: str, less: str, other: str) -> tuple[str, str, str] | None:
    if not ratio:
        return None
    return title, factor(ratio), f"{more if ratio >= 1 else less} {other if other.isupper() else f'the {other}'}"

"""The comparison as a table, with a few ratios and notes."""

from __future__ import annotations

from html import escape
from typing import Any

from dsae.metrics import METRICS, Metric
from dsae.report._text import factor, number, percent, size, tag

_FORMS = {"number": number, "percent": percent, "bytes": size}


def comparison(data: dict[str, Any]) -> str:
    """The table of all models, if there is one."""
    given = data["comparison"]
    if not given:
        return ""
    rows = given["rows"]
    labelled = [metric for metric in METRICS.values() if metric.label]
    columns = [metric for metric in labelled if any(row.get(metric.name) is not None for row in rows)]
    head = "".join(tag("th", escape(str(name))) for name in ("Model", *(metric.label for metric in columns)))
    lines = "".join(_line(row, rows, columns) for row in rows)
    text = (
        "All autoencoders have the same rows, epochs, batch size, learning rate and seed. The dense twin is the same "
        "network with all its weights; the narrow twin is dense and just narrow enough to have as many parameters as "
        "the sparse model; PCA is the linear code of the same width. Best values are green."
    )
    notes = "".join(tag("p", escape(str(note))) for note in given.get("notes", []))
    return (
        tag("p", text, class_="lead")
        + tag("div", *_tiles(given.get("ratios", {})), class_="tiles small-tiles")
        + tag("div", tag("table", tag("tr", head), lines), class_="scroll")
        + (tag("div", notes, class_="note") if notes else "")
    )


def _line(row: dict[str, Any], rows: list[dict[str, Any]], columns: list[Metric]) -> str:
    widths = "–".join(str(width) for width in row.get("widths") or [])
    cells = [tag("td", escape(str(row["name"])), tag("small", escape(widths)))]
    for metric in columns:
        value = row.get(metric.name)
        values = [other[metric.name] for other in rows if other.get(metric.name) is not None]
        best = metric.better and value is not None and value == {"lower": min, "higher": max}[metric.better](values)
        shown = _FORMS[metric.form](value)
        cells.append(tag("td", shown, class_="best") if best else tag("td", shown))
    return tag("tr", *cells, class_="own") if row["name"] == "DSA" else tag("tr", *cells)


def _tiles(ratios: dict[str, dict[str, float | None]]) -> list[str]:
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


def _tile(title: str, ratio: float | None, more: str, less: str, other: str) -> str:
    if not ratio:
        return ""
    than = escape(other if other.isupper() else f"the {other}")
    note = f"{more if ratio >= 1 else less} {than}"
    return tag("div", f"<i>{title}</i><b>{factor(ratio)}</b><span>{note}</span>", class_="tile")

"""What the page's script draws: the properties of its charts, as numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_LINES = 6  # as many colours as the style sheet has beside the first
_WIDE = (560, 70)


def charts(data: Mapping[str, Any]) -> dict[str, Any]:
    """The charts of a report by section."""
    codes, errors, model = data["codes"], data["errors"], data["model"]
    return {
        "training": _training(data["history"]),
        "network": {
            "widths": model["widths"],
            "densities": [layer["density"] for layer in model["layers"]],
            "code": model["code"],
        },
        "rates": {"counts": codes["bars"], "size": _WIDE, "plain": True, "title": "all latents"},
        "latents": [
            {
                "counts": latent["counts"],
                "zero": latent["zero"],
                "plain": True,
                "title": f"values of latent {latent['latent']}",
            }
            for latent in codes["latents"]
        ],
        "errors": {
            "counts": errors["counts"],
            "low": errors["low"],
            "high": errors["p99"],
            "size": (560, 170),
            "xLabel": "squared error",
            "title": "rows by their squared error",
        },
    }


def loss_lines(history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The loss of each modality over the epochs, if it is known."""
    rows = [row for row in history if isinstance(row.get("losses"), dict)]
    if not rows:
        return None
    epochs = [row.get("epoch", i) for i, row in enumerate(rows, 1)]
    names = list(rows[0]["losses"])
    series = [
        {"name": name, "x": epochs, "y": [row["losses"].get(name) for row in rows], "style": f"c{1 + i % 7}"}
        for i, name in enumerate(names)
    ]
    return {"series": series, "xLabel": "epoch", "legend": True}


def _training(history: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Error and density over the epochs."""
    if not history:
        return []
    marks = history["stages"] if len(history["stages"]) > 1 else []
    error = _known(
        [
            _line("training error", history, history["loss"], "c1"),
            _line("validation error", history, history["validation_loss"], "c2"),
        ]
    )
    values = [value for line in error for value in line["y"] if value is not None]
    # Below that a straight axis is easier to read.
    log = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    others = list(history["densities"].items())[:_LINES] if len(history["densities"]) > 1 else []
    density = _known(
        [
            _line("all layers", history, history["density"], "c1"),
            *(_line(name, history, y, f"c{2 + i} thin") for i, (name, y) in enumerate(others)),
        ]
    )
    both = {"xLabel": "epoch", "marks": marks, "legend": True}
    figures = [
        {**both, "series": error, "log": log, "title": "Error" + (" (logarithmic scale)" if log else "")},
        {
            **both,
            "series": density,
            "fromZero": True,
            "form": "percent",
            "title": "Density: share of the weights that are left",
        },
    ]
    return [figure for figure in figures if figure["series"]]


def _line(name: str, history: Mapping[str, Any], y: Sequence[float | None], style: str) -> dict[str, Any]:
    return {"name": name, "x": history["epochs"], "y": y, "style": style}


def _known(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in series if any(value is not None for value in line["y"])]

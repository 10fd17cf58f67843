"""Render the collected data as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsae.pages import factor, number, percent, size
from dsae.report._figures import charts
from dsae.report._page import page
from dsae.report._table import comparison

# What a reader asks first comes first: is the code worth it, what does it stand for, where does it fail.
_SECTIONS = {
    "comparison": "Against ordinary autoencoders",
    "images": "Reconstructions",
    "atoms": "What the latents stand for",
    "codes": "Codes",
    "inputs": "Inputs that matter",
    "errors": "Where the error sits",
    "labels": "Error by label",
    "worst": "Worst reconstructed rows",
    "training": "Training",
    "weights": "Weights",
}
_ROWS_NAMED = 5  # any few


def render(data: dict[str, Any]) -> str:
    """The page of a report.

    Parameters
    ----------
    data : dict
        As `collect` returns it.

    Returns
    -------
    str
        HTML with style, scripts, charts and images inside, and without network requests.

    Examples
    --------
    >>> page = render(collect(model, X))                                                # doctest: +SKIP
    """
    shown = data | {"comparison": comparison(data["comparison"]), "charts": charts(data)}
    there = {**shown, "training": data["history"]}
    return page(
        "report",
        f"dsae: {number(data['n_features'])} features in {number(data['n_components'])} latents",
        sections=[(key, title) for key, title in _SECTIONS.items() if there.get(key, True)],
        tiles=_tiles(data),
        rows_named=_ROWS_NAMED,
        are=_are,
        **shown,
    )


def novelty_tile(kind: str, novelty: float | None) -> tuple[str, str, str]:
    """The tile of a model with a sampler: how far what it draws is from single rows."""
    return "Novelty of samples", number(novelty), f"{kind}; far below 1 is near to single rows"


def _tiles(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    model, values = data["model"], data["metrics"]
    fvu, n = values["fvu"], data["n_components"]
    held, dense = model["bytes_in_memory"], model["dense_bytes_in_memory"]
    tiles = [
        ("Weights left", percent(model["density"]), f"{model['nnz']:,} of {model['size']:,}"),
        (
            "Variance explained",
            percent(None if fvu is None else 1 - fvu),
            f"squared error {number(values['squared_error_per_row'])} per row",
        ),
        *_explained(values),
        ("In memory", size(held), f"{factor(held / dense)} smaller than dense" if held < dense else "as a dense model"),
        ("Active latents per row", number(values["mean_l0"]), f"of {n:,}; {values['dead_latents']:,} never fire"),
    ]
    if data["history"]:
        seconds, rate = data["history"]["seconds"], data["history"]["samples_per_second"]
        tiles.append(("Training", _duration(seconds), f"{number(round(rate))} rows per second" if rate else ""))
    if model["sampler"]:
        tiles.append(novelty_tile(**model["sampler"]))
    return tiles


def _explained(values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Of counts, whose squared error is that of their largest."""
    if values.get("deviance_explained") is None:
        return []
    note = f"Poisson deviance {number(values['deviance'])} per row"
    return [("Deviance explained", percent(values["deviance_explained"]), note)]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return number(None)
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _are(n: int) -> str:
    return {0: "None is", 1: "One is"}.get(n, f"{n:,} are")

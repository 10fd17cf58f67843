"""Render the collected data as one HTML page."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Any

from dsae.report import _sections
from dsae.report._text import DASH, factor, novelty_tile, number, percent, size, tag

_SECTIONS: tuple[tuple[str, str, Callable[[dict[str, Any]], str]], ...] = (
    ("comparison", "Against ordinary autoencoders", _sections.comparison),
    ("training", "Training", _sections.training),
    ("images", "Reconstructions", _sections.images),
    ("weights", "Weights", _sections.weights),
    ("codes", "Codes", _sections.codes),
    ("atoms", "What the latents stand for", _sections.atoms),
    ("inputs", "Inputs that matter", _sections.inputs),
    ("errors", "Where the error sits", _sections.errors),
    ("labels", "Error by label", _sections.labels),
    ("worst", "Worst reconstructed rows", _sections.worst),
)


def render(data: dict[str, Any]) -> str:
    """The page of a report.

    Parameters
    ----------
    data : dict
        As `collect` returns it.

    Returns
    -------
    str
        HTML with style, charts and images inside, without scripts or network requests.

    Examples
    --------
    >>> page = render(collect(model, X))                                                # doctest: +SKIP
    """
    bodies = [(key, title, body(data)) for key, title, body in _SECTIONS]
    shown = [(key, title, body) for key, title, body in bodies if body]
    links = "".join(tag("a", escape(title), href=f"#{key}") for key, title, _ in shown)
    sections = "".join(tag("section", tag("h2", escape(title)), body, id=key) for key, title, body in shown)
    title = f"{number(data['n_features'])} features in {number(data['n_components'])} latents"
    style = files("dsae.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>dsae: {escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{_header(data, title)}{tag('nav', links)}{sections}{_footer(data)}</main></body></html>\n"
    )


def _header(data: dict[str, Any], title: str) -> str:
    model = data["model"]
    widths = " → ".join(str(width) for width in model["widths"])
    head = tag(
        "header",
        tag("p", "Deep sparse autoencoder", class_="kind"),
        tag("h1", escape(title)),
        tag("p", f"{widths} &nbsp;·&nbsp; shown on {data['n_samples']:,} rows", class_="sub"),
    )
    return head + tag("div", *_tiles(data), class_="tiles")


def _tiles(data: dict[str, Any]) -> list[str]:
    model, values = data["model"], data["metrics"]
    fvu, n = values["fvu"], data["n_components"]
    tiles = [
        ("Weights left", percent(model["density"]), f"{model['nnz']:,} of {model['size']:,}"),
        (
            "Variance explained",
            percent(None if fvu is None else 1 - fvu),
            f"squared error {number(values['squared_error_per_row'])} per row",
        ),
        *_explained(values),
        (
            "In memory",
            size(model["bytes_in_memory"]),
            f"{factor(model['bytes_in_memory'] / model['dense_bytes_in_memory'])} smaller than dense"
            if model["bytes_in_memory"] < model["dense_bytes_in_memory"]
            else "as a dense model",
        ),
        (
            "Active latents per row",
            number(values["mean_l0"]),
            f"of {n:,}; {values['dead_latents']:,} never fire",
        ),
    ]
    if data["history"]:
        seconds, rate = data["history"]["seconds"], data["history"]["samples_per_second"]
        tiles.append(("Training", _duration(seconds), f"{number(round(rate))} rows per second" if rate else ""))
    if model["sampler"]:
        tiles.append(novelty_tile(**model["sampler"]))
    return [tag("div", f"<i>{name}</i><b>{value}</b><span>{note}</span>", class_="tile") for name, value, note in tiles]


def _explained(values: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Of counts, whose squared error is that of their largest."""
    if values.get("deviance_explained") is None:
        return []
    note = f"Poisson deviance {number(values['deviance'])} per row"
    return [("Deviance explained", percent(values["deviance_explained"]), note)]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return DASH
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _footer(data: dict[str, Any]) -> str:
    settings = "".join(
        tag("tr", tag("td", escape(str(key))), tag("td", escape(str(value)))) for key, value in data["training"].items()
    )
    details = tag("details", "<summary>Settings it was fitted with</summary>", tag("table", settings, class_="tight"))
    return tag("footer", tag("p", f"Written by dsae {escape(data['version'])}."), details if settings else "")

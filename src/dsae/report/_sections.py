"""The sections of the page; each returns its body, or an empty string if it has nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from dsae.report import _svg
from dsae.report._png import data_uri
from dsae.report._table import comparison as comparison
from dsae.report._text import TIMES, number, percent, tag

_ROWS_NAMED = 5  # any few
_LINES = 6  # as many colours as the style sheet has beside the first


def lead(text: str) -> str:
    """The lead paragraph of a section."""
    return tag("p", text, class_="lead")


def image(picture: dict[str, Any], alt: str, class_: str = "") -> str:
    """A collected image."""
    source = data_uri(picture["pixels"], picture["palette"])
    return f'<img src="{source}" alt="{escape(alt)}" class="{class_}">'


def bars(items: Sequence[dict[str, Any]], signed: bool = False, form=number, top: float | None = None) -> str:
    """Horizontal bars, full at ``top``, by default the largest; signed ones grow from the middle."""
    top = top or max((abs(item["value"] or 0) for item in items), default=0) or 1
    cells = []
    for item in items:
        value, name = item["value"] or 0, escape(item["name"])
        width = abs(value) / top * (50 if signed else 100)
        left = 50 - width if signed and value < 0 else 50 if signed else 0
        bar = tag("i", style=f"left:{left:.1f}%;width:{width:.1f}%", class_="minus" if value < 0 else "plus")
        track = tag("span", bar, class_="track signed" if signed else "track")
        cells.append(f'<span title="{name}">{name}</span>{track}<span>{form(item["value"])}</span>')
    return tag("div", *cells, class_="bars")


def training(data: dict[str, Any]) -> str:
    """Error and density over the epochs."""
    history = data["history"]
    if not history:
        return ""
    marks = history["stages"] if len(history["stages"]) > 1 else []
    epochs = {"x": history["epochs"]}
    error = [
        {**epochs, "name": "training error", "y": history["loss"], "style": "c1"},
        {**epochs, "name": "validation error", "y": history["validation_loss"], "style": "c2"},
    ]
    error = [line for line in error if any(value is not None for value in line["y"])]
    values = [v for line in error for v in line["y"] if v is not None]
    # Below that a straight axis is easier to read.
    log = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    density = [{**epochs, "name": "all layers", "y": history["density"], "style": "c1"}]
    others = list(history["densities"].items())[:_LINES] if len(history["densities"]) > 1 else []
    density += [{**epochs, "name": name, "y": y, "style": f"c{2 + i} thin"} for i, (name, y) in enumerate(others)]
    figures = [
        _chart("Error" + (" (logarithmic scale)" if log else ""), error, log=log, marks=marks),
        _chart("Density: share of the weights that are left", density, from_zero=True, form=percent, marks=marks),
    ]
    text = f"{history['epochs'][-1]:,} epochs. Left, the error the training minimised; right, the zeros coming in."
    return lead(text) + tag("div", *figures, class_="pair")


def _chart(title: str, lines: list[dict[str, Any]], **options: Any) -> str:
    legend = "".join(tag("span", escape(line["name"]), class_=line["style"]) for line in lines)
    chart = _svg.line_chart(lines, x_label="epoch", **options)
    return tag("div", tag("h3", title), tag("div", legend, class_="legend"), chart) if chart else ""


def weights(data: dict[str, Any]) -> str:
    """The network and a heat map per layer."""
    model = data["model"]
    layers = model["layers"]
    drawing = _svg.hourglass(model["widths"], [layer["density"] for layer in layers], model["code"])
    head = "<tr><th>Layer</th><th>Shape</th><th>Weights left</th><th>Density</th><th>Activation</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(layer['name'])}</td><td>{layer['n_out']} {TIMES} {layer['n_in']}</td>"
        f"<td>{layer['nnz']:,}</td><td>{percent(layer['density'])}</td><td>{escape(layer['activation'])}</td></tr>"
        for layer in layers
    )
    table = tag("div", tag("table", head, rows, class_="tight"), class_="scroll")
    maps = "".join(
        tag(
            "figure",
            image(layer["map"], f"weights of {layer['name']}", "weights"),
            tag("figcaption", _map_note(layer)),
        )
        for layer in layers
    )
    text = (
        "The network from input to output, with the code in orange. Below it, the weights of each layer: a row per "
        "unit, a column per input, darker where weights are larger. Empty places are weights that do not exist."
    )
    if model["block_size"] > 1:
        text += f" Weights are structured: {model['block_size']} neighbouring units share their inputs."
    pair = tag("div", drawing, table, class_="pair")
    return lead(text) + pair + tag("div", maps, class_="cards", style="margin-top:20px")


def _map_note(layer: dict[str, Any]) -> str:
    return f"{escape(layer['name'])}: {layer['n_out']} {TIMES} {layer['n_in']}, {percent(layer['density'])} left"


def codes(data: dict[str, Any]) -> str:
    """Histograms of the latents and their activation rates."""
    view = data["codes"]
    if not view["latents"]:
        return lead("Every latent is constant on these rows: the code carries nothing.")
    figures = [
        tag(
            "figure",
            _svg.histogram(latent["counts"], zero=latent["zero"]),
            tag("figcaption", f"<b>{latent['latent']}</b> · {_latent_note(view, latent)}"),
        )
        for latent in view["latents"]
    ]
    rate_title = "Spread of each latent, largest first" if view["always"] else "Activation rate, busiest latent first"
    top, last = (number if view["always"] else percent)(view["bars"][0]), view["bars"][-1]
    bar_note = f"From {top} down to {(number if view['always'] else percent)(last)}."
    summary = _code_summary(data)
    chart = tag("figure", _svg.histogram(view["bars"], (560, 70)), tag("figcaption", bar_note))
    shown = f"Values of {'the' if len(figures) < data['n_components'] else 'all'} {len(figures)} latents" + (
        " that vary most" if len(figures) < data["n_components"] else ""
    )
    return (
        lead(summary)
        + tag("h3", rate_title)
        + chart
        + tag("h3", f"{shown} (the middle 99 %; the dashed line is zero)", style="margin-top:18px")
        + tag("div", *figures, class_="grid")
    )


def _code_summary(data: dict[str, Any]) -> str:
    values = data["metrics"]
    if data["codes"]["always"]:
        active = f"Every latent is active in each of {values['n_samples']:,} rows: the code is dense."
    else:
        active = (
            f"{number(values['mean_l0'])} of {data['n_components']:,} latents are active per row on average (median "
            f"{values['median_l0']}, nine rows in ten at most {values['p90_l0']}). {_count(values['dead_latents'])} "
            f"never active in {values['n_samples']:,} rows."
        )
    stuck = values["constant_latents"] - values["dead_latents"]
    constant = f" {_count(stuck)} active but constant." if stuck > 0 else ""
    return f"{active}{constant} {_firing(data)}"


def _count(n: int) -> str:
    return {0: "None is", 1: "One is"}.get(n, f"{n:,} are")


def _latent_note(view: dict[str, Any], latent: dict[str, Any]) -> str:
    span = f"{number(latent['low'])} to {number(latent['high'])}"
    return span if view["always"] else f"fires in {percent(latent['rate'])}, {span}"


def _firing(data: dict[str, Any]) -> str:
    threshold = data["metrics"]["threshold"]
    return f"A latent counts as active above {number(threshold)}." if threshold else "Active means not zero."


def images(data: dict[str, Any]) -> str:
    """Inputs and their reconstructions by each model."""
    view = data["images"]
    if not view:
        return ""
    columns = f"grid-template-columns:112px repeat({len(view['rows'])},1fr)"
    lines = []
    for line in view["lines"]:
        note = f"<br><small>error {number(line['error'])}</small>" if line["error"] is not None else ""
        lines.append(tag("b", escape(line["name"]), note))
        lines += [
            image(picture, f"{line['name']}, row {row}")
            for picture, row in zip(line["images"], view["called"], strict=True)
        ]
    text = "Rows of the data and what each model makes of them; the error is the mean squared error of these rows."
    return lead(text) + tag("div", *lines, class_="strip", style=columns)


def inputs(data: dict[str, Any]) -> str:
    """The strongest inputs."""
    view, n = data["inputs"], data["n_features"]
    text = (
        f"{_importance(data)}, as a share of all. "
        f"{view['half']:,} of {n:,} inputs hold half of it; {_unused(view['unused'])}"
    )
    if view["image"]:
        pictures = (view["image"], "importance of each input"), (view["mean"], "mean of the rows, to compare")
        figures = [tag("figure", image(p, name, "map"), tag("figcaption", name)) for p, name in pictures]
        return lead(text) + tag("div", *figures, class_="two")
    half = (len(view["top"]) + 1) // 2
    columns = [view["top"][:half], view["top"][half:]] if len(view["top"]) > 8 else [view["top"]]
    return lead(text) + tag(
        "div", *(tag("div", bars(c, form=percent, top=view["top"][0]["value"])) for c in columns), class_="pair"
    )


def _importance(data: dict[str, Any]) -> str:
    if data["inputs"]["gathered"]:
        return "Importance of an input is how strongly the reconstruction answered to it in training"
    return f"Importance of an input is the sum of its absolute weights in the first layer{_unit(data)}"


def _unused(n: int) -> str:
    return f"{n:,} have no weight left and are ignored." if n else "every input has some weight left."


def _unit(data: dict[str, Any]) -> str:
    return ", each times the input's standard deviation" if data["standardised"] else ""


def atoms(data: dict[str, Any]) -> str:
    """A card per latent."""
    cards = data["atoms"]
    if not cards:
        return ""
    unit = " (in standard deviations of each feature)" if data["standardised"] else ""
    seen = (
        "Left, the atom: what the reconstruction gains (orange) and loses (blue) when the latent rises by one standard "
        "deviation from a typical code. Right, the rows in which the latent is largest."
        if data["image_shape"]
        else "Each card shows the features that change most in the reconstruction when the latent rises by one "
        f"standard deviation from a typical code{unit}."
    )
    few = f"The {len(cards)} latents that vary most. " if len(cards) < data["n_components"] else ""
    return lead(few + seen) + tag("div", *(_card(card) for card in cards), class_="cards")


def _card(card: dict[str, Any]) -> str:
    side = tag("span", f"fires in {percent(card['rate'])}", class_="side") if card["rate"] < 1 else ""
    head = tag("h3", f"Latent {card['latent']}", side)
    if "image" in card:
        thumbs = tag("div", *(image(p, "top row") for p in card["examples"]), class_="thumbs")
        body = tag("div", image(card["image"], f"atom {card['latent']}"), thumbs, class_="atom")
    else:
        rows = escape(", ".join(card["called"][:_ROWS_NAMED]))
        body = bars(card["features"], signed=True) + tag("p", f"Largest in rows {rows}", class_="note")
    return tag("div", head, body, class_="box")


def errors(data: dict[str, Any]) -> str:
    """Distribution of the error over rows and features."""
    view = data["errors"]
    rows = tag(
        "figure",
        tag("h3", "Rows"),
        _svg.histogram(view["counts"], (560, 150)),
        tag(
            "figcaption",
            f"Squared error per row, from {number(view['low'])} to {number(view['p99'])}. Half of the rows lie below "
            f"{number(view['median'])}, nine in ten below {number(view['p90'])}; the last in a hundred, left out here, "
            f"reach {number(view['high'])}.",
        ),
    )
    if view["image"]:
        shown = tag("div", image(view["image"], "error of each pixel", "map"), style="max-width:240px")
    else:
        shown = bars(view["features"][:12], form=percent)
    features = tag("figure", tag("h3", "Features, by their share of the squared error"), shown)
    text = "How the error spreads: over rows, and over the features that cause most of it."
    return lead(text) + tag("div", rows, features, class_="pair")


def labels(data: dict[str, Any]) -> str:
    """The error of the rows of each label, if there are labels."""
    view = data["labels"]
    if not view:
        return ""
    head = "<tr><th>Label</th><th>Rows</th><th>Mean squared error</th><th>Variance unexplained</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(row['label'])}</td><td>{row['n_samples']:,}</td><td>{number(row['mse'])}</td>"
        f"<td>{percent(row['fvu'])}</td></tr>"
        for row in view["rows"]
    )
    shown, n = len(view["rows"]), view["n_labels"]
    few = f", {shown} of {n:,}" if shown < n else ""
    text = (
        f"Labels by error, the largest first{few}. The variance of a label is that about the mean of its own rows: "
        "where these are alike, a small error may be a large share of it."
    )
    return lead(text) + tag("div", tag("table", head, rows, class_="tight"), class_="scroll")


def _value(value: Any) -> str:
    return escape(value) if isinstance(value, str) else number(value)


def worst(data: dict[str, Any]) -> str:
    """The worst reconstructed rows, and their worst features."""
    head = "<tr><th>Feature</th><th>Value</th><th>Output</th><th>Share of error</th></tr>"
    boxes = []
    for row in data["worst"]:
        side = tag("span", f"error {number(row['error'])}, {number(row['times'])} {TIMES} the mean", class_="side")
        title = tag("h3", escape(row["called"]), side)
        if "images" in row:
            names = ("input", "output", "difference")
            pictures = zip(row["images"], names, strict=True)
            body = tag(
                "div",
                *(tag("figure", image(p, n), tag("figcaption", n)) for p, n in pictures),
                class_="three",
            )
        else:
            lines = "".join(
                f'<tr><td class="name" title="{escape(f["name"])}">{escape(f["name"])}</td>'
                f"<td>{_value(f['value'])}</td><td>{_value(f['reconstruction'])}</td><td>{percent(f['share'])}</td></tr>"
                for f in row["features"]
            )
            body = tag("div", tag("table", head, lines, class_="tight"), class_="scroll")
        boxes.append(tag("div", title, body, class_="box"))
    text = "The rows with the largest squared error: outliers, rare kinds, or what the model has not learned."
    return lead(text) + tag("div", *boxes, class_="cards wide")

"""A joint model's page: what goes in and what comes out, seen and heard."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from importlib.resources import files
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import JointSource
from dsae.metrics import fvu_table
from dsae.report._pixels import block_mean, find_image_shape
from dsae.report._png import data_uri
from dsae.report._sections import lead
from dsae.report._svg import line_chart
from dsae.report._text import novelty_tile, number, percent, tag
from dsae.runtime import JointRuntime

_SHOWN = 6  # rows, each with a cell for every set given and every modality made
_STRONGEST = 5  # features of a row of numbers
_COLUMNS = 12  # of a table
_WORDS = 6
_ROWS = 512  # by which ranges of values are known
_MOST_BYTES = 300_000  # of a sound: a page stays small enough to be sent


class JointPictures:
    """Rows of each modality as HTML: pictures, sounds with their spectrograms, words, or their strongest features.

    Parameters
    ----------
    runtime : JointRuntime
    source : JointSource
        Rows by which ranges, means and spreads are known.
    """

    def __init__(self, runtime: JointRuntime, source: JointSource) -> None:
        self._encoders = runtime.encoders if runtime.model.encoders else {}
        batch = source.sample(min(_ROWS, len(source)), np.random.default_rng(0))
        self._shapes: dict[str, tuple[int, int] | None] = {}
        self._names: dict[str, list[str]] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        self._moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, part in batch.parts.items():
            has = (batch.present or {}).get(name)
            rows = part if has is None or not has.any() else part[has]
            self._ranges[name] = float(rows.min()), float(rows.max())
            self._moments[name] = _mean_and_spread(rows)
            model = runtime.modalities[name].model
            self._names[name] = model.feature_names or _names(self._encoders.get(name), model.config.n_features)
            self._shapes[name] = self._shape(name, source, rows, model.feature_names is not None or sp.issparse(rows))

    def _shape(self, name: str, source: JointSource, rows: Any, named: bool) -> tuple[int, int] | None:
        known = getattr(self._encoders.get(name), "field", None)
        fields = source.parts[name].fields
        shape = tuple(known or (fields[0].shape if len(fields) == 1 else ()))
        if len(shape) == 2 and prod(shape) == rows.shape[1]:
            return shape[0], shape[1]
        return None if shape else find_image_shape(rows, None, named=named)

    def cell(self, name: str, row: np.ndarray) -> str:
        """One row."""
        encoder = self._encoders.get(name)
        kind = getattr(encoder, "kind", None)
        if hasattr(encoder, "to_arrow"):
            return _values(encoder.to_arrow(row[None]))  # type: ignore[union-attr]
        if kind == "text" and encoder.weights != "hashing":  # type: ignore[union-attr]
            (words,) = encoder.inverse_transform(row[None])  # type: ignore[union-attr]
            return tag("span", escape(" ".join([words] if isinstance(words, str) else (words or [])[:_WORDS])))
        shape = self._shapes[name]
        if kind == "image" and shape is None:  # in colour
            content = encoder.to_bytes(encoder.inverse_transform(row[None])[0])  # type: ignore[union-attr]
            return _picture("data:image/png;base64," + base64.b64encode(content).decode())
        shown = self._strongest(name, row) if shape is None else self._pixels(name, row, shape)
        return shown + (self._sound(encoder, row) if kind == "audio" else "")

    def _pixels(self, name: str, row: np.ndarray, shape: tuple[int, int]) -> str:
        low, high = self._ranges[name]
        image = block_mean(row.astype(np.float64).reshape(shape))
        levels = 255 * (image - low) / (high - low if high > low else 1.0)
        return _picture(data_uri(np.clip(np.rint(levels), 0, 255).astype(int)))

    def _strongest(self, name: str, row: np.ndarray) -> str:
        mean, spread = self._moments[name]
        unusual = np.abs(row - mean) / np.where(spread > 0, spread, np.inf)
        chosen = np.argsort(-unusual, kind="stable")[:_STRONGEST]
        return tag("small", "<br>".join(f"{escape(self._names[name][j])} {number(float(row[j]))}" for j in chosen))

    @staticmethod
    def _sound(encoder: Any, row: np.ndarray) -> str:
        content = encoder.to_bytes(encoder.inverse_transform(row[None])[0])
        if len(content) > _MOST_BYTES:
            return ""
        return "<br>" + tag("audio", controls="", src="data:audio/wav;base64," + base64.b64encode(content).decode())


def _mean_and_spread(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of each column; a sparse matrix stays one."""
    if not sp.issparse(rows):
        return rows.mean(axis=0), rows.std(axis=0)
    mean = np.asarray(rows.mean(axis=0, dtype=np.float64)).ravel()
    squares = np.asarray(rows.power(2).mean(axis=0, dtype=np.float64)).ravel()
    return mean, np.sqrt(np.maximum(squares - mean**2, 0))


def _names(encoder: Any, n: int) -> list[str]:
    return [f"x{i}" for i in range(n)] if encoder is None else [str(name) for name in encoder.get_feature_names_out()]


def _values(table: Any) -> str:
    """The first columns of the only row of a table."""
    shown = list(table.slice(0, 1).to_pylist()[0].items())[:_COLUMNS]
    more = [] if table.num_columns <= _COLUMNS else [f"and {table.num_columns - _COLUMNS:,} more"]
    told = ((name, number(value) if isinstance(value, float) else value) for name, value in shown)
    lines = (f"{escape(str(name))} {'' if value is None else escape(str(value))}" for name, value in told)
    return tag("small", "<br>".join([*lines, *more]))


def _picture(uri: str) -> str:
    return f'<img src="{uri}" alt="" style="height:64px;image-rendering:pixelated;background:#000">'


class JointTable:
    """Rows of several modalities beside what is made of them; a notebook shows it.

    Attributes
    ----------
    html : str
        A fragment of a page.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"JointTable({len(self.html):,} characters of HTML; save(path) writes a page)"

    def save(self, path: str | Path) -> Path:
        """Write a page of it."""
        path = Path(path)
        path.write_text(_page("Inputs and outputs", tag("section", self.html)), encoding="utf-8")
        return path


def joint_table(runtime: JointRuntime, source: JointSource, n: int = _SHOWN, seed: int = 0) -> JointTable:
    """What is made of some rows: each modality alone, and all together.

    Parameters
    ----------
    runtime : JointRuntime
    source : JointSource
    n : int
        Rows, spread at random.
    seed : int

    Returns
    -------
    JointTable
    """
    pictures = JointPictures(runtime, source)
    batch = source.sample(min(n, len(source)), np.random.default_rng(seed))
    names = list(batch.parts)
    blocks = []
    for i in range(batch.n_rows):
        one = batch[i : i + 1]
        there = [name for name in names if one.present is None or bool(np.all(one.present.get(name, True)))]
        latents = runtime.latents({name: one.parts[name] for name in there})
        rows = {name: _dense(one.parts[name]) for name in there}
        lines = [("given", {name: pictures.cell(name, row) for name, row in rows.items()})]
        sets = [(name,) for name in there] + ([tuple(there)] if len(there) > 1 else [])
        for given in sets:
            code = runtime.join({name: latents[name] for name in given})
            made = {
                to: pictures.cell(to, runtime.decode(code, to, totals=one.parts.get(to) if to in there else None)[0])
                for to in names
            }
            lines.append(("from " + (given[0] if len(given) == 1 else "all"), made))
        head = tag("tr", tag("th", ""), *(tag("th", escape(name)) for name in names))
        body = (
            tag("tr", tag("td", escape(title)), *(tag("td", cells.get(name, "")) for name in names))
            for title, cells in lines
        )
        title = f"Row {one.numbers[0]}" if one.ids is None else str(one.ids[0])
        blocks.append(tag("div", tag("h3", escape(title)), tag("table", head, *body), class_="box"))
    return JointTable(tag("div", *blocks, class_="cards wide"))


def _dense(rows: Any) -> np.ndarray:
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows, np.float32)[0]


def write_joint_report(
    path: str | Path,
    runtime: JointRuntime,
    source: JointSource,
    *,
    coherence: Mapping[str, Mapping[str, float]] | None = None,
    comparison: Any = None,
) -> Path:
    """Write one self-contained HTML file about a joint model and what it makes of rows.

    Parameters
    ----------
    path : str or Path
    runtime : JointRuntime
    source : JointSource
        Rows on which to show it, preferably not the training rows.
    coherence : mapping, optional
        What `dsae.metrics.coherence` gave.
    comparison : JointComparison, optional

    Returns
    -------
    Path
        Of the file.
    """
    path, model = Path(path), runtime.model
    config = model.config
    tiles = [
        ("Weights left", percent(model.density), f"{model.nnz:,}"),
        ("Code", f"{config.n_components}", config.code_activation),
        *((name, f"{of.n_features:,}", "columns") for name, of in config.modalities.items()),
    ]
    if model.sampler is not None:
        tiles.append(novelty_tile(model.sampler.kind, model.sampler.novelty))
    head = tag(
        "header",
        tag("p", "Deep sparse autoencoders", class_="kind"),
        tag("h1", f"{escape(', '.join(config.names))} in {config.n_components} latents"),
        tag("p", f"shown on {len(source):,} rows", class_="sub"),
    )
    head += tag(
        "div",
        *(tag("div", f"<i>{escape(a)}</i><b>{b}</b><span>{c}</span>", class_="tile") for a, b, c in tiles),
        class_="tiles",
    )
    sections = [
        ("Inputs and outputs", lead(_TOLD) + joint_table(runtime, source).html),
        ("Unexplained variance", lead(_OF_ERRORS) + _matrix(fvu_table(runtime, source), number)),
        ("Of the right class", "" if coherence is None else lead(_OF_CLASSES) + _matrix(coherence, percent)),
        ("Against other models", "" if comparison is None else _compared(comparison)),
        ("Training", _training(model.history)),
    ]
    body = "".join(tag("section", tag("h2", title), content) for title, content in sections if content)
    try:
        path.write_text(_page(", ".join(config.names), head + body), encoding="utf-8")
    except OSError as error:
        raise OSError(f"[write_report] {path} cannot be written: {error.strerror}.") from None
    return path


_TOLD = "Each line is made from what stands on its left: from one modality alone, or from all that the row has."
_OF_ERRORS = "A line for what is given, a column for what is made; 1 is the error of the mean."
_OF_CLASSES = "The share of rows from which something of their class is made, as classifiers of real rows see it."


def _matrix(table: Mapping[str, Mapping[str, float]], form: Any) -> str:
    made = list(next(iter(table.values())))
    head = tag("tr", tag("th", "given"), *(tag("th", escape(name)) for name in made))
    lines = (
        tag("tr", tag("td", escape(given)), *(tag("td", _shown(row.get(to), form)) for to in made))
        for given, row in table.items()
    )
    return tag("div", tag("table", head, *lines, class_="tight"), class_="scroll")


def _shown(value: float | None, form: Any) -> str:
    return form(None if value is None or not isfinite(value) else float(value))


def _compared(comparison: Any) -> str:
    text = ""
    for title, tables in (("Unexplained variance", comparison.errors), ("Right class", comparison.coherence)):
        for name, table in tables.items():
            text += tag("h3", escape(f"{title}: {name}")) + _matrix(table, number)
    sizes = _matrix(comparison.sizes, number)
    return sizes + text


def _training(history: Any) -> str:
    rows = [row for row in history if isinstance(row.get("losses"), dict)]
    if not rows:
        return ""
    epochs = [row.get("epoch", i) for i, row in enumerate(rows, 1)]
    names = list(rows[0]["losses"])
    series = [
        {"name": name, "x": epochs, "y": [row["losses"].get(name) for row in rows], "style": f"c{1 + i % 7}"}
        for i, name in enumerate(names)
    ]
    legend = "".join(tag("span", escape(line["name"]), class_=line["style"]) for line in series)
    return (
        lead("The loss of each modality.") + tag("div", legend, class_="legend") + line_chart(series, x_label="epoch")
    )


def _page(title: str, body: str) -> str:
    style = files("dsae.report").joinpath("style.css").read_text(encoding="utf-8")
    foot = tag("footer", tag("p", f"Written by dsae {escape(version('dsae'))}."))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>dsae: {escape(title)}</title><style>{style}</style></head><body><main>{body}{foot}"
        "</main></body></html>\n"
    )

"""A joint model's page: what goes in and what comes out, seen and heard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import plain
from dsae.data import Batch, JointSource
from dsae.metrics import fvu_table
from dsae.pages import percent
from dsae.report._figures import loss_lines
from dsae.report._joint_pictures import JointPictures
from dsae.report._page import page
from dsae.report._render import novelty_tile
from dsae.runtime import JointRuntime

_SHOWN = 6  # rows, each with a cell for every set given and every modality made


class JointTable:
    """Rows of several modalities beside what is made of them; a notebook shows it.

    Attributes
    ----------
    names : list of str
        Of the modalities, a column each.
    rows : list of dict
        What each row is ``called`` and its ``lines``: what was ``given``, and a cell for each modality with a
        ``picture`` and a ``sound`` as data URIs, ``words`` and ``lines`` of text.
    html : str
        A fragment of a page.
    """

    def __init__(self, names: list[str], rows: list[dict[str, Any]]) -> None:
        self.names = names
        self.rows = rows

    @cached_property
    def html(self) -> str:
        return page("joint_table", "", names=self.names, rows=self.rows)

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"JointTable({len(self.rows)} rows of {', '.join(self.names)}; save(path) writes a page)"

    def save(self, path: str | Path) -> Path:
        """Write a page of it."""
        text = page("table", "dsae: Inputs and outputs", names=self.names, rows=self.rows, version=version("dsae"))
        path = Path(path)
        path.write_text(text, encoding="utf-8")
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
    rows = []
    for i in range(batch.n_rows):
        one = batch[i : i + 1]
        called = f"Row {one.numbers[0]}" if one.ids is None else str(one.ids[0])
        rows.append({"called": called, "lines": _lines(runtime, pictures, one)})
    return JointTable(list(batch.parts), rows)


def _lines(runtime: JointRuntime, pictures: JointPictures, one: Batch) -> list[dict[str, Any]]:
    """What one row has, and what is made of each of its modalities and of all."""
    names = list(one.parts)
    there = [name for name in names if one.present is None or bool(np.all(one.present.get(name, True)))]
    latents = runtime.latents({name: one.parts[name] for name in there})
    given = {name: pictures.cell(name, _dense(one.parts[name])) for name in there}
    lines = [{"given": "given", "cells": given}]
    sets = [(name,) for name in there] + ([tuple(there)] if len(there) > 1 else [])
    for some in sets:
        code = runtime.join({name: latents[name] for name in some})
        made = {
            to: pictures.cell(to, runtime.decode(code, to, totals=one.parts.get(to) if to in there else None)[0])
            for to in names
        }
        lines.append({"given": "from " + (some[0] if len(some) == 1 else "all"), "cells": made})
    return lines


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

    Raises
    ------
    OSError
        If the file cannot be written.
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
    table = joint_table(runtime, source)
    text = page(
        "joint",
        f"dsae: {', '.join(config.names)}",
        names=table.names,
        rows=table.rows,
        n_components=config.n_components,
        n_samples=len(source),
        tiles=tiles,
        errors=plain(fvu_table(runtime, source)),
        coherence=None if coherence is None else plain(coherence),
        comparison=None if comparison is None else _compared(comparison),
        losses=loss_lines(plain(list(model.history))),
        version=version("dsae"),
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(f"[write_report] {path} cannot be written: {error.strerror}.") from None
    return path


def _compared(comparison: Any) -> dict[str, Any]:
    kinds = ("Unexplained variance", comparison.errors), ("Right class", comparison.coherence)
    tables = [(f"{title}: {name}", plain(table)) for title, of in kinds for name, table in of.items()]
    return {"sizes": plain(comparison.sizes), "tables": tables}

"""Rows of each modality as pictures, sounds with their spectrograms, words, or their strongest features."""

from __future__ import annotations

import base64
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import JointSource
from dsae.pages import number
from dsae.report._pixels import block_mean, find_image_shape
from dsae.report._png import data_uri
from dsae.runtime import JointRuntime

_STRONGEST = 5  # features of a row of numbers
_COLUMNS = 12  # of a table
_WORDS = 6
_ROWS = 512  # by which ranges of values are known
_MOST_BYTES = 300_000  # of a sound: a page stays small enough to be sent


class JointPictures:
    """What is shown of rows of each modality, as texts and data URIs.

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

    def cell(self, name: str, row: np.ndarray) -> dict[str, Any]:
        """One row: a ``picture`` and a ``sound`` as data URIs, ``words``, ``lines``; None or empty what it lacks."""
        encoder = self._encoders.get(name)
        kind = getattr(encoder, "kind", None)
        if hasattr(encoder, "to_arrow"):
            return _cell(lines=_values(encoder.to_arrow(row[None])))  # type: ignore[union-attr]
        if kind == "text" and encoder.weights != "hashing":  # type: ignore[union-attr]
            (words,) = encoder.inverse_transform(row[None])  # type: ignore[union-attr]
            return _cell(words=" ".join([words] if isinstance(words, str) else (words or [])[:_WORDS]))
        shape = self._shapes[name]
        if kind == "image" and shape is None:  # in colour
            content = encoder.to_bytes(encoder.inverse_transform(row[None])[0])  # type: ignore[union-attr]
            return _cell(picture="data:image/png;base64," + base64.b64encode(content).decode())
        sound = self._sound(encoder, row) if kind == "audio" else None
        if shape is None:
            return _cell(lines=self._strongest(name, row), sound=sound)
        return _cell(picture=self._pixels(name, row, shape), sound=sound)

    def _pixels(self, name: str, row: np.ndarray, shape: tuple[int, int]) -> str:
        low, high = self._ranges[name]
        image = block_mean(row.astype(np.float64).reshape(shape))
        levels = 255 * (image - low) / (high - low if high > low else 1.0)
        return data_uri(np.clip(np.rint(levels), 0, 255).astype(int))

    def _strongest(self, name: str, row: np.ndarray) -> list[str]:
        mean, spread = self._moments[name]
        unusual = np.abs(row - mean) / np.where(spread > 0, spread, np.inf)
        chosen = np.argsort(-unusual, kind="stable")[:_STRONGEST]
        return [f"{self._names[name][j]} {number(float(row[j]))}" for j in chosen]

    @staticmethod
    def _sound(encoder: Any, row: np.ndarray) -> str | None:
        content = encoder.to_bytes(encoder.inverse_transform(row[None])[0])
        if len(content) > _MOST_BYTES:
            return None
        return "data:audio/wav;base64," + base64.b64encode(content).decode()


def _cell(
    picture: str | None = None, words: str | None = None, lines: list[str] | None = None, sound: str | None = None
) -> dict[str, Any]:
    return {"picture": picture, "words": words, "lines": lines or [], "sound": sound}


def _mean_and_spread(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of each column; a sparse matrix stays one."""
    if not sp.issparse(rows):
        return rows.mean(axis=0), rows.std(axis=0)
    mean = np.asarray(rows.mean(axis=0, dtype=np.float64)).ravel()
    squares = np.asarray(rows.power(2).mean(axis=0, dtype=np.float64)).ravel()
    return mean, np.sqrt(np.maximum(squares - mean**2, 0))


def _names(encoder: Any, n: int) -> list[str]:
    return [f"x{i}" for i in range(n)] if encoder is None else [str(name) for name in encoder.get_feature_names_out()]


def _values(table: Any) -> list[str]:
    """The first columns of the only row of a table."""
    shown = list(table.slice(0, 1).to_pylist()[0].items())[:_COLUMNS]
    told = ((name, number(value) if isinstance(value, float) else value) for name, value in shown)
    lines = [f"{name} {'' if value is None else value}" for name, value in told]
    return lines + ([] if table.num_columns <= _COLUMNS else [f"and {table.num_columns - _COLUMNS:,} more"])

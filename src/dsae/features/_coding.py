"""Columns of a table as rows of numbers, by a schema, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dsae.features._schema import Column, Schema
from dsae.features._values import decoded, numbers, plain, texts

if TYPE_CHECKING:
    import pyarrow as pa

_PRECISE = ("double", "int32", "uint32", "int64", "uint64")  # types of more digits than float32 has


class Coder:
    """What a schema makes of tables: scikit-learn's scaler and encoder, with the numbers that the schema holds.

    Parameters
    ----------
    schema : Schema

    Attributes
    ----------
    used : list of (Column, slice)
        The columns that become features, with the places of these.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.used = [(column, span) for column, span in schema.spans if column.features]
        self._scaled = [span.start for column, span in self.used if column.is_measured]
        self._scaler = _scaler([column for column, _ in self.used if column.is_measured])
        self._coded = [(column, span) for column, span in self.used if column.kind == "class"]
        self._encoder = _encoder([column for column, _ in self._coded])

    def rows(self, table: pa.Table) -> np.ndarray:
        """``[n_rows, n_features]`` from a table that has the used columns: float64 where numbers came as such.

        Raises
        ------
        ValueError
            If a column is of another kind, or holds infinity.
        """
        precise = any(column.is_measured and column.type in _PRECISE for column, _ in self.used)
        out = np.zeros((table.num_rows, self.schema.n_features), np.float64 if precise else np.float32)
        known = {column.name: plain(table.column(column.name)) for column, _ in self.used}
        self._fill_measured(out, known)
        self._fill_classes(out, known)
        return out

    def columns(self, rows: np.ndarray) -> dict[str, pa.Array]:
        """The values that ``rows [n_rows, n_features]`` of float64 mean, by column; ``rows`` are overwritten."""
        if self._scaled:
            rows[:, self._scaled] = self._scaler.inverse_transform(rows[:, self._scaled])
        return {column.name: decoded(column, rows[:, span]) for column, span in self.schema.spans}

    def _fill_measured(self, out: np.ndarray, known: dict[str, Any]) -> None:
        plainly = [(column, span) for column, span in self.used if column.kind != "class"]
        values = {column.name: numbers(column, known[column.name]) for column, _ in plainly}
        infinite = next((name for name, found in values.items() if np.isinf(found).any()), None)
        if infinite is not None:
            raise ValueError(f"column {infinite!r} must hold finite numbers; it holds infinity.")
        if self._scaled:
            table = np.column_stack([values[column.name] for column, _ in plainly if column.is_measured])
            out[:, self._scaled] = self._scaler.transform(table)
        for column, span in plainly:
            if column.kind == "boolean":
                out[:, span.start] = values[column.name]
            if self.schema.missing == "fill":
                usual = column.mean if column.kind == "boolean" else 0  # numbers are centred
                out[np.isnan(out[:, span.start]), span.start] = usual

    def _fill_classes(self, out: np.ndarray, known: dict[str, Any]) -> None:
        if not self._coded:
            return
        found = [texts(known[column.name]) for column, _ in self._coded]
        missing = [np.array([value is None for value in values]) for values in found]
        table = np.empty((len(out), len(found)), dtype=object)
        for j, ((column, _), values) in enumerate(zip(self._coded, found, strict=True)):
            labels = set(column.labels)
            rare = column.all_labels[-1] if column.joined else None  # no class, for which the encoder has zeros
            table[:, j] = [value if value in labels else rare for value in values]
        coded, start = self._encoder.transform(table), 0
        for (_, span), unknown in zip(self._coded, missing, strict=True):
            width = span.stop - span.start
            out[:, span] = coded[:, start : start + width]
            out[unknown, span] = np.nan if self.schema.missing == "mask" else 0
            start += width


def with_moments(columns: tuple[Column, ...], table: pa.Table) -> tuple[Column, ...]:
    """The columns, with means and scales; the scale is 0 where all values are equal."""
    known = [column for column in columns if column.is_measured or column.kind == "boolean"]
    if not known:
        return columns
    values = np.column_stack([numbers(column, plain(table.column(column.name))) for column in known])
    scaler = StandardScaler().fit(values)
    # the variance of equal values, as it is computed, may be a little above 0
    varies = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
    scales = np.where(varies & [column.is_measured for column in known], np.sqrt(np.asarray(scaler.var_)), 0)
    moments = zip(np.asarray(scaler.mean_).tolist(), scales.tolist(), strict=True)
    found = {column.name: replace(column, mean=m, scale=s) for column, (m, s) in zip(known, moments, strict=True)}
    return tuple(found.get(column.name, column) for column in columns)


def _scaler(columns: list[Column]) -> StandardScaler:
    scaler: Any = StandardScaler()
    scaler.mean_ = np.array([column.mean for column in columns])
    scaler.scale_ = np.array([column.scale for column in columns])
    scaler.n_features_in_ = len(columns)
    return scaler


def _encoder(columns: list[Column]) -> OneHotEncoder:
    labels = [np.array(column.all_labels, dtype=object) for column in columns]
    settings: dict[str, Any] = {"categories": labels, "handle_unknown": "ignore", "dtype": np.float32}
    encoder = OneHotEncoder(**settings, sparse_output=False)
    # with the categories given, it learns nothing from the row; unfitted it would refuse to transform
    return encoder.fit(np.array([[some[0] for some in labels]], dtype=object)) if labels else encoder

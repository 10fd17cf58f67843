"""Views of rows: reconstructions, inputs, atoms, errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import ArraySource, extremes
from dsae.features import Schema
from dsae.interpret import atoms, feature_importances, top_examples
from dsae.report import _pixels
from dsae.report._codes import Activity, by_energy, codes_view
from dsae.runtime import Runtime

# What a reader takes in, and what keeps a page below 5 MB.
_CARDS_SHOWN = 24
_FEATURES_PER_CARD = 7
_EXAMPLES_PER_CARD = 9
_IMAGES_SHOWN = 12
_INPUTS_SHOWN = 20
_WORST_SHOWN = 6


@dataclass
class Samples:
    """Rows and the model's results on them.

    Parameters
    ----------
    rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
    kept : ndarray of int, shape (n_kept,)
        Rows whose codes were kept.
    activity : Activity
    row_errors : ndarray, shape (n_samples,)
        Squared error of each row.
    feature_errors : ndarray, shape (n_features,)
        Mean squared error of each feature.
    names : list of str
    ids : ndarray, shape (n_samples,), optional
        What the rows are called.
    table : Schema, optional
        Of what the rows were made.
    image_shape : tuple of int, optional
    """

    rows: Any
    kept: np.ndarray
    activity: Activity
    row_errors: np.ndarray
    feature_errors: np.ndarray
    names: list[str] = field(default_factory=list)
    ids: Any = None
    table: Schema | None = None
    image_shape: tuple[int, int] | None = None

    def in_units(self, feature: int, value: Any) -> Any:
        """A value as the table has it that the rows were made of, if they were."""
        return value if self.table is None else self.table.in_units(feature, float(value))

    def called(self, rows: Any) -> list[str]:
        """What rows are called: their ids, or numbers where they have none."""
        return [str(self._id(row)) for row in rows]

    def titled(self, row: int) -> str:
        """The same for one row by itself, where a number alone would say nothing."""
        name = self._id(row)
        return f"Row {name}" if isinstance(name, Integral) else str(name)

    def _id(self, row: int) -> Any:
        return row if self.ids is None or self.ids[row] is None else self.ids[row]

    def dense(self, chosen: np.ndarray) -> np.ndarray:
        """Some rows as an array."""
        rows = self.rows[chosen]
        return rows.toarray() if sp.issparse(rows) else np.asarray(rows)


def views(runtime: Runtime, samples: Samples, others: Mapping[str, Any]) -> dict[str, Any]:
    """All views of the rows by section; ``others`` are further models to show beside this one."""
    mean, spread = ArraySource(samples.rows).moments()
    # Table columns have units of their own; pixels share one, and so do the counts of a sparse matrix.
    mixed = samples.image_shape is None and not sp.issparse(samples.rows)
    order = by_energy(runtime, samples.activity)
    return {
        "standardised": mixed,
        "codes": codes_view(samples.activity, order),
        "images": _images(runtime, samples, others) if samples.image_shape else None,
        "inputs": _inputs(runtime, samples, mean, spread if mixed else None),
        "atoms": _atoms(runtime, samples, order[:_CARDS_SHOWN], spread if mixed else None),
        "errors": _errors(samples, spread),
        "worst": _worst(runtime, samples),
    }


def _images(runtime: Runtime, samples: Samples, others: Mapping[str, Any]) -> dict[str, Any]:
    assert samples.image_shape is not None
    n = samples.rows.shape[0]
    # Spread over the rows, which may be sorted by class.
    chosen = np.unique(np.linspace(0, n - 1, min(n, _IMAGES_SHOWN)).astype(int))
    x = samples.dense(chosen)
    models = {"input": x, "DSA": runtime.reconstruct(x)}
    for name, other in others.items():
        if name != "DSA":
            models[name] = other.reconstruct(x)
    low, high = extremes(x)
    return {
        "rows": chosen,
        "called": samples.called(chosen),
        "lines": [
            {
                "name": name,
                "error": float(np.nansum(np.square(values - x), axis=1).mean()) if name != "input" else None,
                "images": [_pixels.gray(row, samples.image_shape, low, high) for row in values],
            }
            for name, values in models.items()
        ],
    }


def _inputs(runtime: Runtime, samples: Samples, mean: np.ndarray, spread: np.ndarray | None) -> dict[str, Any]:
    importances = feature_importances(runtime, scale=spread)
    order = np.argsort(-importances, kind="stable")
    shape = samples.image_shape
    half = int(np.searchsorted(np.cumsum(importances[order]), 0.5)) + 1
    first = next(iter(runtime.layers.values())).topology
    return {
        "top": [{"name": samples.names[j], "value": importances[j]} for j in order[:_INPUTS_SHOWN]],
        "image": _pixels.heat(importances, shape) if shape else None,
        "mean": _pixels.gray(mean, shape, float(mean.min()), float(mean.max())) if shape else None,
        "half": min(half, importances.size),
        "gathered": runtime.model.importance is not None,
        "unused": int((np.bincount(first.indices, minlength=importances.size) == 0).sum()),
    }


def _atoms(runtime: Runtime, samples: Samples, chosen: np.ndarray, spread: np.ndarray | None) -> list[dict[str, Any]]:
    activity = samples.activity
    responses = atoms(runtime, latents=chosen, base=activity.means, step=activity.spreads).astype(np.float64)
    if spread is not None:
        responses = np.where(spread > 0, responses / np.where(spread > 0, spread, 1), 0)
    examples = top_examples(runtime, samples.rows, n_examples=_EXAMPLES_PER_CARD, latents=chosen).rows
    return [_card(samples, int(latent), *shown) for latent, *shown in zip(chosen, responses, examples, strict=True)]


def _card(samples: Samples, latent: int, response: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
    order = np.argsort(-np.abs(response), kind="stable")[:_FEATURES_PER_CARD]
    card: dict[str, Any] = {
        "latent": latent,
        "rate": samples.activity.rates[latent],
        "features": [{"name": samples.names[j], "value": response[j]} for j in order],
        "rows": examples,
        "called": samples.called(examples),
    }
    if samples.image_shape:
        x = samples.dense(examples)
        card["image"] = _pixels.diverging(response, samples.image_shape, float(np.abs(response).max()))
        card["examples"] = [_pixels.gray(row, samples.image_shape, *extremes(x)) for row in x]
    return card


def _errors(samples: Samples, spread: np.ndarray) -> dict[str, Any]:
    variance = np.square(spread, dtype=np.float64)
    unexplained = samples.feature_errors / np.where(variance > 0, variance, 1)
    varies = variance > 1e-12
    order = np.argsort(-samples.feature_errors, kind="stable")[:_INPUTS_SHOWN]
    # The histogram ends at p99: a few rows far away would leave one bar for all others.
    low, median, p90, p99, high = np.quantile(samples.row_errors, [0, 0.5, 0.9, 0.99, 1])
    counts, _ = np.histogram(samples.row_errors, bins=40, range=(low, p99))
    total = samples.feature_errors.sum()
    return {
        "counts": counts,
        "low": low,
        "median": median,
        "p90": p90,
        "p99": p99,
        "high": high,
        "features": [
            {
                "name": samples.names[j],
                "value": samples.feature_errors[j] / total if total > 0 else 0.0,
                "unexplained": unexplained[j] if varies[j] else None,
            }
            for j in order
        ],
        "image": _pixels.heat(samples.feature_errors, samples.image_shape) if samples.image_shape else None,
    }


def _worst(runtime: Runtime, samples: Samples) -> list[dict[str, Any]]:
    chosen = np.argsort(-samples.row_errors, kind="stable")[:_WORST_SHOWN]
    x = samples.dense(chosen)
    x_hat = runtime.reconstruct(x)
    return [_worst_row(samples, int(row), values, made) for row, values, made in zip(chosen, x, x_hat, strict=True)]


def _worst_row(samples: Samples, row: int, x: np.ndarray, x_hat: np.ndarray) -> dict[str, Any]:
    squared = np.nan_to_num(np.square(x.astype(np.float64) - x_hat))  # 0 where a value is not known
    total = squared.sum()
    order = np.argsort(-squared, kind="stable")[:_FEATURES_PER_CARD]
    mean = samples.row_errors.mean()
    view: dict[str, Any] = {
        "row": row,
        "called": samples.titled(row),
        "error": samples.row_errors[row],
        "times": samples.row_errors[row] / mean if mean > 0 else None,
        "features": [
            {
                "name": samples.names[j],
                "value": samples.in_units(int(j), x[j]),
                "reconstruction": samples.in_units(int(j), x_hat[j]),
                "share": squared[j] / total if total > 0 else 0.0,
            }
            for j in order
        ],
    }
    if samples.image_shape:
        (low, high), signed = extremes(x), x_hat - x
        view["images"] = [
            _pixels.gray(x, samples.image_shape, low, high),
            _pixels.gray(x_hat, samples.image_shape, low, high),
            _pixels.diverging(signed, samples.image_shape, float(np.nanmax(np.abs(signed), initial=0))),
        ]
    return view

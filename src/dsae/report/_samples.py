"""Views of rows: codes, reconstructions, inputs, atoms, errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import ArraySource, extremes
from dsae.features import Schema
from dsae.interpret import atoms, feature_importances, top_examples
from dsae.report import _pixels
from dsae.runtime import Runtime

# What a reader takes in, and what keeps a page below 5 MB.
_LATENTS_SHOWN = 32
_CARDS_SHOWN = 24
_FEATURES_PER_CARD = 7
_EXAMPLES_PER_CARD = 9
_IMAGES_SHOWN = 12
_INPUTS_SHOWN = 20
_WORST_SHOWN = 6
_BINS = 30
_TAIL = 0.005  # left out of a histogram at either end: one outlier would squash the rest
_BARS_SHOWN = 256


@dataclass
class Samples:
    """Rows and the model's results on them.

    Parameters
    ----------
    rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
    kept : ndarray of int, shape (n_kept,)
        Rows whose codes were kept.
    codes : ndarray of float32, shape (n_kept, n_components)
    rates : ndarray, shape (n_components,)
        Share of all rows in which each latent fires.
    threshold : float
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
    codes: np.ndarray
    rates: np.ndarray
    threshold: float
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
        return [str(row if self.ids is None or self.ids[row] is None else self.ids[row]) for row in rows]

    def dense(self, chosen: np.ndarray) -> np.ndarray:
        """Some rows as an array."""
        rows = self.rows[chosen]
        return rows.toarray() if sp.issparse(rows) else np.asarray(rows)


def views(runtime: Runtime, samples: Samples, others: Mapping[str, Any]) -> dict[str, Any]:
    """All views of the rows by section; ``others`` are further models to show beside this one."""
    mean, spread = ArraySource(samples.rows).moments()
    # Table columns have units of their own; pixels share one, and so do the counts of a sparse matrix.
    mixed = samples.image_shape is None and not sp.issparse(samples.rows)
    return {
        "standardised": mixed,
        "codes": _codes(samples),
        "images": _images(runtime, samples, others) if samples.image_shape else None,
        "inputs": _inputs(runtime, samples, mean, spread if mixed else None),
        "atoms": _atoms(runtime, samples, spread if mixed else None),
        "errors": _errors(samples, spread),
        "worst": _worst(runtime, samples),
    }


def _strongest(samples: Samples) -> np.ndarray:
    spread = samples.codes.std(axis=0, dtype=np.float64)
    order = np.argsort(-spread, kind="stable")
    return order[spread[order] > 0]


def _codes(samples: Samples) -> dict[str, Any]:
    chosen = np.sort(_strongest(samples)[:_LATENTS_SHOWN])
    spread = samples.codes.std(axis=0, dtype=np.float64)
    # Codes without zeros fire in every row: bars of equal height would say nothing, spreads do.
    silent = samples.rates.min() == samples.rates.max() == 1
    bars = spread if silent else samples.rates
    return {
        "latents": [_latent(samples, int(latent)) for latent in chosen],
        "n_rows": samples.kept.size,
        "always": bool(silent),
        "bars": np.sort(bars)[::-1][np.unique(np.linspace(0, bars.size - 1, _BARS_SHOWN).astype(int))],
    }


def _latent(samples: Samples, latent: int) -> dict[str, Any]:
    values = samples.codes[:, latent].astype(np.float64)
    # A spike of exact zeros would flatten everything else.
    shown = values[values != 0] if samples.threshold == 0 and (values == 0).mean() > 0.02 else values
    low, high = np.quantile(shown, [_TAIL, 1 - _TAIL])
    counts, edges = np.histogram(shown, bins=_BINS, range=(low, high))
    width = edges[-1] - edges[0]
    return {
        "latent": latent,
        "rate": samples.rates[latent],
        "low": edges[0],
        "high": edges[-1],
        "zero": -edges[0] / width if width > 0 else None,
        "counts": counts,
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


def _atoms(runtime: Runtime, samples: Samples, spread: np.ndarray | None) -> list[dict[str, Any]]:
    chosen = _strongest(samples)[:_CARDS_SHOWN]
    responses = atoms(
        runtime,
        latents=chosen,
        base=samples.codes.mean(axis=0, dtype=np.float64),
        step=samples.codes.std(axis=0, dtype=np.float64),
    ).astype(np.float64)
    if spread is not None:
        responses = np.where(spread > 0, responses / np.where(spread > 0, spread, 1), 0)
    examples = top_examples(runtime, samples.rows, n_examples=_EXAMPLES_PER_CARD, latents=chosen).rows
    return [_card(samples, int(latent), *shown) for latent, *shown in zip(chosen, responses, examples, strict=True)]


def _card(samples: Samples, latent: int, response: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
    order = np.argsort(-np.abs(response), kind="stable")[:_FEATURES_PER_CARD]
    card: dict[str, Any] = {
        "latent": latent,
        "rate": samples.rates[latent],
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
        "called": f"Row {row}" if samples.ids is None else samples.called([row])[0],
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

"""How a model is: what never fires, what is double, where the error sits."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsae.config import plain
from dsae.explorer._collect import Measured
from dsae.explorer._latents import Atoms
from dsae.explorer._stored import worst_rows
from dsae.explorer._view import View

_RARE, _FREQUENT, _DOUBLE = 1e-4, 0.1, 0.9
_BINS, _PAIRS, _FEATURES = 40, 20, 20
_QUANTILES = (0.5, 0.9, 0.99, 1.0)


def health(view: View, found: Measured, atoms: Atoms) -> dict[str, Any]:
    """What the view "Health" shows, as JSON can hold it."""
    summary = found.summary
    rates, on = summary.rates, summary.counts
    cosines = np.nan_to_num(atoms.similar.cosines[:, 0])
    content: dict[str, Any] = {
        "rates": _histogram(np.log10(rates[on > 0])),
        "dead": int((on == 0).sum()),
        "rare": int(((on > 0) & (rates < _RARE)).sum()),
        "frequent": int((rates > _FREQUENT).sum()),
        "constant": int((on == summary.n_rows).sum()),
        "empty": int((atoms.norms == 0).sum()),
        "duplicates": int((cosines > _DOUBLE).sum()),
        "pairs": _closest(atoms),
        "l0": _counted(summary.l0),
        "mean_l0": float(on.sum() / summary.n_rows),
        "degrees": {half: _histogram(view.fan(half)) for half in ("encoder", "decoder")},
        "layers": list(view.layers()),
        "fvu": None,
        "error": None,
        "error_quantiles": None,
        "worst": [],
        "features": [],
        "by_label": None,
    }
    if found.row_errors is not None:
        content |= _errors(found)
    return plain(content)


def _errors(found: Measured) -> dict[str, Any]:
    errors = found.row_errors.astype(np.float64)
    quantiles = np.quantile(errors, _QUANTILES)
    # It ends at the 99th percentile: a few rows far away would leave one bar for all others.
    shown = _histogram(errors[errors <= quantiles[2]])
    by_feature = np.nan_to_num(found.feature_errors)
    total = by_feature.sum()
    order = np.argsort(-by_feature, kind="stable")[:_FEATURES]
    variance, squares = np.nan_to_num(found.variance), np.nan_to_num(found.feature_squares)
    features = [
        [int(j), by_feature[j], by_feature[j] / total if total > 0 else 0.0, _share(squares[j], variance[j])]
        for j in order
    ]
    by_label = None
    if found.label_of is not None:
        has = found.label_of >= 0
        counts = np.bincount(found.label_of[has], minlength=len(found.labels.names()))
        sums = np.bincount(found.label_of[has], errors[has], counts.size)
        by_label = [[i, int(counts[i]), sums[i] / counts[i]] for i in range(counts.size) if counts[i]]
        by_label.sort(key=lambda entry: -entry[2])
    return {
        "fvu": found.fvu,
        "error": shown,
        "error_quantiles": {f"{q:g}": value for q, value in zip(_QUANTILES, quantiles, strict=True)},
        "worst": [[int(row), errors[row]] for row in worst_rows(found)],
        "features": features,
        "by_label": by_label,
    }


def _share(error: float, variance: float) -> float | None:
    return float(error / variance) if variance > 1e-12 else None


def _closest(atoms: Atoms) -> list[list[Any]]:
    """The pairs with the largest cosines, each once."""
    latents, cosines = atoms.similar.latents, atoms.similar.cosines
    first = np.repeat(np.arange(latents.shape[0]), latents.shape[1])
    second, found = latents.ravel(), cosines.ravel()
    # Each of two may have the other among its nearest, or only one of them.
    low, high = np.minimum(first, second), np.maximum(first, second)
    some = np.flatnonzero(second >= 0)
    some = some[np.argsort(-found[some], kind="stable")[: 4 * _PAIRS]]
    pairs = {(int(low[i]), int(high[i])): float(found[i]) for i in some[::-1]}
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [[a, b, cosine] for (a, b), cosine in ranked[:_PAIRS]]


def _histogram(values: np.ndarray) -> dict[str, Any]:
    if not values.size:
        return {"edges": [0.0, 1.0], "counts": [0]}
    low, high = float(values.min()), float(values.max())
    n = _BINS
    if values.dtype.kind in "iu":  # a bar for each number, or for as many numbers as each other bar
        width = max(1, -(-(int(high) - int(low) + 1) // _BINS))
        n = -(-(int(high) - int(low) + 1) // width)
        low, high = low - 0.5, low - 0.5 + n * width
    elif high <= low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=n, range=(low, high))
    return {"edges": edges, "counts": counts}


def _counted(counts: np.ndarray) -> dict[str, Any]:
    """A histogram of whole numbers of which it is known how often each occurs."""
    there = np.flatnonzero(counts)
    low, high = int(there[0]), int(there[-1])
    width = max(1, -(-(high - low + 1) // _BINS))
    n = -(-(high - low + 1) // width)
    padded = np.zeros(n * width, np.int64)
    padded[: high - low + 1] = counts[low : high + 1]
    return {"edges": low - 0.5 + width * np.arange(n + 1), "counts": padded.reshape(n, width).sum(axis=1)}

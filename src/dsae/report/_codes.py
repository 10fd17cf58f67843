"""Views of the codes: how often latents fire, which values they take, and what each is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsae.interpret import atoms
from dsae.runtime import Runtime

_LATENTS_SHOWN = 32  # as many small histograms as a reader takes in
_BINS = 30
_TAIL = 0.005  # left out of a histogram at either end: one outlier would squash the rest
_BARS_SHOWN = 256
_RESPONSES_AT_ONCE = 2**23  # values of reconstructions: 32 MiB


@dataclass
class Activity:
    """What the latents did.

    Parameters
    ----------
    kept : csc_matrix of float32, shape (n_kept, n_components)
        Codes of rows spread over the data.
    rates : ndarray, shape (n_components,)
        Share of all rows in which each latent fires.
    means, squares : ndarray, shape (n_components,)
        Means of the codes of all rows, and of their squares.
    threshold : float
        Above which a latent counts as active.
    """

    kept: Any
    rates: np.ndarray
    means: np.ndarray
    squares: np.ndarray
    threshold: float

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation of each latent."""
        variances = self.squares - np.square(self.means)
        # Rounding of a constant latent is no spread.
        return np.sqrt(np.where(variances > 1e-9 * self.squares, variances, 0.0))

    def values(self, latent: int) -> np.ndarray:
        """One latent in the rows that were kept."""
        return self.kept.getcol(latent).toarray().ravel().astype(np.float64)


def by_energy(runtime: Runtime, activity: Activity) -> np.ndarray:
    """Latents that vary, those first that are worth most in the reconstruction: E[z^2] |D|^2.

    A code may be scaled and its atom divided by the same number without any change to the function, so that neither
    the size nor the spread of a code says what a latent is worth.
    """
    energy = activity.squares * _squared_norms(runtime, activity)
    order = np.argsort(-energy, kind="stable")
    return order[activity.spreads[order] > 0]


def _squared_norms(runtime: Runtime, activity: Activity) -> np.ndarray:
    """Of atoms; behind a deep decoder of the response to a latent of its usual size, per square of that size."""
    width = runtime.config.n_components
    if len(runtime.config.decoder_widths) == 2:
        topology, values, _ = list(runtime.layers.values())[-1]
        return np.bincount(topology.cols, np.square(values, dtype=np.float64), minlength=width)
    norms, size = np.zeros(width), np.sqrt(activity.squares)
    at_once = max(1, _RESPONSES_AT_ONCE // runtime.config.n_features)
    active = np.flatnonzero(size)
    for some in np.split(active, range(at_once, active.size, at_once)):
        responses = atoms(runtime, latents=some, base=activity.means, step=size)
        norms[some] = np.square(responses, dtype=np.float64).sum(axis=1) / activity.squares[some]
    return norms


def codes_view(activity: Activity, order: np.ndarray) -> dict[str, Any]:
    """Histograms of the first latents of an order, and the rates of all."""
    rates = activity.rates
    # Codes without zeros fire in every row: bars of equal height would say nothing, spreads do.
    silent = rates.min() == rates.max() == 1
    bars = activity.spreads if silent else rates
    return {
        "latents": [_latent(activity, int(latent)) for latent in np.sort(order[:_LATENTS_SHOWN])],
        "n_rows": activity.kept.shape[0],
        "always": bool(silent),
        "bars": np.sort(bars)[::-1][np.unique(np.linspace(0, bars.size - 1, _BARS_SHOWN).astype(int))],
    }


def _latent(activity: Activity, latent: int) -> dict[str, Any]:
    values = activity.values(latent)
    # A spike of exact zeros would flatten everything else.
    off = values == 0
    shown = values[~off] if activity.threshold == 0 and off.mean() > 0.02 and not off.all() else values
    low, high = np.quantile(shown, [_TAIL, 1 - _TAIL])
    counts, edges = np.histogram(shown, bins=_BINS, range=(low, high))
    width = edges[-1] - edges[0]
    return {
        "latent": latent,
        "rate": activity.rates[latent],
        "low": edges[0],
        "high": edges[-1],
        "zero": -edges[0] / width if width > 0 else None,
        "counts": counts,
    }

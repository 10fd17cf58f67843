"""The table of metrics: one record says how each is computed, shown and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dsae.config import unit_deviance

# Float32 still tells 1 - 1e-7 from 1; the logarithm of 1e-7 is -16.
_CLIP = 1e-7  # a certain and wrong prediction costs 16 nats, not infinity


@dataclass(frozen=True)
class Metric:
    """A figure of a model on rows. `evaluate`, `dsae.compare`, the report and the command line all read `METRICS`.

    Parameters
    ----------
    name : str
        Its key in every dict and JSON file.
    source : {"rows", "errors", "codes", "size", "time", "comparison"}
        Where it comes from: the number of rows, `Reconstruction`, `CodeActivity`, `sizes`, the clock, or measured by
        `dsae.compare` alone.
    label : str, optional
        Heading in the report's table of models; without one it is left out of that table.
    form : {"number", "percent", "bytes"}
        How the report prints it.
    better : {"lower", "higher"}, optional
        Which value wins a comparison, if either does.
    compared : bool
        Whether `dsae.compare` gives it a column.
    ratio : bool
        Whether `dsae.compare` divides the sparse model's value by each other model's.
    default : bool
        Whether it is measured without being requested; a metric of one loss is, for models trained with that loss.
    per_row : callable, optional
        For a mean over rows: from float64 ``(X, X_hat)``, both ``[n, n_features]``, to one value per row ``[n]``. A
        metric of this kind needs nothing but its record.
    """

    name: str
    source: str
    label: str | None = None
    form: str = "number"
    better: str | None = None
    compared: bool = True
    ratio: bool = False
    default: bool = True
    per_row: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def _squared_errors(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    return np.square(x - x_hat).sum(axis=1)


def _cosines(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    norms, norms_hat = np.linalg.norm(x, axis=1), np.linalg.norm(x_hat, axis=1)
    product = norms * norms_hat
    cosines = np.einsum("ij,ij->i", x, x_hat) / np.where(product > 0, product, 1.0)
    return np.where(product > 0, cosines, (norms == norms_hat).astype(float))


def _deviances(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    if x.min() < 0:
        raise ValueError(
            f"[deviance] X must hold counts, 0 or more; got {x.min():g}. Give the counts as they are, or use the "
            "squared error."
        )
    return unit_deviance(x, x_hat).sum(axis=1)


def _cross_entropies(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    for name, values in (("X", x), ("X_hat", x_hat)):
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"[bce] {name} must lie in [0, 1] for a cross entropy; got values from {low:g} to {high:g}. "
                "Scale the features into [0, 1], or use the squared error."
            )
    p = np.clip(x_hat, _CLIP, 1 - _CLIP)
    return -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1)


_TABLE = (
    Metric("n_samples", "rows", compared=False),
    Metric("density", "size", "Density", "percent"),
    Metric("nnz", "size"),
    Metric("parameters", "size", "Parameters", ratio=True),
    Metric("mse", "errors", better="lower"),
    Metric(
        "squared_error_per_row", "errors", "Squared error per row", better="lower", ratio=True, per_row=_squared_errors
    ),
    Metric("fvu", "errors", "Variance unexplained", "percent", better="lower"),
    Metric("cosine", "errors", "Cosine", better="higher", per_row=_cosines),
    Metric("bce", "errors", "Cross entropy, nats", better="lower", default=False, per_row=_cross_entropies),
    Metric("deviance", "errors", "Deviance per row", better="lower", default=False, per_row=_deviances),
    Metric("deviance_explained", "errors", "Deviance explained", "percent", better="higher", default=False),
    Metric("mean_l0", "codes", "Active latents"),
    Metric("median_l0", "codes", compared=False),
    Metric("p90_l0", "codes", compared=False),
    Metric("dead_latents", "codes", "Dead latents"),
    Metric("constant_latents", "codes", compared=False),
    Metric("multiply_adds", "size", ratio=True),
    Metric("bytes_on_disk", "comparison", "On disk", "bytes", better="lower", ratio=True),
    Metric("bytes_in_memory", "size", ratio=True),
    Metric("ms_per_row", "time", compared=False, default=False),
    Metric("encode_us_per_row", "comparison", "Encode, µs per row in batches", better="lower", ratio=True),
    Metric("encode_us_single_row", "comparison", "Encode, µs alone", better="lower", ratio=True),
    Metric("fit_seconds", "comparison", "Training, s", ratio=True),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}
"""All metrics by name, in the order in which they are shown."""

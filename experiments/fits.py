"""One run: fit an autoencoder by settings that JSON can hold, and measure it on the test rows."""

from __future__ import annotations

import time
from statistics import mean, stdev
from typing import Any

from experiments.datasets import Data

from dsae import DeepSparseAutoencoder
from dsae.metrics import evaluate


def fit(data: Data, settings: dict[str, Any]) -> tuple[DeepSparseAutoencoder, dict[str, float]]:
    """The estimator with ``settings``, fitted on the training rows, and what it took.

    Processor time is what counts where runs share the machine.
    """
    begun = time.process_time()
    dsa = DeepSparseAutoencoder(**settings).fit(data.train)
    cost = {"fit_seconds": dsa.fit_time_, "fit_cpu_seconds": time.process_time() - begun}
    return dsa, cost | {"density": dsa.density_, "nnz": dsa.nnz_}


def measure(model: Any, data: Data) -> dict[str, float]:
    """Test errors; see RESULTS in `dsae.metrics` for their definitions."""
    errors = evaluate(model.reconstruct, data.test)
    return {name: errors[name] for name in ("mse", "squared_error_per_row", "fvu")}


def fit_and_measure(data: Data, settings: dict[str, Any]) -> dict[str, float]:
    """Test errors, size and time of one autoencoder."""
    dsa, cost = fit(data, settings)
    return measure(dsa.runtime_, data) | cost | {"peak_density": max(row["density"] for row in dsa.history_)}


def spread(values: list[float], digits: int = 3) -> str:
    """Mean ± standard deviation over seeds, as a table shows it."""
    if len(values) == 1:
        return f"{values[0]:.{digits}g}"
    return f"{mean(values):.{digits}g} ± {stdev(values):.1g}"


def where(rows: list[dict], **wanted: Any) -> list[dict]:
    """The results whose jobs have all of ``wanted``."""
    return [row["result"] for row in rows if all(row["job"].get(key) == value for key, value in wanted.items())]


def average(rows: list[dict], key: str, **wanted: Any) -> float:
    """Mean of one figure over the runs that have all of ``wanted``."""
    return mean(result[key] for result in where(rows, **wanted))


def seeds(rows: list[dict]) -> str:
    """How many seeds the results have."""
    n = len({row["job"]["seed"] for row in rows})
    return "one seed" if n == 1 else f"{n} seeds"

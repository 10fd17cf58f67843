"""Collect everything that a report shows as plain data for JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from importlib.metadata import version
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae import metrics
from dsae.config import plain
from dsae.data import check_rows, ids_of, in_memory
from dsae.report._codes import Activity
from dsae.report._pixels import find_image_shape, weight_map
from dsae.report._samples import Samples, views
from dsae.runtime import Runtime
from dsae.store import Model

_EPOCHS_SHOWN = 400  # more than a chart has pixels for
_ROWS_KEPT = 4096  # enough for histograms; codes of all rows would not fit in memory
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 1024, 2**24  # of rows and of codes, whichever are wider: 64 MiB
_LABELS_SHOWN = 30  # about a screen
_MEASURED = ("loss", "validation_loss", "density", "seconds", "samples_per_second")


def collect(
    model: Model,
    X: Any,
    *,
    comparison: Any = None,
    labels: Any = None,
    feature_names: Sequence[str] | None = None,
    image_shape: tuple[int, int] | bool | None = None,
) -> dict[str, Any]:
    """The data that `render` shows, as numbers, strings, lists and dicts.

    Parameters
    ----------
    model : dsae.store.Model
    X : array-like, DataFrame, scipy sparse or an object of another library, shape (n_samples, n_features)
        Rows on which to show the model, preferably not the training rows.
    comparison : Comparison, optional
        As `dsae.compare` returns it: its table, and its models' reconstructions beside the model's own.
    labels : array-like, shape (n_samples,), optional
        Classes of the rows, whose errors are shown one by one; by default those that travel with ``X``.
    feature_names : sequence of str, optional
        By default the model's own.
    image_shape : tuple of int, False or None
        Height and width if the features are pixels. None recognises square images by themselves; False never does.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, labels, names or shape do not fit it, or the history is
        damaged.
    """
    _check_history(model.history)
    if model.config.n_outputs is not None:
        raise ValueError(
            f"[write_report] The model must reconstruct the {model.config.n_features} columns that it sees; it was "
            f"fitted to a target of {model.config.n_outputs} others. Measure it with dsae.metrics.evaluate(model, X, "
            "target=Y)."
        )
    runtime = Runtime(model)
    source = in_memory("write_report", X, missing=runtime.missing)
    rows: Any = check_rows("write_report", source.X, model.config.n_features, finite=False)
    names = _names(model, feature_names or source.column_names)
    shape = find_image_shape(rows, image_shape, named=names is not None)
    samples, errors = _run(runtime, rows, source.rows.labels if labels is None else labels)
    samples.names = [f"x{j}" for j in range(rows.shape[1])] if names is None else names
    samples.image_shape, samples.ids, samples.table = shape, ids_of(X, source), model.table
    return plain(
        {
            "version": version("dsae"),
            "n_samples": rows.shape[0],
            "n_features": rows.shape[1],
            "n_components": model.config.n_components,
            "image_shape": shape,
            "model": _model(model),
            "training": {name: value for name, value in model.training.items() if name != "given"},  # as it was chosen
            "labels": _labels(errors.pop("by_label", None)),
            "metrics": errors,
            "history": _history(model.history),
            "comparison": None if comparison is None else comparison.to_dict(),
            **views(runtime, samples, {} if comparison is None else comparison.models),
        }
    )


def _names(model: Model, feature_names: Sequence[str] | None) -> list[str] | None:
    names = model.feature_names if feature_names is None else list(feature_names)
    if names is not None and len(names) != model.config.n_features:
        raise ValueError(
            f"[write_report] feature_names must name {model.config.n_features} features; got {len(names)}."
        )
    return None if names is None else [str(name) for name in names]


def _labels(by_label: dict[Any, dict[str, Any]] | None) -> dict[str, Any] | None:
    if not by_label:
        return None
    shown = [{"label": str(label), **errors} for label, errors in list(by_label.items())[:_LABELS_SHOWN]]
    return {"n_labels": len(by_label), "rows": shown}


def _run(runtime: Runtime, rows: Any, labels: Any) -> tuple[Samples, dict[str, Any]]:
    """The rows with the model's results on them, and all that `metrics.evaluate` measures."""
    config = runtime.config
    n, n_features = rows.shape
    threshold = metrics.firing_threshold(config.code_activation, config.n_components)
    kept = np.unique(np.linspace(0, n - 1, min(n, _ROWS_KEPT)).astype(int))  # spread over the data, which may be sorted
    row_errors, codes = np.empty(n), []
    feature_errors, n_known = np.zeros(n_features), np.zeros(n_features, np.int64)
    fired, sums, squares = (np.zeros(config.n_components, kind) for kind in (np.int64, np.float64, np.float64))

    def observe(start: int, x: Any, code: np.ndarray, x_hat: np.ndarray) -> None:
        stop = start + x.shape[0]
        row_errors[start:stop] = metrics.row_squared_errors(x, x_hat)
        squared = np.square(np.asarray(x - x_hat, dtype=np.float64))
        feature_errors[:] += np.nansum(squared, axis=0)
        n_known[:] += (~np.isnan(squared)).sum(axis=0)
        fired[:] += (np.abs(code) > threshold).sum(axis=0)
        sums[:] += code.sum(axis=0, dtype=np.float64)
        squares[:] += np.square(code, dtype=np.float64).sum(axis=0)
        codes.append(sp.csr_matrix(code[kept[(kept >= start) & (kept < stop)] - start]))

    batch_size = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // max(n_features, config.n_components)))
    measured = metrics.evaluate(runtime, rows, observe=observe, by_label=labels, batch_size=batch_size)
    activity = Activity(sp.csc_matrix(sp.vstack(codes)), fired / n, sums / n, squares / n, threshold)
    samples = Samples(rows, kept, activity, row_errors, feature_errors / np.maximum(n_known, 1))
    return samples, {**measured, "threshold": threshold}


def _model(model: Model) -> dict[str, Any]:
    config = model.config
    activations = config.activations
    layers = [
        {
            "name": name,
            "n_in": layer.topology.shape[1],
            "n_out": layer.topology.shape[0],
            "nnz": layer.topology.nnz,
            "density": layer.topology.density,
            "activation": activations[name],
            "map": weight_map(layer),
        }
        for name, layer in model.layers.items()
    ]
    biases = sum(layer.bias.size for layer in model.layers.values())
    size = sum(layer.topology.size for layer in model.layers.values())
    return {
        "widths": [*config.encoder_widths, *config.decoder_widths[1:]],
        "code": len(config.encoder_widths) - 1,
        "code_activation": config.code_activation,
        "block_size": config.block_size,
        "layers": layers,
        "nnz": model.nnz,
        "size": size,
        "sampler": None if model.sampler is None else {"kind": model.sampler.kind, "novelty": model.sampler.novelty},
        "density": model.density,
        "bytes_in_memory": metrics.bytes_in_memory(model.layers),
        "dense_bytes_in_memory": 4 * (size + biases),  # float32, and no indices
    }


def _check_history(history: Sequence[Any]) -> None:
    for i, row in enumerate(history, 1):
        fault = _fault_in(row)
        if fault:
            raise ValueError(
                f"[write_report] The model's history (config.json) is damaged in row {i}: {fault}. Mend the row, or "
                "empty the list; the report then goes without the training."
            )


def _fault_in(row: Any) -> str:
    """What is wrong with the history row of an epoch, or an empty string."""
    if not isinstance(row, dict):
        return f"it must be a mapping; got {type(row).__name__}"
    if "epoch" in row and not (_is_number(row["epoch"]) and math.isfinite(row["epoch"])):
        return f"epoch must be a finite number; got {row['epoch']!r}"
    densities = row.get("densities", {})
    if not isinstance(densities, dict):
        return f"densities must be a mapping; got {type(densities).__name__}"
    measured = {name: row.get(name) for name in _MEASURED}
    for name, value in (measured | {f"the density of {name}": share for name, share in densities.items()}).items():
        if value is not None and not _is_number(value):
            return f"{name} must be a number; got {value!r}"
    return ""


def _is_number(value: Any) -> bool:
    """Whether ``value`` is a JSON number that a float can hold; whole numbers may have too many digits."""
    # JSON's true is an int in Python.
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and (not isinstance(value, int) or abs(value) <= sys.float_info.max)


def _history(history: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    rows = [row for row in history if "epoch" in row]
    if not rows:
        return None
    stages = [  # where the name changes: charts mark these epochs
        {"name": str(row.get("stage", "")), "x": row["epoch"]}
        for before, row in zip([{}, *rows], rows, strict=False)
        if row.get("stage") != before.get("stage")
    ]
    shown = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _EPOCHS_SHOWN)).astype(int))]
    layers = {name: [row.get("densities", {}).get(name) for row in shown] for name in shown[-1].get("densities", {})}
    return {
        "epochs": [row["epoch"] for row in shown],
        "stages": stages,
        "seconds": rows[-1].get("seconds"),
        "samples_per_second": rows[-1].get("samples_per_second"),
        **{key: [row.get(key) for row in shown] for key in ("loss", "validation_loss", "density")},
        "densities": layers,
    }

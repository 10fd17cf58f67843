"""The one evaluation loop: a model over rows, batch by batch, in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from dsae.config import has_exposure, loss_of, one_of
from dsae.data import Batch, aims_of, as_numbers, as_source, gives_batches, source_of
from dsae.metrics._cost import sizes
from dsae.metrics._labels import ByLabel
from dsae.metrics._reconstruction import Reconstruction
from dsae.metrics._sparsity import CodeActivity, firing_threshold
from dsae.metrics._table import METRICS

_ROWS_AT_ONCE = 1024  # as fast as larger batches, and few enough for a cache
_VALUES_AT_ONCE = 2**24  # a reconstruction is 64 MiB at most

Observer = Callable[[int, Any, Any, Any], None]


def evaluate(
    model: Any,
    X: Any,
    *,
    metrics: Iterable[str] | None = None,
    timed: bool = False,
    batch_size: int | None = None,
    by_label: Any = None,
    observe: Observer | None = None,
    target: Any = None,
    sample_weight: np.ndarray | None = None,
) -> dict[str, Any]:
    """Measure a model on all of ``X`` in one pass.

    Parameters
    ----------
    model : Runtime or callable
        A callable maps rows to reconstructions, and only errors and ``n_samples`` are measured. Anything else has
        ``encode``, ``decode``, ``reconstruct`` and ``config`` as `Runtime` has.
    X : ndarray or csr_matrix, shape (n_samples, n_features), or whatever `dsae.data.as_source` takes
        What is NaN in them is not known, and counts in no error.
    metrics : iterable of str, optional
        Keys of `METRICS`, in the order wanted. By default all that the model has, with the metric of the loss it was
        trained with.
    timed : bool
        Whether to add ``ms_per_row``, the time to encode and decode.
    batch_size : int, optional
        By default up to 1024, fewer for wide rows.
    by_label : True or array-like, shape (n_samples,), optional
        Labels of the rows, or True for those that travel with them, as with ``open_rows(label_column=)``. Adds
        ``by_label``, a dict of ``n_samples``, ``mse`` and ``fvu`` for each label, the largest ``mse`` first; ``fvu`` is
        about the mean of the rows of that label. It is None, with a warning, for more than 1000 labels.
    target : ndarray or csr_matrix, shape (n_samples, n_outputs), optional
        What reconstructions are compared with, if not ``X``; here and in the next for rows in memory, while the
        batches of a source may have both.
    sample_weight : ndarray, shape (n_samples,), optional
        How much each row counts in the errors.
    observe : callable, optional
        Called as ``observe(start, rows, codes, X_hat)`` for every batch, ``start`` being the number of its first row.

    Returns
    -------
    dict
        Values by name of the metric.

    Raises
    ------
    ValueError
        If a metric is unknown or cannot be measured on this model, or there are no rows, or not one label per row.

    Examples
    --------
    >>> import numpy as np
    >>> evaluate(lambda rows: rows * 0.5, np.eye(4))["fvu"]
    0.3333333333333333
    >>> evaluate(lambda rows: rows * 0.5, np.eye(4), metrics=[], by_label=["a", "b", "b", "b"])["by_label"]["a"]["mse"]
    0.0625
    """
    names = _chosen(model, metrics) + ["ms_per_row"] * timed
    from_codes = observe is not None or any(METRICS[name].source == "codes" for name in names)
    errors = Reconstruction(metrics=names)
    activity = CodeActivity(_threshold(model) if from_codes else 0.0)
    start, seconds = 0, 0.0
    X = source_of("evaluate", X)
    # of a callable it is not known whether it takes NaN: what the rows were opened for counts
    missing = getattr(model, "missing", getattr(X, "missing", "error"))
    X = as_source("evaluate", X, missing=missing) if gives_batches(X) else as_numbers("evaluate", X)
    labelled = None if by_label is None or by_label is False else ByLabel(by_label, X.shape[0])
    for batch in _batches(X, batch_size, target, sample_weight):
        rows = batch.rows
        begun = time.perf_counter()
        codes = model.encode(rows) if from_codes else None
        if from_codes:
            X_hat = model.decode(codes)
            # A decoder gives shares or rates.
            X_hat = model.exposed(X_hat, rows) if has_exposure(getattr(model, "loss", "mse")) else X_hat
        else:
            X_hat = getattr(model, "reconstruct", model)(rows)
        seconds += time.perf_counter() - begun
        aim = _aim(batch, getattr(model, "config", None))
        errors.update(aim, X_hat, batch.weight)
        if from_codes:
            activity.update(codes)
        if labelled is not None:
            labelled.update(start, aim, X_hat, batch.labels)
        if observe is not None:
            observe(start, rows, codes, X_hat)
        start += rows.shape[0]
    found = errors.result() | {"n_samples": start, "ms_per_row": 1e3 * seconds / start}
    if from_codes:
        found |= activity.result()
    if any(METRICS[name].source == "size" for name in names):
        found |= model.sizes if hasattr(model, "sizes") else sizes(model.layers)
    found = {name: found[name] for name in names}
    return found if labelled is None else found | {"by_label": labelled.result()}


def _chosen(model: Any, metrics: Iterable[str] | None) -> list[str]:
    sources = {"rows", "errors", "time"} | ({"codes", "size"} if hasattr(model, "encode") else set())
    if metrics is None:
        loss = loss_of(getattr(model, "loss", "mse"))
        own = loss.metric, loss.score_metric
        metrics = [name for name, m in METRICS.items() if m.source in sources and (m.default or name in own)]
    names = list(metrics)
    for name in names:
        one_of("[evaluate] every metric", name, tuple(METRICS))
        if METRICS[name].source not in sources:
            what = "is measured by dsae.compare alone" if METRICS[name].source == "comparison" else "needs a Runtime"
            raise ValueError(f"[evaluate] The metric {name!r} {what}; got {type(model).__name__}.")
    return names


def _aim(batch: Batch, config: Any) -> Any:
    """What the reconstruction of a batch is compared with."""
    if config is None:
        return batch.rows if batch.target is None else batch.target
    return aims_of("evaluate", config, batch.rows, batch.target)


def _threshold(model: Any) -> float:
    return firing_threshold(model.config.code_activation, model.config.n_components)


def _batches(X: Any, batch_size: int | None, target: Any, weight: Any) -> Iterator[Batch]:
    """Rows with all that belongs to them."""
    if batch_size is None:
        batch_size = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // max(X.shape[1], 1)))
    if gives_batches(X):
        yield from X.batches(batch_size)
    else:
        for start in range(0, X.shape[0], batch_size):
            some = slice(start, start + batch_size)
            beside = {"target": target, "weight": weight}
            yield Batch.of(X[some], **{name: values[some] for name, values in beside.items() if values is not None})

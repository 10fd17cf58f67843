"""Rows as CSR codes, some at a time: what every view of a code starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import listed, positive_int
from dsae.data import ArraySource, Batch, Source, as_source, check_rows, check_source, gives_batches, in_memory
from dsae.interpret._several import codes_of, parts_of
from dsae.metrics import firing_threshold
from dsae.runtime import JointRuntime, Runtime
from dsae.store import JointModel, Model

Csr = Any  # csr_matrix, or an array where a function says so; scipy's annotations lack methods of it
_ROWS_AT_ONCE = 4096
_VALUES_AT_ONCE = 2**24  # rows are 64 MiB at most


def runtime_of(model: Any) -> Any:
    """The runtime of a model, a runtime or a fitted estimator; of a model of several modalities a `JointRuntime`."""
    if isinstance(model, JointModel):
        return JointRuntime(model)
    return Runtime(model) if isinstance(model, Model) else getattr(model, "runtime_", model)


def checked_source(verb: str, runtime: Any, X: Any) -> Any:
    """Rows of the model's width in whatever holds them, files included; rows by modality for a model of several.

    Raises
    ------
    ValueError
        If they are not.
    """
    if isinstance(runtime, JointRuntime):
        return runtime.source(verb, X)
    source: Source = as_source(verb, _rows_of(runtime, X), missing=runtime.missing)
    if isinstance(source, ArraySource):
        check_rows(verb, source.X, runtime.config.n_features, finite=False)
    else:
        check_source(verb, source, runtime.config.n_features)
    return source


def rows_in_memory(verb: str, runtime: Any, X: Any) -> Any:
    """Float32 rows of the model's width, dense or CSR.

    Raises
    ------
    ValueError
        If they are not, or the model has several modalities.
    TypeError
        If they come in pieces.
    """
    if isinstance(runtime, JointRuntime):
        raise ValueError(
            f"[{verb}] The model must have one modality; it has {listed(runtime.names)}. Read that of one: "
            f"model.modalities[{runtime.names[0]!r}]."
        )
    source = in_memory(verb, _rows_of(runtime, X), missing=runtime.missing)
    return check_rows(verb, source.X, runtime.config.n_features, finite=False)


def _rows_of(runtime: Runtime, X: Any) -> Any:
    """Rows of numbers of a data frame, if the model was fitted to tables."""
    table = runtime.table
    return table.transform(X) if table is not None and not gives_batches(X) and hasattr(X, "columns") else X


def checked_latents(verb: str, latents: Any, width: int) -> np.ndarray:
    """Different latents that exist, int64; one number is one latent.

    Raises
    ------
    ValueError
        If they are not.
    """
    chosen = np.asarray(latents)
    if chosen.size and not np.issubdtype(chosen.dtype, np.integer):
        raise ValueError(f"[{verb}] latents must be whole numbers; got {latents!r}.")
    chosen = chosen.astype(np.int64).ravel()
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < width):
        raise ValueError(f"[{verb}] latents must lie in 0..{width - 1}; got {chosen.min()}..{chosen.max()}.")
    if np.unique(chosen).size < chosen.size:
        raise ValueError(f"[{verb}] latents must be different ones; got one twice in {chosen.tolist()}.")
    return chosen


def coded(verb: str, model: Any, X: Any, *, batch_size: int | None = None) -> Iterator[tuple[Batch, Csr]]:
    """Batches of rows with their codes.

    Parameters
    ----------
    verb : str
        Named in messages.
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
        Whatever `dsae.data.as_source` takes, files included.
    batch_size : int, optional
        By default up to 4096, fewer for wide rows.

    Yields
    ------
    batch : Batch
        Its ``numbers`` say which rows of the data these are.
    codes : csr_matrix of float32, shape (n_rows, n_components)
        What is not zero, in the order of the columns. `Summary` and `Details` take what fires from it.

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width.
    """
    runtime = runtime_of(model)
    source = checked_source(verb, runtime, X)
    if batch_size is None:
        width = sum(of.config.n_features for of in parts_of(runtime).values())
        batch_size = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // width))
    positive_int("batch_size", batch_size)
    for batch in source.batches(batch_size):
        if batch.n_rows:
            yield batch, firing(codes_of(runtime, batch))


def threshold_of(runtime: Any) -> float:
    """The magnitude beyond which a latent of this model fires."""
    return firing_threshold(runtime.config.code_activation, runtime.config.n_components)


def firing(codes: Any, threshold: float = 0.0) -> Csr:
    """The codes beyond a threshold, as a CSR matrix of float32 with sorted columns; the rest counts as zero."""
    codes = sp.csr_matrix(codes, dtype=np.float32)
    on = np.abs(codes.data) > threshold
    if not on.all():
        ends = np.concatenate([[0], np.cumsum(on)])[codes.indptr]
        codes = sp.csr_matrix((codes.data[on], codes.indices[on], ends), shape=codes.shape)
    if not codes.has_sorted_indices:
        codes = codes.sorted_indices()
    return codes


def column_means(codes: Csr) -> np.ndarray:
    """Mean of each latent, summed in float64, which scipy's mean of float32 is not."""
    return np.bincount(codes.indices, codes.data, codes.shape[1]) / max(codes.shape[0], 1)


def mean_code(model: Any, X: Any) -> np.ndarray:
    """Mean of the codes of ``X``, where effects in a deep decoder are taken from.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)

    Returns
    -------
    ndarray of float64, shape (n_components,)

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width.

    Examples
    --------
    >>> base = mean_code(runtime, X_train)                                              # doctest: +SKIP
    """
    runtime = runtime_of(model)
    total, n = np.zeros(runtime.config.n_components), 0
    for batch, codes in coded("mean_code", runtime, X):
        np.add.at(total, codes.indices, codes.data.astype(np.float64))
        n += batch.n_rows
    return total / max(n, 1)

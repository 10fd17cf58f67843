"""Some rows of whatever holds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsae.data import ArraySource, Batch, JointSource, as_joint
from dsae.interpret._codes import checked_source, runtime_of
from dsae.runtime import JointRuntime

_ROWS_AT_ONCE = 4096


def take(model: Any, X: Any, rows: Any) -> Any:
    """Some rows in memory, of anything that a model takes.

    Arrays and CSR matrices need no such function, ``X[rows]`` being the same. Files, data frames and rows by modality
    do: `contributions`, `ablate` and others take some rows of them.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
    rows : sequence of int or of bool
        Their places in ``X``, or for each row whether it is wanted.

    Returns
    -------
    ndarray or csr_matrix of float32, shape (n_rows, n_features), or JointSource
        In the order of ``rows``; as they enter the model, so that pictures, sounds, texts and tables are numbers.

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, or there is no such row.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.store import Model
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=2, n_components=2, code_activation="relu")
    >>> eye = Layer(Topology.full((2, 2)), np.float32([1, 0, 0, 1]), np.zeros(2, "f4"))
    >>> model = Model(config, {"encoder.0": eye, "decoder.0": eye})
    >>> take(model, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [2, 0]).tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """
    runtime = runtime_of(model)
    source = checked_source("take", runtime, X)
    chosen = _places(rows, len(source))
    if isinstance(source, ArraySource):
        return source.X[chosen]
    if isinstance(source, JointSource):
        return source[chosen]
    found = _read(source, chosen)
    return as_joint("take", found, runtime.names) if isinstance(runtime, JointRuntime) else found.rows


def _places(rows: Any, n: int) -> np.ndarray:
    chosen = np.asarray(rows)
    if chosen.dtype == bool and chosen.shape == (n,):
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise ValueError(
            f"[take] rows must be places of rows, or a bool for each of {n:,}; got {chosen.dtype} of shape "
            f"{chosen.shape}."
        )
    if not chosen.size or chosen.min() < 0 or chosen.max() >= n:
        got = f"{chosen.min()}..{chosen.max()}" if chosen.size else "none"
        raise ValueError(f"[take] rows must lie in 0..{n - 1}; got {got}.")
    return chosen.astype(np.int64)


def _read(source: Any, chosen: np.ndarray) -> Batch:
    """Rows of a source that is read in its order, until the last of them."""
    wanted, where = np.unique(chosen, return_inverse=True)
    start, found = 0, []
    for batch in source.batches(_ROWS_AT_ONCE):
        here = wanted[(wanted >= start) & (wanted < start + batch.n_rows)] - start
        if here.size:
            found.append(batch[here])
        start += batch.n_rows
        if start > wanted[-1]:
            break
    return Batch.stack(found)[where]

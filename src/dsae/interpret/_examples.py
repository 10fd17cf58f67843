"""Rows that activate a latent most."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dsae.config import positive_int
from dsae.data import check_rows
from dsae.runtime import Runtime
from dsae.store import Model


class TopExamples(NamedTuple):
    """The strongest rows of each latent, strongest first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_components, n_examples)
        Positions in the data.
    codes : ndarray of float32, shape (n_components, n_examples)
        The latent's value there.
    """

    rows: np.ndarray
    codes: np.ndarray


def top_examples(model: Model | Runtime, X: Any, *, n_examples: int = 20, batch_size: int = 4096) -> TopExamples:
    """Rows with the largest activation of each latent; ties go to the earlier row.

    Parameters
    ----------
    model : Model or Runtime
    X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
    n_examples : int
        Per latent; fewer where ``X`` has fewer rows.
    batch_size : int
        Rows encoded at once; codes of older rows are not kept.

    Returns
    -------
    TopExamples

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width.

    Examples
    --------
    >>> rows, codes = top_examples(runtime, X, n_examples=3)                             # doctest: +SKIP
    """
    positive_int("n_examples", n_examples)
    positive_int("batch_size", batch_size)
    runtime = model if isinstance(model, Runtime) else Runtime(model)
    data: Any = check_rows("top_examples", X, runtime.config.n_features, missing=runtime.missing)
    width = runtime.config.n_components
    best = TopExamples(np.zeros((width, 0), np.int64), np.zeros((width, 0), np.float32))
    for start in range(0, data.shape[0], batch_size):
        codes = runtime.encode(data[start : start + batch_size]).T
        rows = np.broadcast_to(np.arange(start, start + codes.shape[1]), codes.shape)
        best = _strongest(np.hstack([best.rows, rows]), np.hstack([best.codes, codes]), n_examples)
    return best


def _strongest(rows: np.ndarray, codes: np.ndarray, n_examples: int) -> TopExamples:
    order = np.argsort(-codes, axis=1, kind="stable")[:, :n_examples]  # earlier rows come first
    return TopExamples(np.take_along_axis(rows, order, 1), np.take_along_axis(codes, order, 1))

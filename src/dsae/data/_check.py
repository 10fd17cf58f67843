"""What counts as rows: one check, at the public verb."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows

_AT_ONCE = 1 << 20  # numbers


def check_rows(verb: str, X: Any, n_features: int | None = None, what: str = "the model's input width") -> Rows:
    """``X`` as float32 rows, dense C-contiguous or CSR, or an error that says what to do.

    Parameters
    ----------
    verb : str
        Named in the message.
    X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
    n_features : int, optional
        Columns asked for.
    what : str
        What that width is, for the message.

    Raises
    ------
    ValueError
        If ``X`` is not 2-D, has no row or column, has another width, holds NaN or infinity (also after the cast to
        float32), or text.
    TypeError
        If ``X`` holds objects that are no numbers, is a path, or keeps its rows in an attribute, as AnnData does.
    """
    rows = as_rows(verb, X, n_features, what)
    check_finite(verb, rows)
    return rows


def as_rows(verb: str, X: Any, n_features: int | None = None, what: str = "the model's input width") -> Rows:
    """`check_rows` for who looks for NaN and infinity on the way."""
    if isinstance(X, (str, Path)):
        raise TypeError(f"[{verb}] X must be rows, not the path of a file; got {str(X)!r}. Use dsae.data.open_rows.")
    if isinstance(X, Batch):
        X = X.rows
    if hasattr(X, "batches"):
        raise TypeError(
            f"[{verb}] X must be rows in memory; got {X}, which is read in pieces. Give X.read(), or the rows of "
            "X.chunks() one after another."
        )
    rows: Rows = _as_csr(verb, X) if sp.issparse(X) else _as_dense(verb, X)
    if rows.ndim != 2:
        raise ValueError(
            f"[{verb}] X must be 2-D, [n_samples, n_features]; got {rows.ndim}-D with shape {rows.shape}. "
            "Reshape your data: X.reshape(1, -1) for one sample."
        )
    if 0 in rows.shape:
        missing = "feature" if rows.shape[0] else "sample"
        raise ValueError(f"[{verb}] X has 0 {missing}(s) (shape={rows.shape}) while a minimum of 1 is required.")
    if n_features is not None and rows.shape[1] != n_features:
        raise ValueError(f"[{verb}] X must have {n_features} columns, {what}; got shape {rows.shape}.")
    return rows


def _as_csr(verb: str, X: Any) -> Rows:
    _check_real(verb, X)
    rows: Rows = sp.csr_matrix(X, dtype=np.float32)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    if rows.indices.dtype != np.int32 and max(rows.nnz, rows.shape[1]) < 2**31:
        short = (rows.data, rows.indices.astype(np.int32), rows.indptr.astype(np.int32))
        rows = sp.csr_matrix(short, shape=rows.shape)
    return rows


def _as_dense(verb: str, X: Any) -> Rows:
    if type(X) is np.ndarray and X.dtype == np.float32 and X.ndim and X.flags.c_contiguous:
        return X
    try:
        array = np.asarray(X)
    except ValueError:
        if hasattr(X, "X"):
            raise TypeError(f"[{verb}] X must be rows; got {type(X).__name__}. Give its X.") from None
        raise ValueError(f"[{verb}] X must be a table; got rows of different lengths.") from None
    _check_real(verb, array)
    try:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(_without_na(array), dtype=np.float32) if array.ndim else array
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"[{verb}] X must hold numbers; got dtype {array.dtype} ({error}). Encode text or categories first, for "
            "instance with scikit-learn's TfidfVectorizer or OneHotEncoder."
        ) from None


def _check_real(verb: str, X: Any) -> None:
    if np.iscomplexobj(X):
        raise ValueError(f"[{verb}] X must hold real numbers; got dtype {X.dtype}. Complex data not supported.")


def _without_na(array: np.ndarray) -> np.ndarray:
    """NaN for what pandas calls missing, of which NA is no number."""
    pandas = sys.modules.get("pandas")
    if pandas is None or array.dtype != object:
        return array
    return np.where(pandas.isna(array), np.nan, array)


def check_finite(verb: str, rows: Rows) -> None:
    """Raise where ``rows`` holds NaN or infinity."""
    values = rows.data if sp.issparse(rows) else rows
    for start, piece in pieces(values):
        unusable = np.argwhere(~np.isfinite(piece))
        if unusable.size:
            first = start + unusable[0, 0]
            row = np.searchsorted(rows.indptr, first, side="right") - 1 if sp.issparse(rows) else first
            kind = "NaN" if np.isnan(piece[tuple(unusable[0])]) else "infinity, or values beyond float32"
            raise ValueError(
                f"[{verb}] X must be finite; it holds {kind}, first in row {row}. Impute or drop such values first."
            )


def pieces(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """An array a few rows at a time, with the first one's number, so that what is made of it stays small."""
    step = max(1, _AT_ONCE // max(1, values[:1].size))
    for start in range(0, len(values), step):
        yield start, values[start : start + step]


def check_source(
    verb: str,
    source: Any,
    n_features: int,
    column_names: list[str] | None = None,
    what: str = "the model's input width",
) -> None:
    """Raise unless the rows of ``source`` have so many columns, and, where both have names, these in this order."""
    if source.n_features != n_features:
        raise ValueError(f"[{verb}] X must have {n_features} columns, {what}; got {source.n_features} in {source}.")
    for i, (name, known) in enumerate(zip(source.column_names or (), column_names or (), strict=False), 1):
        if name != known:
            raise ValueError(f"[{verb}] {source} column {i} must be {known!r}, as in training; got {name!r}.")

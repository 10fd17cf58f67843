"""Numbers in place of values that are not known, in rows of any kind, all else as it was."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._kinds import as_numbers


def put(X: Any, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Any:
    """A copy of ``X`` with ``values`` where it held none.

    Parameters
    ----------
    X : array-like, masked array, tensor, pandas or polars data frame, scipy sparse, AnnData or Batch
        Of AnnData, which comes into memory, it is about X. Anything else comes back as an array or a CSR matrix of its
        numbers.
    rows, columns : ndarray of int, shape (n_unknown,)
        Where values are not known, row by row; in sparse rows, stored NaN.
    values : ndarray of float32, shape (n_unknown,)

    Returns
    -------
    the same kind of thing as ``X``
        Of the same shape, index and names. What is known keeps its bits, and columns their types, except that whole
        numbers of which some were missing become floating-point numbers.

    Examples
    --------
    >>> put(np.array([[1.0, np.nan]]), np.array([0]), np.array([1]), np.array([2.5], np.float32))
    array([[1. , 2.5]])
    """
    # What was not imported cannot have made X.
    pandas, polars, torch = (sys.modules.get(name) for name in ("pandas", "polars", "torch"))
    if isinstance(X, Batch):
        X = X.rows
    if is_anndata(X):
        out = X.to_memory() if X.isbacked else X.copy()
        out.X = put(out.X, rows, columns, values)
        return out
    if sp.issparse(X):
        return _sparse(X, values)
    if pandas is not None and isinstance(X, pandas.DataFrame):
        return _pandas(X, rows, columns, values)
    if polars is not None and isinstance(X, polars.DataFrame):
        return _polars(X, rows, columns, values)
    if torch is not None and isinstance(X, torch.Tensor) and X.layout == torch.strided:
        out = X.detach().clone()
        out[torch.from_numpy(rows), torch.from_numpy(columns)] = torch.from_numpy(values).to(out)
        return out
    if np.ma.isMaskedArray(X):
        filled = np.ma.array(X, dtype=X.dtype if X.dtype.kind in "fO" or not rows.size else np.float64, copy=True)
        filled[rows, columns] = values
        return filled
    array = np.array(X if type(X) is np.ndarray else _array(X))
    array[rows, columns] = values
    return array


def is_anndata(X: Any) -> bool:
    """Whether ``X`` is an AnnData object."""
    return type(X).__module__.partition(".")[0] == "anndata" and hasattr(X, "obs_names")


def unknown(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of NaN in rows, dense or CSR, row by row."""
    if not sp.issparse(rows):
        at, columns = np.nonzero(np.isnan(rows))
        return at, columns
    places = np.flatnonzero(np.isnan(rows.data))
    return np.searchsorted(rows.indptr, places, side="right") - 1, rows.indices[places].astype(np.int64)


def filled(rows: Rows, values: np.ndarray, by_total: bool = False) -> Rows:
    """Rows, dense or CSR, with ``values [n_features]`` in place of NaN; these rows themselves if there is none.

    Parameters
    ----------
    rows : ndarray or csr_matrix
    values : ndarray, shape (n_features,)
    by_total : bool
        For counts, whose rows have different totals: ``values`` are then multiplied by the total of what is known in a
        row over that of ``values`` there. A row of which nothing is known gets them as they are.

    Examples
    --------
    >>> filled(np.array([[8.0, np.nan, 4.0]]), np.array([4.0, 1.0, 2.0]), by_total=True)
    array([[8., 2., 4.]])
    """
    given = rows.data if sp.issparse(rows) else rows
    missing = np.isnan(given)
    if not missing.any():
        return rows
    factors = _factors(rows, missing, values) if by_total else None
    if not sp.issparse(rows):
        guesses = values if factors is None else (factors[:, None] * values).astype(rows.dtype)
        return np.where(missing, guesses, rows)
    guesses = values[rows.indices]
    if factors is not None:
        guesses = (guesses * np.repeat(factors, np.diff(rows.indptr))).astype(rows.dtype)
    return sp.csr_matrix((np.where(missing, guesses, given), rows.indices, rows.indptr), rows.shape)


def _factors(rows: Rows, missing: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Total of what is known in every row over the total of ``values`` there, float64; 1 where that is 0."""
    if sp.issparse(rows):
        at = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        totals = np.bincount(at, np.where(missing, 0.0, rows.data), rows.shape[0])
        usual = values.sum(dtype=np.float64) - np.bincount(at, missing * values[rows.indices], rows.shape[0])
    else:
        totals = np.where(missing, 0.0, rows).sum(axis=1, dtype=np.float64)
        usual = ~missing @ values.astype(np.float64)
    some = usual > 1e-6 * values.sum(dtype=np.float64)  # below that it is rounding
    return np.where(some, totals / np.where(some, usual, 1.0), 1.0)


def _array(X: Any) -> Any:
    numbers = as_numbers("impute", X)
    return numbers.toarray() if sp.issparse(numbers) else numbers


def _sparse(X: Any, values: np.ndarray) -> Any:
    out = X.copy() if X.format in ("csr", "csc", "coo") else X.tocsr().copy()
    if not values.size:
        return out if out.format == X.format else out.asformat(X.format)
    places = out.tocoo()  # in the order of the data
    if np.unique(places.row * np.int64(X.shape[1]) + places.col).size < places.nnz:
        out.sum_duplicates()
        places = out.tocoo()
    at = np.flatnonzero(np.isnan(out.data))
    # Values come row by row, as `unknown` lists them; CSC and COO hold them in another order.
    out.data[at[np.lexsort((places.col[at], places.row[at]))]] = values
    return out if out.format == X.format else out.asformat(X.format)


def _pandas(X: Any, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Any:
    import pandas as pd

    out = X.copy()
    for j in np.unique(columns).tolist():
        here = columns == j
        column = X.iloc[:, j]
        if not pd.api.types.is_float_dtype(column.dtype) and column.dtype != object:
            column = column.astype("Float64")
        column = column.copy()
        column.iloc[rows[here]] = values[here].astype(np.float64)
        out.isetitem(j, column)
    return out


def _polars(X: Any, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Any:
    import polars as pl

    found = []
    for j in np.unique(columns).tolist():
        here = columns == j
        column = X.to_series(j)
        column = column if column.dtype in (pl.Float32, pl.Float64) else column.cast(pl.Float64)
        found.append(column.scatter(rows[here].tolist(), values[here].tolist()))
    return X.with_columns(found)

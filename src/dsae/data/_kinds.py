"""Kinds of arrays, tensors and frames as one numpy array or scipy matrix of real numbers, before it becomes rows."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.topology import is_canonical

# How to get rows from an object that only describes them, or holds them among other things.
_REMEDIES = ("to_dataframe", "collect", "compute", "toPandas", "X")
_LIMIT = 2**31  # of 32-bit indices
_TIMES = (np.datetime64, np.timedelta64, datetime.date, datetime.timedelta)


def as_numbers(verb: str, X: Any) -> Any:
    """``X`` as an ndarray of any real dtype and number of dimensions, or as a 2-D CSR matrix that shares its arrays.

    What is masked, or missing in a frame, becomes NaN.

    Raises
    ------
    ValueError
        If it holds complex values, rows of different lengths, or too many values for 32-bit indices.
    TypeError
        If it holds times, text or other objects, or must be computed first.
    """
    if type(X) is sp.csr_matrix and X.dtype == np.float32 and X.indices.dtype == X.indptr.dtype == np.int32:
        arrays = X.data, X.indices, X.indptr
        contiguous = all(array.flags.c_contiguous for array in arrays) and X.data.size == X.indices.size
        if contiguous and is_canonical(X.shape, X.indptr, X.indices):  # pyright: ignore
            X.has_canonical_format = (
                True  # what scipy remembers of a matrix whose arrays were changed may be out of date
            )
            return X
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        X = _of_tensor(X)
    if sp.issparse(X) and X.ndim == 2:
        _check_dtype(verb, X, X.dtype)
        return _csr(verb, X)
    return _dense(verb, X.toarray() if sp.issparse(X) else X)


def _of_tensor(X: Any) -> Any:
    X = X.detach().cpu()
    if X.dtype.is_floating_point and X.dtype.itemsize < 4:
        X = X.float()  # numpy has no bfloat16
    layout = str(X.layout).removeprefix("torch.")
    if layout == "strided":
        return X.numpy(force=True)  # force: also of tensors with a conjugate or a negative bit set
    if X.ndim != 2 or X.dense_dim():
        return X.to_dense().numpy()
    if layout in ("sparse_bsr", "sparse_bsc"):
        X, layout = X.to_sparse_coo(), "sparse_coo"
    if layout == "sparse_coo":
        X = X.coalesce()
        return sp.coo_matrix((X.values().numpy(), tuple(X.indices().numpy())), tuple(X.shape))
    X = X if layout == "sparse_csr" else X.to_sparse_csr()
    return sp.csr_matrix((X.values().numpy(), X.col_indices().numpy(), X.crow_indices().numpy()), tuple(X.shape))


def _rises(indptr: np.ndarray, n_rows: int) -> bool:
    if indptr.size != n_rows + 1 or indptr[0]:
        return False
    return indptr[1] >= 0 if n_rows == 1 else bool((indptr[1:] >= indptr[:-1]).all())


def _inside(indices: np.ndarray, n_rows: int, n_columns: int) -> bool:
    """Whether the indices, which rise in a row, are columns."""
    if not indices.size:
        return True
    low, high = (indices[0], indices[-1]) if n_rows == 1 else (indices.min(), indices.max())
    return bool(low >= 0 and high < n_columns)


def _check_triples(verb: str, X: Any) -> None:
    """The same of rows and columns of a COO matrix."""
    sound = len({len(X.data), len(X.row), len(X.col)}) == 1
    if not (sound and _inside(X.row, 0, X.shape[0]) and _inside(X.col, 0, X.shape[1])):
        raise ValueError(
            f"[{verb}] X must have a row and a column in its shape for each value; got a coo matrix of shape {X.shape} "
            "in which some have none. Rebuild it: scipy.sparse.coo_matrix((values, (rows, columns)), shape)."
        )


def _check_compressed(verb: str, X: Any) -> None:
    """Check what scipy does not check before it reads or writes beyond the arrays."""
    if X.format == "coo":
        return _check_triples(verb, X)
    if X.format not in ("csr", "csc", "bsr"):
        return None
    size, at = (X.blocksize if X.format == "bsr" else (1, 1)), (1, 0) if X.format == "csc" else (0, 1)
    n, width = (X.shape[axis] // size[axis] for axis in at)
    stored = min(len(X.data), len(X.indices))
    if not (_rises(X.indptr, n) and X.indptr[-1] <= stored and _inside(X.indices[: X.indptr[-1]], 0, width)):
        raise ValueError(
            f"[{verb}] X must have an indptr that rises from 0 to at most its number of indices, and indices in its "
            f"shape; got a {X.format} matrix of shape {X.shape} in which they do not. Rebuild it from rows and "
            "columns: scipy.sparse.coo_matrix((values, (rows, columns)))."
        )


def _csr(verb: str, X: Any) -> Any:
    """Canonical CSR of floats with 32-bit indices."""
    nnz = int(X.indptr[-1]) if X.format == "csr" else len(X.data) if X.format == "coo" else X.nnz
    if nnz >= _LIMIT or X.shape[1] >= _LIMIT:
        raise ValueError(
            f"[{verb}] X must have fewer than 2^31 columns and non-zeros, for indices of 32 bits; got {nnz} non-zeros "
            f"and shape {X.shape}. Give fewer rows at a time: partial_fit, or files and dsae.data.open_rows."
        )
    _check_compressed(verb, X)
    if X.format not in ("csr", "csc", "bsr", "coo"):
        X = X.tocsr()
        _check_compressed(verb, X)  # a LIL matrix may hold any index
    X = X.tocsr()
    # Types of up to 16 bits fit into float32 without loss.
    wide = X.dtype.itemsize > 2 and X.dtype != np.float32
    rows = sp.csr_matrix(X.shape, dtype=np.float32)  # its constructor would choose the width of indices itself
    rows.data = np.ascontiguousarray(X.data[:nnz], np.float64 if wide else np.float32)  # duplicates add up as numbers
    rows.indices = np.ascontiguousarray(X.indices[:nnz], np.int32)
    rows.indptr = np.ascontiguousarray(X.indptr, np.int32)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def _dense(verb: str, X: Any) -> np.ndarray:
    # numpy would drop the masks of the rows of a list.
    if isinstance(X, (list, tuple)) and any(map(np.ma.isMaskedArray, X)):
        X = np.ma.stack(X)
    if np.ma.isMaskedArray(X) and np.ma.is_masked(X):
        X = _with_nan(X)
    try:
        array = np.asarray(X)
    except ValueError:
        _check_rows_are_there(verb, X)
        raise ValueError(f"[{verb}] X must be a table; got rows of different lengths.") from None
    except (TypeError, RuntimeError) as error:
        _check_rows_are_there(verb, X)
        raise TypeError(f"[{verb}] X must be rows; got {type(X).__name__} ({error}).") from None
    if not array.ndim and array.dtype == object:
        _check_rows_are_there(verb, X)
    _check_dtype(verb, X, array.dtype)
    return _without_na(array)


def _check_rows_are_there(verb: str, X: Any) -> None:
    for name in _REMEDIES:
        if hasattr(X, name):
            what = "its X" if name == "X" else f"X.{name}()"
            raise TypeError(f"[{verb}] X must be rows; got {type(X).__name__}. Give {what}.")


def _check_dtype(verb: str, X: Any, dtype: np.dtype) -> None:
    if dtype.kind == "c":
        raise ValueError(f"[{verb}] X must hold real numbers; got dtype {dtype}. Complex data not supported.")
    found = [f"in column {str(name)!r}" for name, kind in _column_types(X) if _is_time(kind)]
    if dtype.kind in "mM":
        found.append(f"of dtype {dtype}")
    if dtype.kind == "O":
        # Objects may be numbers, dates or both: only looking at them tells.
        found += (f"such as {value!r}" for value in np.asarray(X, object).flat if isinstance(value, _TIMES))
    if found:
        raise TypeError(
            f"[{verb}] X must hold numbers; got times {found[0]}. Turn them into numbers first, such as days: "
            "(t - t.min()) / np.timedelta64(1, 'D'), or all columns of a table by dsae.features.TableRows."
        )


def _column_types(X: Any) -> zip:
    """Names and types of a data frame's columns."""
    if sp.issparse(X) or isinstance(X, np.ndarray):
        return zip((), (), strict=True)
    columns, types = getattr(X, "columns", None), getattr(X, "dtypes", None)
    return zip((), (), strict=True) if columns is None or types is None else zip(columns, types, strict=False)


def _is_time(kind: Any) -> bool:
    name = str(kind).lower()
    return name.startswith(("date", "time", "duration", "period", "interval"))


def _with_nan(X: Any) -> np.ndarray:
    """A masked array with NaN for what is masked; whole numbers and booleans become float64."""
    found = np.array(X.data, dtype=np.float64 if X.dtype.kind in "biu" else X.dtype)  # whole numbers have no NaN
    if found.dtype.kind in "fO":
        found[np.ma.getmaskarray(X)] = np.nan
    return found


def _without_na(array: np.ndarray) -> np.ndarray:
    """Objects as numbers, with NaN for all that pandas calls missing (its NA cannot be cast)."""
    if array.dtype != object:
        return array
    pandas = sys.modules.get("pandas")
    found = array if pandas is None else np.where(pandas.isna(array), np.nan, array)
    try:
        return found.astype(np.float64)  # a frame of numbers and booleans, Decimal
    except (TypeError, ValueError):
        return found  # text: the cast to float32 raises and names it

"""Tables as users hold them, as Arrow's tables and back; the libraries are only imported where they are in use."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dsae.features._schema import NULLABLE, Schema
from dsae.features._values import is_text

if TYPE_CHECKING:
    import pyarrow as pa


def arrow() -> Any:
    """pyarrow.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise ImportError('Tables of several types need pyarrow: pip install "dsae[tables]".') from None
    return pyarrow


def as_table(verb: str, X: Any) -> tuple[pa.Table, str, dict[str, str]]:
    """A table, what held it, and the dtypes of pandas that Arrow's types do not imply, by column.

    Raises
    ------
    ValueError
        If it is not 2-D, empty, or has two columns of one name.
    TypeError
        If it is no table.
    """
    pa = arrow()
    library = type(X).__module__.partition(".")[0]
    dtypes = {}
    if library == "pandas" and hasattr(X, "columns"):
        found = _of_columns(verb, [str(name) for name in X.columns], (X.iloc[:, i] for i in range(X.shape[1])), len(X))
        given = {str(name): str(dtype) for name, dtype in zip(X.columns, X.dtypes, strict=True)}
        dtypes = {name: dtype for name, dtype in given.items() if NULLABLE.fullmatch(dtype)}
    elif isinstance(X, pa.Table):
        found = X
    elif isinstance(X, pa.RecordBatch):
        found = pa.Table.from_batches([X])
    elif hasattr(X, "__arrow_c_stream__"):
        found = pa.table(X)
    else:
        return _of_array(verb, X), "array", {}
    _check(verb, found.column_names, found.shape)
    return found, library if library in ("pandas", "polars") else "arrow", dtypes


def _check(verb: str, names: list[str], shape: tuple[int, int]) -> None:
    if 0 in shape:
        missing = "feature" if shape[0] else "sample"
        raise ValueError(f"[{verb}] X has 0 {missing}(s) (shape={shape}) while a minimum of 1 is required.")
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ValueError(f"[{verb}] X must have columns of different names; got {twice[0]!r} more than once.")


def _of_array(verb: str, X: Any) -> pa.Table:
    """Columns ``x0, x1`` and so on of an array or of lists."""
    if sp.issparse(X):
        raise TypeError(f"[{verb}] A table must be dense; got a sparse matrix. Give it to the autoencoder as it is.")
    array = X if isinstance(X, np.ndarray) else np.asarray(X, None if _is_numeric(X) else object)
    if array.dtype.kind == "c":
        raise ValueError(
            f"[{verb}] X must hold real numbers or text; got dtype {array.dtype}. Complex data not supported."
        )
    if array.ndim != 2:
        raise ValueError(
            f"[{verb}] X must be 2-D, [n_samples, n_columns]; got {array.ndim}-D with shape {array.shape}. Reshape "
            "your data: X.reshape(1, -1) for one sample."
        )
    names = [f"x{i}" for i in range(array.shape[1])]
    _check(verb, names, array.shape)
    return _of_columns(verb, names, array.T, len(array))


def _is_numeric(X: Any) -> bool:
    try:
        return np.asarray(X).dtype.kind in "biufc"
    except ValueError:
        return False


def _of_columns(verb: str, names: list[str], columns: Any, n_rows: int) -> pa.Table:
    import pyarrow as pa

    _check(verb, names, (n_rows, len(names)))
    return pa.Table.from_arrays([_column(values) for values in columns], names)


def _column(values: Any) -> Any:
    """A column; of objects of several types as text."""
    import pyarrow as pa

    values = np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return pa.array([str(value) if _is_known(value) else None for value in values])


def _is_known(value: Any) -> bool:
    try:
        return value is not None and bool(value == value)
    except TypeError:  # pandas' NA
        return False
    except ValueError:  # an array
        return True


def as_given(table: pa.Table, schema: Schema) -> Any:
    """A table in what held the one that the schema describes."""
    if schema.container == "arrow":
        return table
    if schema.container == "polars":
        import polars

        return polars.from_arrow(table)
    if schema.container == "array":
        return _as_array(table)
    frame = table.to_pandas()
    for column in schema.columns:
        if column.dtype is None or column.name not in frame.columns:
            continue
        if column.dtype[0].islower() and frame[column.name].dtype.kind == "f" and frame[column.name].isna().any():
            continue  # numpy's whole numbers cannot be missing
        frame[column.name] = frame[column.name].astype(column.dtype)
    return frame


def _as_array(table: pa.Table) -> np.ndarray:
    columns = [column.to_numpy() for column in table.columns]
    if any(is_text(kind) for kind in table.schema.types):
        columns = [column.astype(object) for column in columns]
    return np.column_stack(columns)

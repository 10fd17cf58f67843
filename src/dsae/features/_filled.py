"""Values in the holes of a table that a user holds, all else as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.features._values import plain

if TYPE_CHECKING:
    import pyarrow as pa


def holes(values: Any) -> np.ndarray:
    """Where values of an Arrow column are null or NaN."""
    from pyarrow import compute

    pc: Any = compute
    return np.asarray(pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False), bool)


def completed(values: Any, other: Any) -> Any:
    """``values``, and where they are missing ``other``, in the type of the former if that can hold the latter."""
    import pyarrow as pa
    from pyarrow import compute

    pc: Any = compute
    given, values, other = values.type, plain(values), plain(other)
    missing = pa.array(holes(values))
    try:
        found = pc.if_else(missing, other.cast(values.type), values)
    except pa.ArrowException:
        return pc.if_else(missing, other, values.cast(other.type))
    try:
        return found.cast(given)
    except pa.ArrowException:  # of categories
        return found


def filled(X: Any, table: pa.Table, container: str, made: pa.Table) -> Any:
    """A copy of ``X`` with the values of ``made`` in its holes.

    Parameters
    ----------
    X : DataFrame of pandas or polars, Arrow table, or array-like, shape (n_rows, n_columns)
    table : pyarrow.Table
        The same as Arrow holds it.
    container : str
        What ``X`` is, as `as_table` says.
    made : pyarrow.Table
        Values for some of its columns.

    Returns
    -------
    the same kind of thing as ``X``
        Columns without holes are those of ``X``.
    """
    guessed = {}
    for j, name in enumerate(table.column_names):
        missing = holes(plain(table.column(name))) if name in made.column_names else np.zeros(0, bool)
        if missing.any():
            guessed[j] = (missing, plain(made.column(name)))
    if container == "pandas":
        return _pandas(X, guessed)
    if container == "polars":
        return _polars(X, guessed)
    if container == "arrow":
        for j, (_, values) in guessed.items():
            table = table.set_column(j, table.column_names[j], completed(table.column(j), values))
        return table
    out = np.array(X) if isinstance(X, np.ndarray) or not guessed else np.array(X, object)
    for j, (missing, values) in guessed.items():
        out[missing, j] = values.to_numpy(zero_copy_only=False)[missing]
    return out


def _pandas(X: Any, guessed: dict[int, tuple[np.ndarray, Any]]) -> Any:
    import pandas as pd

    out = X.copy()
    for j, (missing, values) in guessed.items():
        column, new = X.iloc[:, j].copy(), values.to_pandas()[missing]
        if isinstance(column.dtype, pd.CategoricalDtype):
            new = new.astype(column.cat.categories.dtype) if column.cat.categories.dtype.kind in "iufM" else new
            unseen = [label for label in new.dropna().unique() if label not in column.cat.categories]
            column = column.cat.add_categories(unseen)
        column.iloc[np.flatnonzero(missing)] = new.array
        out.isetitem(j, column)
    return out


def _polars(X: Any, guessed: dict[int, tuple[np.ndarray, Any]]) -> Any:
    import polars as pl

    found = []
    for j, (missing, values) in guessed.items():
        column, new = X.to_series(j), pl.Series(X.columns[j], pl.from_arrow(values))
        try:
            new = new.cast(column.dtype)
        except pl.exceptions.PolarsError:  # an enumeration without "(other)"
            column = column.cast(new.dtype)
        found.append(column.zip_with(pl.Series(~missing), new))
    return X.with_columns(found)

"""Validation of rows, done once at the public verb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._centring import check_centred
from dsae.data._kinds import as_numbers

_AT_ONCE = 1 << 20  # numbers checked at a time: 4 MiB, so that temporaries stay small


def plain_rows(
    verb: str,
    X: Any,
    columns: tuple[int, str] | None = None,
    *,
    training: bool = False,
    names: Sequence[Any] | None = None,
) -> Rows:
    """`dsae.data.check_rows` for anything but objects of other libraries, values aside.

    Parameters
    ----------
    verb : str
    X : array-like, DataFrame, scipy sparse or Batch
    columns : tuple of int and str, optional
        Number of columns required, and what that width is.
    training : bool
    names : sequence, optional
        Of the columns, where ``X`` has none.
    """
    if type(X) is np.ndarray and X.dtype == np.float32 and X.ndim == 2 and X.flags.c_contiguous:
        return _shaped(verb, X, columns)
    if isinstance(X, (str, Path)):
        raise TypeError(f"[{verb}] X must be rows, not the path of a file; got {str(X)!r}. Use dsae.data.open_rows.")
    if isinstance(X, Batch):
        X = X.rows
    if type(X) is not np.ndarray and not sp.issparse(X) and hasattr(X, "batches"):
        raise in_pieces(verb, X)
    numbers = _shaped(verb, as_numbers(verb, X), columns)
    if training:
        check_centred(verb, numbers, names_of(X) if names is None else names)
    return _cast(verb, numbers)


def names_of(X: Any) -> list[Any] | None:
    """The column names of a table; None for anything else."""
    names = getattr(X, "column_names", getattr(X, "columns", None))  # Arrow's tables have columns without names
    return None if names is None else list(names)


def named(source: Any) -> str:
    """How messages refer to a source: its repr, unless that is only an address."""
    kind = type(source)
    return kind.__name__ if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__ else str(source)


def in_pieces(verb: str, X: Any) -> TypeError:
    """The error for rows that are not in memory."""
    return TypeError(
        f"[{verb}] X must be rows in memory; got {named(X)}, which is read in pieces. Give X.read(), or the rows of "
        "X.chunks() one after another."
    )


def _shaped(verb: str, rows: Any, columns: tuple[int, str] | None) -> Any:
    if rows.ndim != 2:
        raise ValueError(
            f"[{verb}] X must be 2-D, [n_samples, n_features]; got {rows.ndim}-D with shape {rows.shape}. "
            "Reshape your data: X.reshape(1, -1) for one sample."
        )
    if 0 in rows.shape:
        missing = "feature" if rows.shape[0] else "sample"
        raise ValueError(f"[{verb}] X has 0 {missing}(s) (shape={rows.shape}) while a minimum of 1 is required.")
    if columns is not None and rows.shape[1] != columns[0]:
        raise ValueError(f"[{verb}] X must have {columns[0]} columns, {columns[1]}; got shape {rows.shape}.")
    return rows


def _cast(verb: str, rows: Any) -> Rows:
    if rows.dtype == np.float32 and (sp.issparse(rows) or (type(rows) is np.ndarray and rows.flags.c_contiguous)):
        return rows
    try:
        with np.errstate(over="ignore"):  # too large a value becomes infinity, which is refused with its row
            if not sp.issparse(rows):
                return np.ascontiguousarray(rows, dtype=np.float32)
            rows.data = np.ascontiguousarray(rows.data, dtype=np.float32)  # pyright: ignore
            return rows
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"[{verb}] X must hold numbers; got dtype {rows.dtype} ({error}). A table with columns of text, "
            "classes or dates becomes numbers by dsae.features.TableRows, documents by scikit-learn's TfidfVectorizer."
        ) from None


def check_finite(verb: str, rows: Rows, missing: str | None = "error") -> None:
    """Raise if ``rows`` holds NaN or infinity.

    Parameters
    ----------
    verb : str
    rows : ndarray or csr_matrix
    missing : {"error", "mask"}, optional
        The model's setting: with ``"mask"`` NaN is a value that is not known. None where there is no such setting.

    Raises
    ------
    ValueError
        That names the first row which holds such a value.
    """
    values = rows.data if sp.issparse(rows) else rows
    usable = _not_infinite if missing == "mask" else np.isfinite
    for start, piece in pieces(values):
        unusable = np.argwhere(~usable(piece))
        if unusable.size:
            first = start + unusable[0, 0]
            row = np.searchsorted(rows.indptr, first, side="right") - 1 if sp.issparse(rows) else first
            is_nan = bool(np.isnan(piece[tuple(unusable[0])]))
            kind = "NaN" if is_nan else "infinity, or values beyond float32"
            raise ValueError(
                f"[{verb}] X must be finite; it holds {kind}, first in row {row}. {_remedy(is_nan, missing)}"
            )


def check_not_negative(verb: str, rows: Rows) -> None:
    """Raise if ``rows`` of users hold a value below 0, with the row of the lowest."""
    values: Any = rows.data if sp.issparse(rows) else rows
    if values.size and values.min() < 0:
        lowest = int(values.argmin())
        row = np.searchsorted(rows.indptr, lowest, side="right") - 1 if sp.issparse(rows) else lowest // rows.shape[1]
        raise ValueError(
            f"[{verb}] Negative values in data: X must hold none; got {values.min():g} in row {row}. Leave out what "
            "users dislike: X * (X > 0)."
        )


def _not_infinite(values: np.ndarray) -> np.ndarray:
    return ~np.isinf(values)


def _remedy(is_nan: bool, missing: str | None) -> str:
    if is_nan and missing is not None:
        return 'Fit with missing="mask" if such values are not known, or impute or drop them first.'
    return "Impute or drop such values first."


def pieces(values: np.ndarray, most: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """A few rows of an array at a time, ``most`` numbers, with that of the first, so that temporaries stay small."""
    step = max(1, min(most or _AT_ONCE, _AT_ONCE) // max(1, values[:1].size))
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
        raise ValueError(
            f"[{verb}] X must have {n_features} columns, {what}; got {source.n_features} in {named(source)}."
        )
    for i, (name, known) in enumerate(zip(source.column_names or (), column_names or (), strict=False), 1):
        if name != known:
            raise ValueError(f"[{verb}] {named(source)} column {i} must be {known!r}, as in training; got {name!r}.")

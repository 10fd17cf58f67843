"""Lists of files, bytes or arrays, one of which becomes one row; what is missing in them, and what cannot be read."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ON_ERROR = ("raise", "missing")
_MISSING = ("NAType", "NaTType")  # pandas.NA and pandas.NaT


class Problem(NamedTuple):
    """An item that could not be read."""

    row: int
    message: str


class Encoded(NamedTuple):
    """Rows of a list of items.

    Attributes
    ----------
    rows : ndarray or csr_matrix of float32, shape (n_rows, n_features)
        NaN in dense rows without an item, nothing in sparse ones.
    present : ndarray of bool, shape (n_rows,)
        Which rows have an item that could be read.
    problems : tuple of Problem
        The items that could not, with ``on_error="missing"``.
    notes : tuple of str
        What else a user should know: how many sounds were cut, say.
    """

    rows: Any
    present: np.ndarray
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


class Notes:
    """What happened while items were read, counted.

    Attributes
    ----------
    counts : mapping of str to float
        How often, or how many seconds of it.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[str, float] = defaultdict(float)

    def add(self, what: str, amount: float = 1) -> None:
        """Count something."""
        self.counts[what] += amount


class BadItemError(ValueError):
    """An item that is no such thing; the message lacks its name."""


def is_missing(item: Any) -> bool:
    """Whether an item stands for one that is not there: None, NaN, or pandas.NA."""
    if item is None:
        return True
    return (isinstance(item, (float, np.floating)) and item != item) or type(item).__name__ in _MISSING


def is_path(item: Any) -> bool:
    """Whether an item names a file, as a string does among images and sounds."""
    return isinstance(item, (str, os.PathLike))


def items_of(verb: str, X: Any, what: str) -> Sequence[Any]:
    """The items of a list, an array, a column of a data frame or an Arrow array.

    Raises
    ------
    TypeError
        If it is one item, or no list of items.
    """
    if isinstance(X, (str, bytes, bytearray, os.PathLike, Mapping)) or hasattr(X, "getbands"):
        raise TypeError(f"[{verb}] X must be a list of {what}s; got one {type(X).__name__}. Write [X] for one {what}.")
    if hasattr(X, "to_pylist"):  # arrays and columns of Arrow
        return X.to_pylist()
    if hasattr(X, "columns"):
        raise TypeError(f"[{verb}] X must be a list of {what}s; got a {type(X).__name__}. Take one of its columns.")
    if hasattr(X, "tocsr") or not isinstance(X, Iterable):
        raise TypeError(f"[{verb}] X must be a list of {what}s; got {type(X).__name__}.")
    if isinstance(X, np.ndarray):
        if not X.ndim:
            raise TypeError(f"[{verb}] X must be a list of {what}s; got an array without a dimension.")
        return list(X)
    return X if isinstance(X, Sequence) else list(X)


def name_of(item: Any, row: int, what: str) -> str:
    """What messages call an item: its path, or its number."""
    if isinstance(item, Mapping):
        item = item.get("path") or item
    path = isinstance(item, os.PathLike) or (isinstance(item, str) and what != "text")
    return _printable(str(item)) if path else f"{what} {row}, counted from 0,"


def _printable(text: str, most: int = 300) -> str:
    """A name on one line, whatever it contains."""
    shown = text if len(text) <= most else f"{text[:most]}..."
    return shown if shown.isprintable() else repr(shown)


def bytes_of(item: Any) -> Any:
    """Bytes, a path, or the array in what Hugging Face data sets hold in a cell."""
    if isinstance(item, Mapping):
        for key in ("bytes", "path"):
            if item.get(key) is not None:
                return item[key]
        raise BadItemError(f"must be a path, bytes or an array; got a mapping of {', '.join(map(str, item))[:80]}")
    return bytes(item) if isinstance(item, (bytearray, memoryview)) else item


def check_file(path: Any) -> Path:
    """The path of an ordinary file that is not empty."""
    path = Path(path)
    try:
        if not path.exists():
            raise BadItemError("does not exist; check the path")
        if not path.is_file():
            raise BadItemError("must be a file; it is a folder, a pipe or a device")
        if not path.stat().st_size:
            raise BadItemError("is an empty file")
    except (OSError, ValueError) as error:
        if isinstance(error, BadItemError):
            raise
        raise BadItemError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return path

"""Classes of rows, of which some may have none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

_MISSING = ("NAType", "NaTType")  # pandas.NA and pandas.NaT


def classes_of(verb: str, y: Any, n_rows: int, at_least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Classes of rows, and which rows have one.

    Parameters
    ----------
    verb : str
        Named in messages.
    y : array-like, shape (n_rows,)
        None and NaN are no classes.
    n_rows : int
    at_least : int
        Different classes.

    Returns
    -------
    classes, known : ndarray, shape (n_rows,)
        What stands where ``known`` is False does not matter.

    Raises
    ------
    ValueError
        If there is not one entry for each row, or there are fewer classes.

    Warns
    -----
    UserWarning
        About rows without a class, which are left out.
    """
    labels = np.asarray(y)
    if labels.shape != (n_rows,):
        raise ValueError(f"[{verb}] y must hold one label for each of {n_rows} rows; got shape {labels.shape}.")
    known = np.array([not _is_missing(label) for label in labels.tolist()], bool)
    found = np.asarray(labels[known].tolist())
    n_classes = len(np.unique(found))
    if n_classes < at_least:
        raise ValueError(
            f"[{verb}] There must be at least {at_least} labels; got {n_classes} in {int(known.sum())} labelled of "
            f"{n_rows} rows."
        )
    if not known.all():
        n = n_rows - int(known.sum())
        warnings.warn(f"[{verb}] {n} of {n_rows} rows have no label; they are left out.", UserWarning, stacklevel=3)
    classes = np.zeros(n_rows, found.dtype)
    classes[known] = found
    return classes, known


def _is_missing(label: Any) -> bool:
    return label is None or type(label).__name__ in _MISSING or (isinstance(label, float) and label != label)

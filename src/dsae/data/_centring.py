"""Features that float32 cannot tell from their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

# Of the 24 bits of a float32, fewer than 4 are left for what varies; training takes less for rounding.
_SHARE = 2.0**-20
_LOST = 0.05  # of the deviation: values that float32 holds may differ by little
_SAMPLE, _LEAST = 1 << 18, 16  # numbers, rows


def check_centred(verb: str, rows: Any, names: Sequence[Any] | None = None) -> None:
    """Raise where a feature varies, and by less than float32 can tell from its mean.

    Parameters
    ----------
    verb : str
    rows : ndarray or csr_matrix of any real dtype, shape (n_samples, n_features)
        As they were given, before the cast.
    names : sequence, optional
        Of the features.

    Raises
    ------
    ValueError
        That names the first such feature.
    """
    if rows.dtype.kind not in "fiu" or rows.dtype.itemsize < 4 or rows.dtype == np.float32:
        return
    for column in _suspects(rows).tolist():
        values = rows[:, [column]].toarray() if sp.issparse(rows) else rows[:, column]
        values = np.asarray(values, np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            mean, deviation = values.mean(), values.std()
            lost = np.sqrt(np.mean(np.square(values - values.astype(np.float32))))
        if 0 < deviation < _SHARE * abs(mean) and lost > _LOST * deviation:
            raise ValueError(
                f"[{verb}] Column {_named(column, names)} must be centred: its values differ by {deviation:.3g} around "
                f"{mean:.6g}, which float32 cannot hold. Subtract a constant from it, here and later, such as its mean."
            )


def near_mean(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Columns whose deviation is rounding, beside their mean."""
    return np.flatnonzero((mean != 0) & (deviation < _SHARE * np.abs(mean)))


def _suspects(rows: Any) -> np.ndarray:
    """Columns of whose values half seem to be near one another and far from zero."""
    n, width = rows.shape
    if sp.issparse(rows):
        full = np.flatnonzero(np.bincount(rows.indices, minlength=width) == n)
        return full[_near(rows[_spread(n, full.size)][:, full].toarray())] if full.size else full
    return np.flatnonzero(_near(rows[_spread(n, width)]))


def _spread(n: int, width: int) -> slice:
    return slice(None, None, max(1, n // max(_LEAST, _SAMPLE // max(1, width))))


def _near(sample: np.ndarray) -> np.ndarray:
    few = np.sort(np.asarray(sample, np.float64), axis=0)
    low, high = few[len(few) // 4], few[3 * len(few) // 4]
    with np.errstate(invalid="ignore", over="ignore"):
        return high - low <= 16 * _SHARE * np.abs(low)


def _named(column: int, names: Sequence[Any] | None) -> str:
    return str(column) if names is None else repr(names[column])

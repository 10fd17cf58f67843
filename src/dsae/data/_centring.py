"""Features that float32 cannot tell from their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
    # Types of 16 bits and less fit into float32, and what is float32 already has lost what it lost.
    if rows.dtype.kind not in "fiu" or rows.dtype.itemsize < 4 or rows.dtype == np.float32:
        return
    for column in _suspects(rows).tolist():
        values = rows[:, [column]].toarray() if sp.issparse(rows) else rows[:, [column]]
        check_exact(verb, [np.asarray(values, np.float64)], [column if names is None else names[column]])


def check_exact(verb: str, pieces: Iterable[np.ndarray], names: Sequence[Any]) -> None:
    """`check_centred` of a few features, from pieces of their values.

    Parameters
    ----------
    verb : str
    pieces : iterable of ndarray of float64, shape (n_rows, n_features)
    names : sequence
        Of these features, or their numbers.

    Raises
    ------
    ValueError
        That names the first such feature.
    """
    n, first = np.zeros(len(names)), np.full(len(names), np.nan)
    sums = squares = lost = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for values in pieces:
            known = ~np.isnan(values)
            first = np.where(np.isnan(first), values[known.argmax(axis=0), np.arange(len(names))], first)
            # sums of squares of the values themselves would hold no difference
            apart = np.where(known, values - first, 0)
            n += known.sum(axis=0)
            sums, squares = sums + apart.sum(axis=0), squares + np.square(apart).sum(axis=0)
            lost = lost + np.square(np.where(known, values - values.astype(np.float32), 0)).sum(axis=0)
        n = np.maximum(n, 1)
        mean = first + sums / n
        deviation = np.sqrt(np.maximum(squares / n - np.square(sums / n), 0))
        unheld = (deviation > 0) & (deviation < _SHARE * abs(mean)) & (np.sqrt(lost / n) > _LOST * deviation)
    for column in np.flatnonzero(unheld)[:1].tolist():
        raise ValueError(
            f"[{verb}] Column {names[column]!r} must be centred: its values differ by {deviation[column]:.3g} around "
            f"{mean[column]:.6g}, which float32 cannot hold. Subtract a constant from it, here and later, such as its "
            "mean."
        )


def check_moments(
    mean: np.ndarray, deviation: np.ndarray, exact: Callable[[np.ndarray], Iterable[Any]], names: Sequence[str] | None
) -> None:
    """Raise where a feature seems constant in float32, but is not in the data.

    Parameters
    ----------
    mean, deviation : ndarray, shape (n_features,)
        Of the rows in float32.
    exact : callable
        From numbers of columns to pieces of their values before the cast, dense or CSR.
    names : sequence of str, optional
        Of all features.

    Raises
    ------
    ValueError
        That names the first such feature.
    """
    near = np.flatnonzero((mean != 0) & (deviation < _SHARE * np.abs(mean)))  # their deviation is rounding
    if near.size:
        pieces = (np.asarray(p.toarray() if sp.issparse(p) else p, np.float64) for p in exact(near))
        check_exact("fit", pieces, [j if names is None else names[j] for j in near.tolist()])


def _suspects(rows: Any) -> np.ndarray:
    """Columns of whose values half seem to be near one another and far from zero."""
    n, width = rows.shape
    if sp.issparse(rows):
        # A column with a zero in it lies near zero, where float32 is precise.
        full = np.flatnonzero(np.bincount(rows.indices, minlength=width) == n)
        return full[_near(rows[_spread(n, full.size)][:, full].toarray())] if full.size else full
    return np.flatnonzero(_near(rows[_spread(n, width)]))


def _spread(n: int, width: int) -> slice:
    return slice(None, None, max(1, n // max(_LEAST, _SAMPLE // max(1, width))))


def _near(sample: np.ndarray) -> np.ndarray:
    few = np.sort(np.asarray(sample, np.float64), axis=0)  # NaN comes last
    n = len(few) - np.isnan(few).sum(axis=0)
    low, high = (np.take_along_axis(few, at[None], axis=0)[0] for at in (n // 4, np.minimum(3 * n // 4, len(few) - 1)))
    with np.errstate(invalid="ignore", over="ignore"):
        return high - low <= 16 * _SHARE * np.abs(low)

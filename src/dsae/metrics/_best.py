"""The best items of each row, by scores that are computed a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int, true_or_false
from dsae.data import Rows
from dsae.metrics._ranking import largest, without

_SCORES_AT_ONCE = 2**23  # 32 MiB of float32


def best_items(
    scores_of: Callable[[Any], np.ndarray],
    rows: Rows,
    n: int,
    exclude_seen: bool = True,
    exclude: Any = None,
    fill: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and scores of the ``n`` best items of each row, the best first; see `dsae.Runtime.recommend`.

    Parameters
    ----------
    scores_of : callable
        Maps rows to scores of all items, ``[n_rows, n_items]``, which may be written to.
    rows : ndarray or csr_matrix, shape (n_rows, n_items)
        NaN is no item that was seen.
    n, exclude_seen, exclude, fill
        As in `dsae.Runtime.recommend`.

    Returns
    -------
    items : ndarray of int64, shape (n_rows, n)
    scores : ndarray of float, shape (n_rows, n)

    Raises
    ------
    ValueError
        If an argument is invalid, or a row has fewer than ``n`` items left and ``fill`` is false.
    """
    positive_int("[recommend] n", n)
    true_or_false("[recommend] exclude_seen", exclude_seen)
    true_or_false("[recommend] fill", fill)
    n_rows, width = rows.shape
    others = None if exclude is None else _excluded(exclude, n_rows, width)
    step = max(1, _SCORES_AT_ONCE // width)
    found, short, least = [], [], n
    for start in range(0, n_rows, step):
        some = rows[start : start + step]
        beside = others if others is None or others.shape[0] == 1 else others[start : start + step]
        scores = without(scores_of(some), _seen(some) if exclude_seen else None, beside)
        left = np.isfinite(scores).sum(axis=1)
        short.extend((start + np.flatnonzero(left < n)).tolist())
        least = min(least, int(left.min()))
        found.append(_filled(scores, n) if fill else largest(scores, min(n, width)))
    if short and not fill:
        raise ValueError(
            f"[recommend] n must be at most {least}, the fewest items left to a row without those seen or excluded; "
            f"got {n}. {len(short)} of {n_rows} rows have fewer left, first row {short[0]}. Ask for fewer, or set "
            "fill=True, which gives them shorter lists, or exclude_seen=False."
        )
    items, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    return items, scores


def _filled(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """As `largest`, with column -1 and score NaN in places that no item is left for."""
    items, best = largest(scores, min(n, scores.shape[1]))
    gone = ~np.isfinite(best)  # scores of what is excluded are minus infinity
    items[gone], best[gone] = -1, np.nan
    beyond = ((0, 0), (0, n - items.shape[1]))
    return np.pad(items, beyond, constant_values=-1), np.pad(best, beyond, constant_values=np.nan)


def _seen(rows: Rows) -> Any:
    seen: Any = sp.csr_matrix(rows, copy=True)
    seen.data[np.isnan(seen.data)] = 0  # an item that is not known to be there is not seen
    return seen


def _excluded(given: Any, n_rows: int, width: int) -> Any:
    """Items to leave out, for every row or for all."""
    items: Any = sp.csr_matrix(given)
    if items.shape[1] != width or items.shape[0] not in (1, n_rows):
        raise ValueError(
            f"[recommend] exclude must have the shape of X, {(n_rows, width)}, or one row; got {items.shape}."
        )
    return items

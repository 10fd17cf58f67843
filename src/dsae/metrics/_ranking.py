"""How well ranked items meet those that were held out, and which items rank first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int

_BLOCK = 64  # scores whose maximum is compared first


class Recommendations(NamedTuple):
    """Items for each row, the best first.

    Attributes
    ----------
    items : ndarray, shape (n_rows, n)
        Names (str) where the model has names of features, else columns (int64).
    scores : ndarray of float, shape (n_rows, n)
    """

    items: np.ndarray
    scores: np.ndarray


def largest(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the ``n`` largest of each row, the largest first; ties go to the lower column.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows, width)
    n : int
        At most ``width``.

    Examples
    --------
    >>> largest(np.array([[1.0, 3.0, 2.0, 3.0]]), 3)
    (array([[1, 3, 2]]), array([[3., 3., 2.]]))
    """
    n_rows, width = scores.shape
    columns = np.arange(width)[None, :]
    if width > 2 * _BLOCK * n:
        # the n largest lie in the n blocks whose maxima are largest
        n_blocks = -(-width // _BLOCK)
        whole = width // _BLOCK * _BLOCK
        maxima = np.empty((n_rows, n_blocks), scores.dtype)
        scores[:, :whole].reshape(n_rows, -1, _BLOCK).max(axis=2, out=maxima[:, : whole // _BLOCK])
        if whole < width:
            maxima[:, -1] = scores[:, whole:].max(axis=1)
        blocks = _among_largest(maxima, n)
        columns = (blocks[:, :, None] * _BLOCK + np.arange(_BLOCK)).reshape(n_rows, -1)
        inside = columns < width
        columns = np.minimum(columns, width - 1)
        scores = np.where(inside, np.take_along_axis(scores, columns, axis=1), -np.inf)
    best = _among_largest(scores, n)
    columns, scores = (np.take_along_axis(np.broadcast_to(a, scores.shape), best, axis=1) for a in (columns, scores))
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _among_largest(scores: np.ndarray, n: int) -> np.ndarray:
    """Columns of the ``n`` largest of each row, in order of column; of equal ones the first."""
    least = -np.partition(-scores, n - 1, axis=1)[:, n - 1 : n]
    above, equal = scores > least, scores == least
    free = n - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= free))
    return np.nonzero(chosen)[1].reshape(-1, n)


def recall_at_k(items: np.ndarray, held_out: Any, k: int = 20) -> np.ndarray:
    """Share of each row's held-out items that are among its first ``k``, of ``min(k, held-out items)`` at most.

    The convention of Mult-VAE (Liang et al. 2018, section 4.2): a row with more than ``k`` held-out items can reach 1.

    Parameters
    ----------
    items : ndarray of int, shape (n_rows, at least k)
        Columns, the best first, as `dsae.Runtime.recommend` gives them with ``names=False``.
    held_out : array-like or scipy sparse, shape (n_rows, n_items)
        Not zero where an item was held out.
    k : int

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        NaN for rows without held-out items.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there are fewer than ``k`` items.

    Examples
    --------
    >>> recall_at_k(np.array([[2, 0], [1, 2]]), [[1, 0, 0], [1, 0, 1]], k=2)
    array([1. , 0.5])
    """
    hits, wanted = _hits("recall_at_k", items, held_out, k)
    return np.divide(hits.sum(axis=1), wanted, out=np.full(wanted.size, np.nan), where=wanted > 0)


def ndcg_at_k(items: np.ndarray, held_out: Any, k: int = 20) -> np.ndarray:
    """Normalised discounted cumulative gain of each row's first ``k`` items.

    A held-out item at place ``r`` (from 1) counts ``1 / log2(r + 1)``; the sum is divided by that of a row whose
    ``min(k, held-out items)`` first items are all held out: the convention of Mult-VAE (Liang et al. 2018, section
    4.2).

    Parameters
    ----------
    items, held_out, k
        As in `recall_at_k`.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        NaN for rows without held-out items.

    Examples
    --------
    >>> ndcg_at_k(np.array([[2, 0], [0, 2]]), [[1, 0, 0], [1, 0, 1]], k=2).round(3)
    array([0.631, 1.   ])
    """
    hits, wanted = _hits("ndcg_at_k", items, held_out, k)
    gains = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[wanted]  # NaN for a row without items to find
    return hits @ gains / ideal


def ranking(
    model: Any, X: Any, held_out: Any, k: int = 20, *, exclude: Any = None, rows_at_once: int = 1024
) -> dict[str, float]:
    """Mean recall and NDCG of a model's recommendations, over the rows that have held-out items.

    Parameters
    ----------
    model : Runtime, DSARecommender, DeepSparseAutoencoder or callable
        Anything with ``recommend``; or a function from rows to scores ``[n_rows, n_items]``.
    X : csr_matrix, shape (n_rows, n_items)
        What the model sees of each row; these items are not recommended.
    held_out : csr_matrix, shape (n_rows, n_items)
        What it is to find.
    k : int
    exclude : csr_matrix, shape (n_rows, n_items), optional
        More items that are not recommended, such as those that settings were chosen on.
    rows_at_once : int

    Returns
    -------
    dict
        ``recall@k``, ``ndcg@k`` and ``n_rows``, the number of rows with held-out items.

    Examples
    --------
    >>> X, held_out = sp.csr_matrix([[1, 0, 0, 0]]), sp.csr_matrix([[0, 0, 1, 0]])
    >>> ranking(lambda rows: np.array([[9.0, 0, 2, 1]]), X, held_out, k=1)
    {'recall@1': 1.0, 'ndcg@1': 1.0, 'n_rows': 1}
    """
    rows: Any = sp.csr_matrix(X)
    truth: Any = sp.csr_matrix(held_out, copy=True)
    truth.eliminate_zeros()
    if rows.shape != truth.shape:
        raise ValueError(f"[ranking] held_out must have the shape of X, {rows.shape}; got {truth.shape}.")
    others: Any = None if exclude is None else sp.csr_matrix(exclude)
    who = np.flatnonzero(np.diff(truth.indptr))
    if not who.size:
        raise ValueError("[ranking] held_out must have items; got a matrix without any.")
    found = []
    for start in range(0, who.size, rows_at_once):
        some = who[start : start + rows_at_once]
        beside = None if others is None else others[some]
        if hasattr(model, "recommend"):
            items = model.recommend(rows[some], k, exclude=beside, names=False).items
        else:
            items = largest(without(np.array(model(rows[some]), np.float32), rows[some], beside), k)[0]
        found.append((recall_at_k(items, truth[some], k), ndcg_at_k(items, truth[some], k)))
    recall, ndcg = (float(np.concatenate(part).mean()) for part in zip(*found, strict=True))
    return {f"recall@{k}": recall, f"ndcg@{k}": ndcg, "n_rows": int(who.size)}


def without(scores: np.ndarray, *excluded: Any) -> np.ndarray:
    """``scores`` with minus infinity, in place, where one of ``excluded`` is not zero.

    These are CSR matrices of as many rows or of one, or None.
    """
    for items in excluded:
        if items is not None and items.shape[0] == 1:
            scores[:, items.indices[items.data != 0]] = -np.inf
        elif items is not None:
            live = items.data != 0
            rows = np.repeat(np.arange(items.shape[0]), np.diff(items.indptr))
            scores[rows[live], items.indices[live]] = -np.inf
    return scores


def _hits(verb: str, items: np.ndarray, held_out: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each of the first ``k`` items was held out, and how many could have been found."""
    positive_int(f"[{verb}] k", k)
    items = np.asarray(items)
    truth: Any = sp.csr_matrix(held_out, copy=True)
    truth.eliminate_zeros()
    if items.ndim != 2 or items.shape[0] != truth.shape[0] or items.shape[1] < k:
        raise ValueError(
            f"[{verb}] items must have {truth.shape[0]} rows, as many as held_out, of at least k={k} items; got shape "
            f"{items.shape}."
        )
    if items.dtype.kind not in "iu":
        raise TypeError(f"[{verb}] items must be columns, whole numbers; got {items.dtype}. Use names=False.")
    n_rows, n_items = truth.shape
    first = items[:, :k] + np.arange(n_rows)[:, None] * n_items
    flat = np.repeat(np.arange(n_rows), np.diff(truth.indptr)) * n_items + truth.indices
    return np.isin(first, flat), np.minimum(np.diff(truth.indptr), k)

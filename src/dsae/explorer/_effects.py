"""What each latent does to the error of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsae.explorer._view import View

_DECODED_AT_ONCE = 1 << 22


@dataclass
class Effects:
    """Changes of the errors of rows, all rows one after another.

    Attributes
    ----------
    order : list of ndarray of int
        Places in ``codes.data`` of the latents of each row, that without which the error rises most first.
    start : ndarray of float64, shape (n_rows,)
        Error of the code zero.
    drop : ndarray of float64
        By how much it falls when a latent joins those before it.
    off : ndarray of float64
        By how much the error of the whole code rises without a latent.
    gap : float
        How far bias and products are from the output at most, relative to the output's largest value; NaN where
        contributions are no products.
    """

    order: list[np.ndarray]
    start: np.ndarray
    drop: np.ndarray
    off: np.ndarray
    gap: float


def effects(
    view: View,
    codes: Any,
    listed: list[np.ndarray],
    rows: Any,
    x: np.ndarray,
    known: np.ndarray,
    rebuilt: np.ndarray,
) -> Effects:
    """Effects of some latents of each row.

    Parameters
    ----------
    view : View
    codes : csr_matrix, shape (n_rows, n_latents)
    listed : list of ndarray of int
        Places in ``codes.data`` of these latents.
    rows : ndarray or csr_matrix
        For the totals of counts.
    x, rebuilt : ndarray of float64, shape (n_rows, n_features)
    known : ndarray of bool, shape (n_rows, n_features)

    Returns
    -------
    Effects
    """
    n, n_known = codes.shape[0], np.maximum(known.sum(axis=1), 1)
    products = view.exact and view.squared
    if view.exact:
        bias = np.broadcast_to(view.bias.astype(np.float64), x.shape)
    else:
        bias = view.decode(np.zeros((n, view.n_latents), np.float32), rows, known).astype(np.float64)
    before = np.where(known, x - bias, 0.0)
    after = np.where(known, x - rebuilt, 0.0)
    order, drops, offs, gap = [], [np.zeros(0)], [np.zeros(0)], 0.0 if products else np.nan
    for i, places in enumerate(listed):
        if not places.size:
            order.append(places)
            continue
        if products:
            places, drop, off, off_by = _of_products(view, codes, places, before[i], after[i], known[i])
            drop, off = drop / n_known[i], off / n_known[i]
            whole = places.size == codes.indptr[i + 1] - codes.indptr[i]
            gap = max(gap, off_by / max(float(np.abs(rebuilt[i]).max()), 1e-30) if whole else 0.0)
        else:
            places, drop, off = _by_decoding(view, codes, i, places, rows, x[i], known[i])
        order.append(places)
        drops.append(drop)
        offs.append(off)
    start = view.errors(x, known, bias).sum(axis=1) / n_known
    return Effects(order, start, np.concatenate(drops), np.concatenate(offs), gap)


def _of_products(
    view: View, codes: Any, places: np.ndarray, before: np.ndarray, after: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One latent after another: ``|e - p|^2 = |e|^2 - 2 e p + |p|^2``, over the weights of an atom."""
    decoder, left, whole = view.decoder, before.copy(), known.all()
    products = []
    for place in places:
        some = slice(*decoder.indptr[codes.indices[place] : codes.indices[place] + 2])
        at, product = decoder.indices[some], float(codes.data[place]) * decoder.data[some].astype(np.float64)
        products.append((at, product if whole else np.where(known[at], product, 0.0)))
    off = np.array([2 * (after[at] * product).sum() + np.square(product).sum() for at, product in products])
    order = _by_effect(codes, places, off)
    drop = np.zeros(places.size)
    for m, (at, product) in enumerate(products[k] for k in order):
        drop[m] = 2 * (left[at] * product).sum() - np.square(product).sum()
        left[at] -= product
    return places[order], drop, off[order], float(np.abs(left - after).max(initial=0.0))


def _by_effect(codes: Any, places: np.ndarray, off: np.ndarray) -> np.ndarray:
    """The order of `dsae.interpret.Contributions.waterfall`: ties go to the lower latent."""
    return np.lexsort((codes.indices[places], -off))


def _by_decoding(
    view: View, codes: Any, row: int, places: np.ndarray, rows: Any, x: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By decoding codes without a latent, then codes of the first few."""
    whole, k = codes[row].toarray()[0], places.size
    tried = np.repeat(whole[None], k + 1, axis=0)
    tried[1 + np.arange(k), codes.indices[places]] = 0
    errors = _errors(view, tried, row, rows, x, known)
    off = errors[1:] - errors[0]
    order = _by_effect(codes, places, off)
    joined = np.zeros((k + 1, view.n_latents), np.float32)
    for m, place in enumerate(places[order]):
        joined[m + 1 :, codes.indices[place]] = codes.data[place]
    return places[order], -np.diff(_errors(view, joined, row, rows, x, known)), off[order]


def _errors(view: View, tried: np.ndarray, row: int, rows: Any, x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Errors of a row if its code were one of these, a mean over what is known."""
    step, found = max(1, _DECODED_AT_ONCE // max(view.n_latents, view.n_features)), []
    for start in range(0, tried.shape[0], step):
        some = tried[start : start + step]
        made = view.decode(some, rows[np.full(some.shape[0], row)], known[None])
        found.append(view.errors(x[None], known[None], made).sum(axis=1))
    return np.concatenate(found) / max(int(known.sum()), 1)

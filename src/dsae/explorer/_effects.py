"""What each latent does to the squared error of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsae.explorer._view import View

_DECODED_AT_ONCE = 1 << 22


@dataclass
class Effects:
    """Changes of the squared error, of all rows one after another.

    Attributes
    ----------
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

    start: np.ndarray
    drop: np.ndarray
    off: np.ndarray
    gap: float


def effects(
    view: View,
    codes: Any,
    order: list[np.ndarray],
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
    order : list of ndarray of int
        Places in ``codes.data`` of the latents of each row, in the order in which they join.
    rows : ndarray or csr_matrix
        For the totals of counts.
    x, rebuilt : ndarray of float64, shape (n_rows, n_features)
    known : ndarray of bool, shape (n_rows, n_features)

    Returns
    -------
    Effects
    """
    n = codes.shape[0]
    if view.exact:
        bias = np.broadcast_to(view.bias.astype(np.float64), x.shape)
    else:
        bias = view.decode(np.zeros((n, view.n_latents), np.float32), rows).astype(np.float64)
    before = np.where(known, x - bias, 0.0)
    after = np.where(known, x - rebuilt, 0.0)
    drops, offs, gap = [np.zeros(0)], [np.zeros(0)], 0.0 if view.exact else np.nan
    for i, places in enumerate(order):
        if not places.size:
            continue
        if view.exact:
            drop, off, off_by = _of_products(view, codes, places, before[i], after[i], known[i])
            whole = places.size == codes.indptr[i + 1] - codes.indptr[i]
            gap = max(gap, off_by / max(float(np.abs(rebuilt[i]).max()), 1e-30) if whole else 0.0)
        else:
            drop, off = _by_decoding(view, codes, i, places, rows, x[i], known[i])
        drops.append(drop)
        offs.append(off)
    return Effects(np.square(before).sum(axis=1), np.concatenate(drops), np.concatenate(offs), gap)


def _of_products(
    view: View, codes: Any, places: np.ndarray, before: np.ndarray, after: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """One latent after another: ``|e - p|^2 = |e|^2 - 2 e p + |p|^2``, over the weights of an atom."""
    decoder, left, whole = view.decoder, before.copy(), known.all()
    drop, off = np.zeros(places.size), np.zeros(places.size)
    for m, place in enumerate(places):
        latent, value = codes.indices[place], float(codes.data[place])
        some = slice(*decoder.indptr[latent : latent + 2])
        at = decoder.indices[some]
        product = value * decoder.data[some].astype(np.float64)
        if not whole:
            product = np.where(known[at], product, 0.0)
        square = np.square(product).sum()
        drop[m] = 2 * (left[at] * product).sum() - square
        off[m] = 2 * (after[at] * product).sum() + square
        left[at] -= product
    return drop, off, float(np.abs(left - after).max(initial=0.0))


def _by_decoding(
    view: View, codes: Any, row: int, places: np.ndarray, rows: Any, x: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By decoding codes without a latent, and codes of the first few."""
    latents, values = codes.indices[places], codes.data[places]
    whole = codes[row].toarray()[0]
    k = places.size
    step = max(1, _DECODED_AT_ONCE // max(view.n_latents, view.n_features))
    errors = []
    for start in range(0, 2 * k + 2, step):
        some = np.arange(start, min(start + step, 2 * k + 2))
        tried = np.zeros((some.size, view.n_latents), np.float32)
        for at, number in enumerate(some):
            if number <= k:  # the first latents alone, from none to all that are listed
                tried[at, latents[:number]] = values[:number]
            else:
                tried[at] = whole
                if number > k + 1:
                    tried[at, latents[number - k - 2]] = 0
        of = None if rows is None else rows[np.full(some.size, row)]
        made = view.decode(tried, of)
        errors.append(np.where(known, np.square(np.where(known, x, 0) - made), 0.0).sum(axis=1))
    found = np.concatenate(errors)
    first, more = found[: k + 1], found[k + 1 :]
    return -np.diff(first), more[1:] - more[0]

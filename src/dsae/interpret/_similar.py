"""Latents with similar atoms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.interpret._codes import Csr

_EXACT_UP_TO = 50_000  # latents; from there on all pairs take minutes
_PROJECTIONS = 128  # a cosine is then known to within 0.09 (one standard deviation), and above 0.5 it is not missed
_DENSE_BYTES = 2**29  # of atoms as an array
_CELLS_AT_ONCE = 2**22  # of a block of cosines: 16 MiB, which a cache may hold
_LOOKED_AT = 8192  # columns in which the n-th largest is found, a bound for that of all
_LEAST = 0.01  # atoms at right angles are no neighbours
_MANY = 32  # times as many as are wanted: a row of so many has ties
_GATHERED = 2**22  # numbers of atoms at once


class Similar(NamedTuple):
    """The nearest atoms of each latent, the nearest first.

    Attributes
    ----------
    latents : ndarray of int64, shape (n_components, n)
        -1 where there are fewer with a cosine above 0.01.
    cosines : ndarray of float32, shape (n_components, n)
        NaN where there is none.
    exact : bool
        Whether all pairs were compared. If not, neighbours were sought among the nearest by random projections; their
        cosines are exact all the same.
    """

    latents: np.ndarray
    cosines: np.ndarray
    exact: bool


def similar(atoms: Any, n: int = 10, *, exact: bool | None = None) -> Similar:
    """The latents whose atoms point in nearly the same direction: duplicates have a cosine near 1.

    Parameters
    ----------
    atoms : csr_matrix or ndarray, shape (n_components, n_features)
        As `responses` gives them. A latent without an atom is nobody's neighbour.
    n : int
        For each latent.
    exact : bool, optional
        Whether to compare all pairs; by default up to 50,000 latents. Beyond, the 4 n + 24 nearest by the cosines of
        128 random projections (Johnson & Lindenstrauss 1984) are compared.

    Returns
    -------
    Similar

    Raises
    ------
    ValueError
        If ``n`` is no positive whole number.

    Examples
    --------
    >>> similar(np.float32([[1, 0], [2, 0.1], [0, 1]]), n=1).latents.ravel()
    array([1, 0, 1])
    """
    positive_int("[similar] n", n)
    width, n_features = atoms.shape
    if exact is None:
        exact = width <= _EXACT_UP_TO or n_features <= _PROJECTIONS
    unit = _unit(atoms)
    wanted = n + 4 if exact else 4 * n + 24
    near = unit if exact else _projected(unit)
    latents, cosines = np.full((width, n), -1, np.int64), np.full((width, n), np.nan, np.float32)
    height = max(1, _CELLS_AT_ONCE // width)
    for start in range(0, width, height):
        first, second = _candidates(near, start, min(start + height, width), wanted, _LEAST if exact else -1.0)
        found = _cosines(unit, first, second)
        order = np.lexsort((second, -found, first))
        order = order[found[order] > _LEAST]
        first, second, found = first[order], second[order], found[order]
        rank = np.arange(first.size) - np.searchsorted(first, first)
        best = rank < n
        at = first[best], rank[best]
        latents[at], cosines[at] = second[best], np.minimum(found[best], 1)
    return Similar(latents, cosines, bool(exact))


def _unit(atoms: Any) -> Any:
    """Rows of norm 1, dense where that takes little memory; rows of zeros stay."""
    if sp.issparse(atoms):
        squares: Any = atoms.multiply(atoms).sum(axis=1)
        norms = np.sqrt(np.asarray(squares, np.float64).ravel())
        unit: Csr = sp.diags(1 / np.where(norms > 0, norms, 1)).astype(np.float32) @ sp.csr_matrix(
            atoms, dtype=np.float32
        )
        small = 4 * atoms.shape[0] * atoms.shape[1] <= _DENSE_BYTES
        return unit.toarray() if small else sp.csr_matrix(unit)
    atoms = np.asarray(atoms, np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", atoms, atoms))
    return atoms / np.where(norms > 0, norms, 1)[:, None]


def _projected(unit: Any) -> np.ndarray:
    directions = np.random.default_rng(0).standard_normal((unit.shape[1], _PROJECTIONS), dtype=np.float32)
    return _unit(np.asarray(unit @ directions))


def _candidates(near: Any, start: int, stop: int, n: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of the latents of a block and the ``n`` nearest of all."""
    block = near[start:stop]
    cosines = np.ascontiguousarray((near @ block.toarray().T).T) if sp.issparse(near) else block @ near.T
    cosines[np.arange(stop - start), np.arange(start, stop)] = -np.inf
    if n < cosines.shape[1]:
        # The n-th largest of some columns is a bound for that of all: what is above it is few, and sorted.
        part = cosines[:, : max(_LOOKED_AT, n + 1)]
        bound = np.maximum(np.partition(part, part.shape[1] - n, axis=1)[:, part.shape[1] - n], least)
    else:
        bound = np.full(stop - start, least, np.float32)
    first, second = np.nonzero(_above(cosines, bound, n))
    found = cosines[first, second]
    order = np.lexsort((-found, first))
    first, second = first[order], second[order]
    kept = np.arange(first.size) - np.searchsorted(first, first) < n
    return first[kept] + start, second[kept]


def _above(cosines: np.ndarray, bound: np.ndarray, n: int) -> np.ndarray:
    """Which cosines reach the bound; of rows where those are many, as where atoms are equal, no more than ``n``."""
    found = cosines >= bound[:, None]
    many = np.flatnonzero(np.count_nonzero(found, axis=1) > _MANY * n)
    if many.size:
        part = cosines[many]
        least = np.partition(part, part.shape[1] - n, axis=1)[:, [part.shape[1] - n]]
        more, equal = part > least, part == least
        wanted = n - np.count_nonzero(more, axis=1)
        found[many] &= more | (equal & (np.cumsum(equal, axis=1) <= wanted[:, None]))
    return found


def _cosines(unit: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of pairs, each computed alone, so that no digit depends on the shape of a product or the number of threads."""
    out = np.empty(first.size, np.float32)
    step = max(1, _GATHERED // max(unit.shape[1], 1)) if not sp.issparse(unit) else 2**16
    for start in range(0, first.size, step):
        some = slice(start, start + step)
        a, b = unit[first[some]], unit[second[some]]
        if sp.issparse(unit):
            out[some] = np.asarray(a.multiply(b).sum(axis=1)).ravel()
        else:
            out[some] = np.einsum("ij,ij->i", a, b)
    return out

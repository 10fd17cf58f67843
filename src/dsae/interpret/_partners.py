"""Latents that fire together, or avoid each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.interpret._codes import Csr
from dsae.interpret._labels import association

_UPDATES_AT_ONCE = 2**23  # of counts of pairs: some 100 MiB
_DENSE_ABOVE = 1 / 16  # rates from which a dense product is quicker
_CELLS_AT_ONCE = 2**22
_FREQUENT = 256  # latents among which those that avoid others are sought


class Pairs(NamedTuple):
    """Some latents for each latent, the first being the most associated.

    Attributes
    ----------
    latents : ndarray of int64, shape (n_components, n)
        -1 where there are fewer.
    counts : ndarray of int64, shape (n_components, n)
        Rows in which both fire.
    lift : ndarray of float64, shape (n_components, n)
        Over what chance gives: ``counts * n_rows / (count_i * count_j)``. NaN where there is none, as in the next.
    association : ndarray of float64, shape (n_components, n)
        Phi, the correlation of the two latents' firing.
    """

    latents: np.ndarray
    counts: np.ndarray
    lift: np.ndarray
    association: np.ndarray


class Partners(NamedTuple):
    """How latents fire with each other.

    Attributes
    ----------
    together : Pairs
        Latents that fire in the same rows more often than by chance.
    against : Pairs
        Latents that fire in the same rows less often; among the most frequent ones, as only there it can be told.
    """

    together: Pairs
    against: Pairs


def cofiring(codes: Any, n: int = 10, *, least: int = 3) -> Partners:
    """The latents that fire together with each, and those that avoid it.

    Ordered by phi, the correlation of two firings. The lift alone would put pairs first that met once.

    Parameters
    ----------
    codes : csr_matrix or array-like, shape (n_rows, n_components)
    n : int
        Of each kind, for each latent.
    least : int
        Rows in which both must fire, or would have to by chance to say that they avoid each other.

    Returns
    -------
    Partners

    Raises
    ------
    ValueError
        If ``n`` or ``least`` is no positive whole number.

    Notes
    -----
    Takes ``sum(l0 ** 2)`` updates over the rows, in blocks of latents; latents that avoid each other are sought among
    the 256 most frequent.

    Examples
    --------
    >>> found = cofiring([[1, 2, 0], [3, 1, 0], [0, 0, 1], [0, 0, 5]], n=1, least=1)
    >>> found.together.latents.ravel(), found.against.latents.ravel()
    (array([ 1,  0, -1]), array([2, 2, 0]))
    """
    positive_int("[cofiring] n", n)
    positive_int("[cofiring] least", least)
    rows = sp.csr_matrix(codes)
    fired: Csr = sp.csr_matrix(((rows.data != 0).astype(np.float32), rows.indices, rows.indptr), shape=rows.shape)
    fired.eliminate_zeros()
    n_rows, width = fired.shape
    counts = np.bincount(fired.indices, minlength=width).astype(np.int64)
    frequent = np.sort(np.argsort(-counts, kind="stable")[:_FREQUENT])
    together, against = _empty(width, n), _empty(width, n)
    by_latent = sp.csr_matrix(fired.T)
    for start, stop in _blocks(fired, by_latent):
        block = by_latent[start:stop]
        first, second, joint = _met(block, fired)
        met = joint >= least
        _rank(together, counts, n_rows, first[met] + start, second[met], joint[met], sign=1)
        often = _product(block, fired[:, frequent])
        expected = counts[start:stop, None] * (counts[frequent] / max(n_rows, 1))
        first, at = np.nonzero((often < expected) & (expected >= least))
        _rank(against, counts, n_rows, first + start, frequent[at], often[first, at].astype(np.int64), sign=-1)
    return Partners(together, against)


def _blocks(fired: Csr, by_latent: Csr) -> Iterator[tuple[int, int]]:
    """Ranges of latents whose pairs fit in memory."""
    width = fired.shape[1]
    l0 = np.diff(fired.indptr).astype(np.float64)
    work = np.cumsum(by_latent @ l0)
    # At most so many cells, of the dense product with all latents or of that with the frequent ones.
    most = max(1, _CELLS_AT_ONCE // (width if _is_dense(fired) else _FREQUENT))
    start = 0
    while start < width:
        done = work[start - 1] if start else 0.0
        stop = int(np.searchsorted(work, done + _UPDATES_AT_ONCE, side="right"))
        stop = min(max(stop, start + 1), start + most, width)
        yield start, stop
        start = stop


def _is_dense(fired: Csr) -> bool:
    return fired.nnz > _DENSE_ABOVE * fired.shape[0] * fired.shape[1]


def _met(block: Csr, fired: Csr) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of the latents of a block and all others, and the rows in which they met."""
    if _is_dense(fired):
        first, second = np.nonzero(joint := _product(block, fired))
        return first, second, joint[first, second].astype(np.int64)
    joint = sp.csr_matrix(block @ fired)
    joint.sort_indices()
    first = np.repeat(np.arange(block.shape[0]), np.diff(joint.indptr))
    return first, joint.indices.astype(np.int64), joint.data.astype(np.int64)


def _product(block: Csr, fired: Csr) -> np.ndarray:
    if not _is_dense(fired):
        return np.asarray((block @ fired).toarray())
    out = np.zeros((block.shape[0], fired.shape[1]), np.float32)
    step = max(1, _CELLS_AT_ONCE // fired.shape[1])
    for start in range(0, fired.shape[0], step):  # whole numbers below 2^24: exact in any order
        out += block[:, start : start + step].toarray() @ fired[start : start + step].toarray()
    return out


def _empty(width: int, n: int) -> Pairs:
    shape = (width, n)
    return Pairs(
        np.full(shape, -1, np.int64), np.zeros(shape, np.int64), np.full(shape, np.nan), np.full(shape, np.nan)
    )


def _rank(
    pairs: Pairs, counts: np.ndarray, n_rows: int, first: np.ndarray, second: np.ndarray, joint: np.ndarray, sign: int
) -> None:
    """Write the most associated of each latent; ``sign`` is -1 for those that avoid it."""
    phi = association(joint, counts[first], counts[second], n_rows)
    some = np.flatnonzero((sign * phi > 0) & (first != second))
    first, second, joint, phi = first[some], second[some], joint[some], phi[some]
    order = np.lexsort((-sign * phi, first))  # stable: ties go to the lower latent
    first, second, joint, phi = first[order], second[order], joint[order], phi[order]
    rank = np.arange(first.size) - np.searchsorted(first, first)
    best = rank < pairs.latents.shape[1]
    first, second, joint, phi, rank = first[best], second[best], joint[best], phi[best], rank[best]
    pairs.latents[first, rank], pairs.counts[first, rank] = second, joint
    pairs.lift[first, rank] = joint * float(n_rows) / (counts[first] * counts[second].astype(np.float64))
    pairs.association[first, rank] = phi

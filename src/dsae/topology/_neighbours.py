"""Edges from data: units that stand for features, and read and write what these occur with."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.topology._choose import inactive_edges
from dsae.topology._topology import Topology

_UNITS_AT_ONCE = 1000  # so that their products with all features fit in memory


def neighbour_edges(
    rows: Any, n_units: int, counts: tuple[int, int], rng: np.random.Generator, *, zero_diagonal: bool = False
) -> tuple[Topology, Topology]:
    """Edges into units and out of them, by what features occur with in ``rows``.

    Each unit stands for a feature, the one with the largest sum of squares first; units beyond the features start
    again. It reads the features ``i`` with the largest ``|x_u x_i| / |x_i|``, ``x_u`` being the column of its own; an
    output ``j`` reads the units with the largest ``|x_u x_j| / |x_u|``.

    Parameters
    ----------
    rows : csr_matrix, shape (n_samples, n_features)
    n_units : int
    counts : two ints
        Edges in and out. Where features occur with too few others, edges are drawn at random.
    rng : numpy Generator
    zero_diagonal : bool
        Whether no output reads a unit that reads its own feature. Nothing is drawn then, so there may be fewer edges.

    Returns
    -------
    two of Topology
        Of shapes ``(n_units, n_features)`` and ``(n_features, n_units)``.
    """
    X: Any = sp.csc_matrix(rows, dtype=np.float32, copy=True)
    X.data[np.isnan(X.data)] = 0  # not known
    n = X.shape[1]
    squares = np.asarray(X.multiply(X).sum(axis=0)).ravel()
    # In turn again where there are more units than features.
    anchors = np.argsort(-squares, kind="stable")[np.arange(n_units) % n]
    scale = 1 / np.sqrt(np.maximum(squares, 1e-30))
    into = _nearest(X, anchors, X, scale, counts[0], None)
    reads = sp.csr_matrix((np.ones(into.nnz, bool), into.indices, into.indptr), shape=into.shape)
    out = _nearest(
        X, np.arange(n), X[:, anchors], scale[anchors], counts[1], reads.T.tocsr() if zero_diagonal else None
    )
    if zero_diagonal:
        return into, out
    filled = [t.joined(inactive_edges(t, count - t.nnz, rng)) for t, count in zip((into, out), counts, strict=True)]
    return filled[0], filled[1]


def _nearest(X: Any, own: np.ndarray, others: Any, scale: np.ndarray, count: int, forbidden: Any) -> Topology:
    """For each column of ``own`` as many of the ``others`` as make ``count`` in all, the most alike first."""
    each = -(-count // max(own.size, 1))
    parts = []
    for start in range(0, own.size, _UNITS_AT_ONCE):
        like: Any = abs(sp.csr_matrix(X[:, own[start : start + _UNITS_AT_ONCE]].T @ others)) @ sp.diags(scale)
        like = sp.csr_matrix(like)
        if forbidden is not None:
            like = like - like.multiply(forbidden[start : start + _UNITS_AT_ONCE])
            like.eliminate_zeros()
        for i in range(like.shape[0]):
            row = slice(like.indptr[i], like.indptr[i + 1])
            best = np.argsort(-like.data[row], kind="stable")[:each]
            parts.append((np.full(best.size, start + i), like.indices[row][best], np.arange(best.size)))
    at, columns, places = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = np.argsort(places, kind="stable")[:count]  # of all, those that come first in their row
    return Topology.from_edges((own.size, others.shape[1]), at[kept], columns[kept])

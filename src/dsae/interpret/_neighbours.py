"""Which rows are alike: the nearest by code, exactly."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import one_of, positive_int
from dsae.data import Rows, check_rows
from dsae.runtime import Runtime
from dsae.store import Model

_DISTANCES_AT_ONCE = 2**22


class Neighbours(NamedTuple):
    """The nearest rows of each query, nearest first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_queries, n_rows)
        Their positions in the index.
    distances : ndarray of float32, shape (n_queries, n_rows)
    """

    rows: np.ndarray
    distances: np.ndarray


class CodeIndex:
    """Rows that can be searched by their codes. The search is exact: all codes are looked at.

    Parameters
    ----------
    codes : ndarray or scipy sparse, shape (n_rows, n_components)
        With ``model`` rows of data, which it encodes; codes with zeros by topk, batchtopk or jumprelu become CSR.
    metric : {"cosine", "euclidean"}
        ``cosine`` is one minus the cosine; a code of zeros is at distance 1 from all.
    model : Model, Runtime or fitted DeepSparseAutoencoder, optional

    Raises
    ------
    ValueError
        If ``codes`` are not finite rows, or the metric is unknown.

    Examples
    --------
    >>> index = CodeIndex(np.float32([[1, 0], [0, 2], [3, 3]]), metric="euclidean")
    >>> index.nearest(np.float32([[0, 1]]), 2)
    Neighbours(rows=array([[1, 0]]), distances=array([[1.       , 1.4142135]], dtype=float32))
    """

    def __init__(self, codes: Any, *, metric: str = "cosine", model: Any = None) -> None:
        one_of("metric", metric, ("cosine", "euclidean"))
        self.metric = metric
        self._runtime = Runtime(model) if isinstance(model, Model) else getattr(model, "runtime_", model)
        self._codes = self._prepared("CodeIndex", codes)
        self._squares = _squares(self._codes)

    def __len__(self) -> int:
        return self._codes.shape[0]

    def nearest(self, codes: Any, n_rows: int = 10) -> Neighbours:
        """The rows nearest to each query.

        Parameters
        ----------
        codes : ndarray or scipy sparse, shape (n_queries, n_components)
            With the index' ``model`` rows of data.
        n_rows : int
            Per query; fewer where the index is smaller. Of equally near ones the first.

        Returns
        -------
        Neighbours

        Raises
        ------
        ValueError
            If ``codes`` are not finite rows of the index' width.
        """
        positive_int("[nearest] n_rows", n_rows)
        queries = self._prepared("nearest", codes, self._codes.shape[1])
        step = max(1, _DISTANCES_AT_ONCE // len(self))
        found = [self._among(queries[i : i + step], min(n_rows, len(self))) for i in range(0, queries.shape[0], step)]
        return Neighbours(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def _among(self, queries: Rows, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        product = queries @ self._codes.T
        product = np.asarray(product.toarray() if sp.issparse(product) else product)
        squared = np.maximum(_squares(queries)[:, None] + self._squares - 2 * product, 0)
        distances = (np.sqrt(squared) if self.metric == "euclidean" else 1 - product).astype(np.float32)
        bound = np.partition(distances, n_rows - 1, axis=1)[:, n_rows - 1 : n_rows]
        rows = np.stack([_first(row, limit, n_rows) for row, limit in zip(distances, bound, strict=True)])
        return rows, np.take_along_axis(distances, rows, axis=1)

    def _prepared(self, verb: str, codes: Any, width: int | None = None) -> Rows:
        if self._runtime is not None:
            sparse = self._runtime.config.code_activation in ("topk", "batchtopk", "jumprelu")
            codes = self._runtime.encode(codes, sparse_output=sparse)
        # float64: of float32 the difference of two equal rows' squares and product is not 0 but 1e-3.
        rows = check_rows(verb, codes, width, "as many as the index").astype(np.float64)
        return rows if self.metric == "euclidean" else _unit(rows)


def _first(distances: np.ndarray, limit: np.ndarray, n_rows: int) -> np.ndarray:
    """Positions of the ``n_rows`` smallest, in order; ``limit`` is the last of them."""
    candidates = np.flatnonzero(distances <= limit)
    return candidates[np.argsort(distances[candidates], kind="stable")][:n_rows]


def _squares(rows: Rows) -> np.ndarray:
    squares = rows.power(2).sum(axis=1) if sp.issparse(rows) else np.einsum("ij,ij->i", rows, rows)
    return np.asarray(squares).ravel()


def _unit(rows: Rows) -> Rows:
    norms = np.sqrt(_squares(rows))
    inverse = 1 / np.where(norms > 0, norms, 1)
    return sp.diags_array(inverse).tocsr() @ rows if sp.issparse(rows) else rows * inverse[:, None]

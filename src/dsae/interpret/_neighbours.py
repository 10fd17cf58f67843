"""Exact nearest neighbours by code, on scikit-learn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dsae.config import one_of, positive_int
from dsae.data import Rows, check_rows, ids_of, in_memory
from dsae.runtime import Runtime
from dsae.store import Model

_MEGABYTES = 32  # of distances at once; scikit-learn would take 1,024


class Neighbours(NamedTuple):
    """The nearest rows of each query, nearest first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_queries, n_rows)
        Positions in the index.
    distances : ndarray of float32, shape (n_queries, n_rows)
    """

    rows: np.ndarray
    distances: np.ndarray


class CodeIndex:
    """Rows that can be searched by their codes. The search is exact: every code is compared.

    Parameters
    ----------
    codes : ndarray or scipy sparse, shape (n_rows, n_components)
        With ``model`` rows of data, which it encodes; codes with zeros by topk, batchtopk or jumprelu become CSR.
    metric : {"cosine", "euclidean"}
        ``cosine`` is one minus the cosine; a code of zeros is at distance 1 from all.
    model : Model, Runtime or fitted DeepSparseAutoencoder, optional

    Attributes
    ----------
    ids : ndarray or None
        Names of the rows, where ``codes`` have them: AnnData, `dsae.data.named_rows`, or a data frame with an index.

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
        held = in_memory("CodeIndex", codes, missing=getattr(self._runtime, "missing", None))
        self.ids = ids_of(codes, held)
        rows = self._prepared("CodeIndex", held)
        from sklearn.neighbors import NearestNeighbors  # half a second that reports can do without

        self._search = NearestNeighbors(algorithm="brute", metric=metric).fit(rows)

    def __len__(self) -> int:
        return self._search.n_samples_fit_

    def nearest(self, codes: Any, n_rows: int = 10) -> Neighbours:
        """The rows nearest to each query.

        Parameters
        ----------
        codes : ndarray or scipy sparse, shape (n_queries, n_components)
            With the index' ``model`` rows of data.
        n_rows : int
            Per query; fewer where the index is smaller. Ties are in no particular order.

        Returns
        -------
        Neighbours

        Raises
        ------
        ValueError
            If ``codes`` are not finite rows of the index' width.
        """
        from sklearn import config_context

        positive_int("[nearest] n_rows", n_rows)
        queries = self._prepared("nearest", codes, self._search.n_features_in_)
        with config_context(working_memory=_MEGABYTES):
            distances, rows = self._search.kneighbors(queries, min(n_rows, len(self)))
        return Neighbours(rows, distances.astype(np.float32))

    def _prepared(self, verb: str, codes: Any, width: int | None = None) -> Rows:
        if self._runtime is not None:
            sparse = self._runtime.config.code.sparse
            codes = self._runtime.encode(codes, sparse_output=sparse)
        # In float32 two equal rows are up to 1e-3 apart, as squares minus a product.
        return check_rows(verb, codes, width, "as many as the index", missing=None).astype(np.float64)

"""The verb `recommend`, for estimators whose model rates items."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import ArraySource, Source
from dsae.estimators._base import pieces
from dsae.metrics import Recommendations
from dsae.runtime import Runtime


class RecommendMixin:
    """Recommends with the model ``runtime_``; what users and items look like is up to the estimator."""

    runtime_: Runtime

    def recommend(
        self,
        X: Any,
        n: int = 20,
        *,
        exclude_seen: bool = True,
        exclude: Any = None,
        names: bool = True,
        fill: bool = False,
    ) -> Recommendations:
        """The ``n`` best items for each user: the features with the largest reconstruction for each row.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_users, n_items), or a source
            The items that users have; these users need not be among those of `fit`. `DSARecommender` also takes a list
            of lists of items: of names where items have names, even if these are numbers; else of columns, unless all
            lists have ``n_items`` numbers, which are rows.
        n : int
            Items per user.
        exclude_seen : bool
            Whether a user's own items are left out.
        exclude : as X, of n_users or of one, optional
            More items to leave out, for each user or for all, such as those that are out of stock.
        names, fill : bool
            As in `dsae.Runtime.recommend`: whether items are given by name, and whether users with fewer than ``n``
            items left get those.

        Returns
        -------
        Recommendations
            ``(items, scores)``, each of shape ``(n_users, n)``, the best first.

        Raises
        ------
        ValueError
            If ``X`` is invalid, negative for a recommender, or a user has fewer than ``n`` items left and ``fill`` is
            false.
        """
        source, exclude = self._asked(X, exclude)
        given = {"exclude_seen": exclude_seen, "names": names, "fill": fill}
        if isinstance(source, ArraySource):
            return self.runtime_.recommend(source.X, n, exclude=exclude, **given)
        others: Any = None if exclude is None else sp.csr_matrix(exclude)
        parts, start = [], 0
        for rows in pieces(source):
            some = others if others is None or others.shape[0] == 1 else others[start : start + rows.shape[0]]
            parts.append(self.runtime_.recommend(rows, n, exclude=some, **given))
            start += rows.shape[0]
        if others is not None and others.shape[0] not in (1, start):
            raise ValueError(
                f"[recommend] exclude must have {start} rows, as many as X, or one; got {others.shape[0]}."
            )
        return Recommendations(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _asked(self, X: Any, exclude: Any) -> tuple[Source, Any]:
        """Users as a source, checked, and what is left out as rows."""
        raise NotImplementedError

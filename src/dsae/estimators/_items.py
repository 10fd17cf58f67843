"""Users given by lists of their items."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from dsae.config import did_you_mean
from dsae.data import Source, as_source
from dsae.estimators._base import DSAEstimator, listed
from dsae.estimators._recommend import RecommendMixin
from dsae.estimators._users import is_list


class TakesItems(RecommendMixin, DSAEstimator):
    """An estimator that takes users as rows of numbers, or as lists of items by name or column."""

    def rows(self, users: Iterable[Iterable[Any]], verb: str = "rows") -> sp.csr_matrix:
        """Rows as `recommend` takes them, from lists of items.

        Parameters
        ----------
        users : iterable of iterables of str or int
            The items of each user: names where the model has them (5 is the item ``"5"``), else columns.
        verb : str
            Named in messages.

        Returns
        -------
        csr_matrix of float32, shape (n_users, n_items)

        Raises
        ------
        ValueError
            If an item is unknown.
        """
        check_is_fitted(self)
        users = [users] if isinstance(users, str) else list(users)
        for items in users:
            if isinstance(items, str) or not isinstance(items, Iterable):
                raise TypeError(
                    f"[{verb}] Users must be a list with a list of items for each; got {items!r} in place of a list. "
                    f"Give [[{items!r}]] for one user of that item."
                )
        # An item that is given twice counts once.
        columns = [np.unique(self._columns(verb, list(items))) for items in users]
        indptr = np.cumsum([0, *(found.size for found in columns)])
        indices = np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int32)
        shape = (len(columns), self.n_features_in_)
        return sp.csr_matrix((np.ones(indices.size, np.float32), indices, indptr.astype(np.int32)), shape=shape)

    def _asked(self, X: Any, exclude: Any) -> tuple[Source, Any]:
        source = self._source("recommend", X)
        if isinstance(exclude, (list, tuple)) and self._are_items("recommend", exclude, "exclude"):
            exclude = self.rows(exclude, "recommend")
        return source, exclude

    def _source(self, verb: str, X: Any) -> Source:
        check_is_fitted(self)
        if isinstance(X, (list, tuple)) and self._are_items(verb, X):
            X = self.rows(X, verb)
        source = as_source(verb, X, missing=None)
        self._check_source(verb, X, source)
        return source

    def _are_items(self, verb: str, users: Any, what: str = "X") -> bool:
        """Whether nested lists hold the items of users, rather than rows of numbers.

        Rows of numbers may not pass for items 0 and 1: they repeat them, or hold fractions.
        """
        if any(isinstance(user, str) for user in users):
            return True  # which `rows` refuses
        if not users or not all(map(is_list, users)):
            return False
        named = self.runtime_.model.feature_names is not None
        if not named and all(len(user) == self.n_features_in_ for user in users):
            # Else as many numbers as items are rows.
            return any(isinstance(item, str) for user in users for item in user)
        for user in users:
            numbers = [float(item) for item in user if isinstance(item, Real)]
            if len(set(numbers)) < len(numbers) or not all(number.is_integer() for number in numbers):
                raise ValueError(
                    f"[{verb}] {what} must be rows of {self.n_features_in_} numbers, or lists of different items; got "
                    f"a list of {len(user)} numbers that repeat or are no whole numbers. Give np.asarray({what}) for "
                    "rows, and each item once."
                )
        return True

    def _check_source(self, verb: str, X: Any, source: Source) -> None:
        """As in any estimator, but that a matrix without names is no reason for a warning: CSR cannot have any."""
        if source.column_names is None and not hasattr(X, "columns"):
            self._check_width(source)
        else:
            super()._check_source(verb, X, source)

    def _columns(self, verb: str, items: list[Any]) -> np.ndarray:
        names, n = self.runtime_.model.feature_names, self.n_features_in_
        places = self._places if names is not None else {}
        if names is None:
            whole = [hasattr(item, "__index__") and not isinstance(item, (bool, np.bool_)) for item in items]
            found = [int(item) if usable else -1 for item, usable in zip(items, whole, strict=True)]
        else:
            found = [places.get(str(item), -1) for item in items]
        unknown = [item for item, at in zip(items, found, strict=True) if not 0 <= at < n]
        if unknown:
            known = f"columns from 0 to {n - 1}" if names is None else f"one of its {n} names"
            hint = "" if names is None else did_you_mean(unknown[0], names)
            raise ValueError(
                f"[{verb}] Items must be the model's, {known}; got {listed([repr(item) for item in unknown])}."
                f"{hint} Leave out what is new, or fit again."
            )
        return np.asarray(found, np.int64)

    @property
    def _places(self) -> dict[str, int]:
        return {name: j for j, name in enumerate(self.runtime_.model.feature_names or ())}

"""What the transformers of tables and of items have in common: a width, a text of their own, rows to turn back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from dsae.features._json import read_kind, to_json


class Encoder(TransformerMixin, BaseEstimator, ABC):
    """Base of `TableRows` and `ItemRows`."""

    kind: ClassVar[str]
    """What `dsae.features.from_json` calls it."""
    _hole: ClassVar[str]
    """What NaN stands for, as messages say it."""

    @property
    @abstractmethod
    def field(self) -> tuple[int, ...]:
        """Shape of the values of one row, in C order."""

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return prod(self.field)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What it has learned, as JSON can hold it."""

    def to_json(self) -> str:
        """Settings and what was learned, as text for `dsae.features.from_json`."""
        check_is_fitted(self)
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Any:
        """The reverse of `to_json`. Nothing in the text is run, and all of it is checked.

        Raises
        ------
        ValueError
            If the text is something else.
        """
        return read_kind(text, cls.kind)

    def _rows_to_invert(self, X: Any, dtype: type = np.float32) -> np.ndarray:
        """A copy of the rows that `inverse_transform` was given, infinity refused."""
        X = X.toarray() if hasattr(X, "toarray") else X
        try:
            rows = np.array(X, dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"[inverse_transform] X must hold numbers, as transform gives them; {error}.") from None
        self._check_width(rows.shape)
        if np.isinf(rows).any():
            raise ValueError(f"[inverse_transform] X must hold finite numbers, or {self._hole}; it holds infinity.")
        return rows

    def _check_width(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or shape[1] != self.n_features:
            raise ValueError(
                f"[inverse_transform] X must have {self.n_features} columns, as transform gives them; got shape "
                f"{shape}."
            )

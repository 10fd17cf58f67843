"""The transformer of a list of items of one modality: pictures, sounds or texts."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dsae.config import known_keys, one_of
from dsae.features._encoder import Encoder
from dsae.features._items import ON_ERROR, BadItemError, Encoded, Notes, Problem, is_missing, items_of, name_of

_TOLD = 3  # of the items that cannot be read, in a warning
LARGEST_ROW = 1 << 24
"""Values of a row, beyond which settings are refused: a text from elsewhere could else ask for all memory."""


class ItemRows(Encoder):
    """Base of the transformers of files, bytes or arrays; see `ImageRows`, `AudioRows` and `TextRows`."""

    _hole = "rows of NaN where nothing is"
    noun: ClassVar[str]
    """What messages call an item."""
    suffix: ClassVar[str]
    """Ending of a file of what it makes."""
    on_error: str

    def fit(self, X: Any, y: Any = None) -> Any:
        """Check the settings; nothing is learned from the items.

        Parameters
        ----------
        X : list of items
            None stands for one that is missing.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a setting is invalid.
        TypeError
            If ``X`` is no list of items.
        """
        self._check()
        items_of("fit", X, self.noun)
        return self

    def transform(self, X: Any) -> Any:
        """Rows of numbers.

        Parameters
        ----------
        X : list of items
            None stands for one that is missing.

        Returns
        -------
        ndarray or csr_matrix of float32, shape (n_samples, n_features)
            A missing item gives a row of NaN, in a sparse matrix an empty one; `present` tells which.

        Raises
        ------
        ValueError
            If an item cannot be read and ``on_error`` is ``"raise"``.
        TypeError
            If ``X`` is no list of items.

        Warns
        -----
        UserWarning
            Of items that could not be read with ``on_error="missing"``, and of what was left out of others.
        """
        return self.transform_present(X)[0]

    def transform_present(self, X: Any) -> tuple[Any, np.ndarray]:
        """`transform`, and which of the items are there and could be read, bool ``[n_samples]``."""
        found = self._encoded("transform", X)
        if found.problems:
            told = "; ".join(problem.message for problem in found.problems[:_TOLD])
            more = "; ..." if len(found.problems) > _TOLD else ""
            warnings.warn(
                f"[transform] {len(found.problems)} of {len(found.present)} {self.noun}s could not be read and count "
                f"as missing: {told}{more}",
                UserWarning,
                stacklevel=3,
            )
        for note in found.notes:
            warnings.warn(f"[transform] {note}", UserWarning, stacklevel=3)
        return found.rows, found.present

    def encode(self, X: Any) -> Encoded:
        """`transform`, with what could not be read beside the rows instead of in a warning.

        Parameters
        ----------
        X : list of items

        Returns
        -------
        Encoded

        Raises
        ------
        ValueError, TypeError
            As from `transform`.
        """
        return self._encoded("encode", X)

    def present(self, X: Any) -> np.ndarray:
        """Which entries of a list are items; whether they can be read is seen by `encode`.

        Parameters
        ----------
        X : list of items

        Returns
        -------
        ndarray of bool, shape (n_samples,)

        Raises
        ------
        TypeError
            If ``X`` is no list of items.
        """
        return np.array([not is_missing(item) for item in items_of("present", X, self.noun)], bool)

    @abstractmethod
    def to_bytes(self, value: Any) -> bytes:
        """One of the things that `inverse_transform` gives, as the content of a file that ends in `suffix`.

        Parameters
        ----------
        value : ndarray, or list of str
            A picture, a sound or words.

        Returns
        -------
        bytes
        """

    def to_dict(self) -> dict[str, Any]:
        """Settings and what was learned, as JSON can hold it.

        Returns
        -------
        dict
            ``kind``, ``settings`` and, of texts, the vocabulary; `from_dict` takes it without ``kind``.
        """
        settings = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        return {"kind": self.kind, "settings": settings}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Any:
        """The reverse of `to_dict`, from an untrusted file.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        known_keys(f"{cls.kind} rows", content, ("settings", *cls._learned))
        settings, known = content.get("settings"), cls._get_param_names()
        if not isinstance(settings, dict):
            raise ValueError(f"{cls.kind} rows must have a mapping of settings.")
        known_keys(f"{cls.kind} rows", settings, tuple(known))
        found = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})
        try:
            found._check()
            found._adopt(content)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"a setting of {cls.kind} rows is of the wrong type: {error}") from None
        return found

    _learned: ClassVar[tuple[str, ...]] = ()

    def _adopt(self, content: Mapping[str, Any]) -> None:
        """Take what was learned from an untrusted mapping."""

    def check(self) -> None:
        """Raise unless the settings are valid.

        Raises
        ------
        ValueError
        """
        self._check()

    def _check(self) -> None:
        """What `check` does, of one kind of items."""
        one_of("on_error", self.on_error, ON_ERROR)

    @abstractmethod
    def value(self, item: Any, notes: Notes) -> Any:
        """What is made of one item; `BadItemError` if it cannot be read as one."""

    @abstractmethod
    def stacked(self, values: Sequence[Any]) -> Any:
        """Rows of values, None among them where an item is missing."""

    def told(self, notes: Notes, n: int) -> list[str]:
        """Sentences on what was counted in ``n`` items."""
        return []

    def _encoded(self, verb: str, X: Any) -> Encoded:
        self._check()
        check_is_fitted(self)
        items, notes = items_of(verb, X, self.noun), Notes()
        values: list[Any] = []
        problems: list[Problem] = []
        for row, item in enumerate(items):
            value = None
            if not is_missing(item):
                try:
                    value = self.value(item, notes)
                except (BadItemError, MemoryError) as error:
                    message = f"{name_of(item, row, self.noun)} {error or 'needs more memory than there is'}."
                    if self.on_error == "raise":
                        raise ValueError(f"[{verb}] {message}") from None
                    problems.append(Problem(row, message))
            values.append(value)
        present = np.array([value is not None for value in values], bool)
        return Encoded(self.stacked(values), present, tuple(problems), tuple(self.told(notes, len(values))))

    def _dense(self, values: Sequence[Any]) -> np.ndarray:
        rows = np.full((len(values), self.n_features), np.nan, np.float32)
        for row, value in zip(rows, values, strict=True):
            if value is not None:
                row[:] = value
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value

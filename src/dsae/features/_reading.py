"""Items of a folder as an encoder takes them, and what happens to those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dsae.features._items import BadItemError, Notes, is_missing
from dsae.features._tars import Slice

ON_ERROR = ("raise", "missing", "skip")
"""Of a file that cannot be read: an error, the row lacks it, or the row is left out."""


class Reading:
    """Reads the items of a folder, and keeps what could not be read.

    Parameters
    ----------
    verb : str
        Named in messages.
    on_error : {"raise", "missing", "skip"}

    Attributes
    ----------
    problems : list of str
        A line for each item that could not be read.
    notes : dict of str to Notes
        What happened to the items of each modality.
    """

    def __init__(self, verb: str, on_error: str) -> None:
        self.verb, self.on_error = verb, on_error
        self.problems: list[str] = []
        self.notes: dict[str, Notes] = {}

    def rows(self, name: str, encoder: Any, items: Iterable[Any]) -> tuple[Any, np.ndarray, np.ndarray]:
        """Rows of items of a modality, which of them are there, and which could not be read.

        Raises
        ------
        ValueError
            If an item cannot be read and ``on_error`` is ``"raise"``.
        """
        values, failed, notes = [], [], self.notes.setdefault(name, Notes())
        for item in items:
            value, message = None, None
            if not is_missing(item):
                try:
                    value = encoder.value(content_of(item), notes)
                except (BadItemError, MemoryError) as error:
                    message = self.refused(item, error)
            values.append(value)
            failed.append(message is not None)
        has = np.array([value is not None for value in values], bool)
        return encoder.stacked(values), has, np.array(failed, bool)

    def refused(self, item: Any, error: Exception) -> str:
        """Keep, or raise, why an item cannot be read."""
        message = f"{_told(item, error)}."
        if self.on_error == "raise":
            raise ValueError(f"[{self.verb}] {message}") from None
        self.problems.append(message)
        return message

    def kept(self, has: np.ndarray, failed: np.ndarray) -> np.ndarray:
        """Numbers of the rows that have something, and with ``on_error="skip"`` no problem."""
        return np.flatnonzero(has & ~failed if self.on_error == "skip" else has)


def content_of(item: Any) -> Any:
    """A path, a text or bytes.

    Raises
    ------
    BadItemError
        If it stands for something that cannot be read.
    """
    if isinstance(item, BadItemError):
        raise item
    return item.read() if isinstance(item, Slice) else item


def _told(item: Any, error: Exception) -> str:
    if item is error:
        text = str(error)
        return text if text.isprintable() else repr(text)
    shown, why = str(item)[:300], str(error) or "needs more memory than there is"
    return f"{shown if shown.isprintable() else repr(shown)} {why}"

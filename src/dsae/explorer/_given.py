"""What a user says about rows and features: names, labels, texts, ids; all of it as many as there are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsae.runtime import folder_encoders

MOST_LABELS = 255
"""Labels that are told apart; tables of latents by labels stay small, and a reader takes in no more."""
OTHER = "(other)"
ITEMS = ("audio", "image", "text")
"""Kinds of encoders that make one row of one thing, unlike those of tables."""


def lengths(n: int, **given: Any) -> None:
    """Refuse what is not one for each row.

    Raises
    ------
    ValueError
        If labels, ids or texts are more or fewer than rows.
    """
    for name, values in given.items():
        if values is not None and len(values) != n:
            raise ValueError(
                f"[explore] {name} must be one for each of {n:,} rows, in their order; got {len(values):,}. Give those "
                "of the same rows."
            )


def encoder_beside(source: Any) -> Any:
    """What made rows of one modality, by the file that `dsae.features.prepare` has written beside them.

    Parameters
    ----------
    source : StreamSource or other rows
        As `dsae.data.open_rows` gives them.

    Returns
    -------
    AudioRows, ImageRows, TextRows or None
        None where there is no such file, or it is of something else.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    encoders = folder_encoders("explore", source)
    names = [field.name for part in source.parts.values() for field in part.fields] if encoders else []
    found = encoders.get(names[0]) if len(names) == 1 else None
    return found if getattr(found, "kind", None) in ITEMS else None


class Labels:
    """Labels of rows as small numbers, given at once or met batch by batch.

    Beyond `MOST_LABELS` the rarest, or of labels that come with the rows those met last, are one.

    Parameters
    ----------
    given : sequence, optional
        Of all rows; None and NaN stand for none.

    Attributes
    ----------
    beside : bool
        Whether they were given, and do not travel with the rows.
    merged : int
        Labels that share ``"(other)"``.
    """

    def __init__(self, given: Sequence[Any] | np.ndarray | None = None) -> None:
        self._numbers: dict[str, int] = {}
        self._other: set[str] = set()
        self._given, self.beside = None, given is not None
        if given is not None:
            texts = _texts(given)
            common = Counter(text for text in texts if text is not None).most_common(MOST_LABELS)
            self._numbers = {name: i for i, name in enumerate(sorted((name for name, _ in common), key=_natural))}
            self._given = texts

    def of(self, start: int, n: int, travelling: Any) -> np.ndarray | None:
        """Numbers of the labels of rows ``start`` to ``start + n``, -1 where there is none; None without labels."""
        if self._given is not None:
            return self._numbered(self._given[start : start + n])
        return None if travelling is None else self._numbered(_texts(travelling))

    @property
    def merged(self) -> int:
        """Labels that share ``"(other)"``."""
        return len(self._other)

    def names(self) -> list[str]:
        """By number."""
        return [*self._numbers, *([OTHER] if self._other else [])]

    def _numbered(self, texts: Iterable[str | None]) -> np.ndarray:
        found = []
        for text in texts:
            if text is None:
                found.append(-1)
            elif text in self._numbers:
                found.append(self._numbers[text])
            elif self._given is None and len(self._numbers) < MOST_LABELS:
                self._numbers[text] = len(self._numbers)
                found.append(self._numbers[text])
            else:
                self._other.add(text)
                found.append(MOST_LABELS)
        return np.array(found, np.int64)


def _texts(values: Any) -> list[str | None]:
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    return [None if value is None or value != value else str(value) for value in values]


def _natural(text: str) -> tuple[Any, ...]:
    """Numbers by size, in front of words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


class Lines(Sequence):
    """The lines of a file, read when they are wanted, so that a large file need not fit in memory.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError
        If it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open(self.path, "rb") as file:
            ends = np.fromiter((len(line) for line in file), np.int64)
        self._starts = np.concatenate([[0], np.cumsum(ends)])

    def __len__(self) -> int:
        return self._starts.size - 1

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        with open(self.path, "rb") as file:
            begin, end = int(self._starts[:-1][row]), int(self._starts[1:][row])  # IndexError past the end
            file.seek(begin)
            return file.read(end - begin).decode("utf-8", "replace").rstrip("\r\n")


def read_values(path: str | Path) -> Any:
    """Labels, ids or texts from a file: ``.npy``, a list in ``.json``, ``table.csv:column``, or a line for each row.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    sequence
        Lines are read when they are wanted.

    Raises
    ------
    ValueError
        If the file holds something else.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if not path.exists() and ":" in path.name:
        return _column(path.with_name(path.name.rpartition(":")[0]), path.name.rpartition(":")[2])
    if not path.exists():
        raise FileNotFoundError(f"[explore] {path} does not exist; check the path.")
    if path.suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"[explore] {path} must be a .npy file; it cannot be read ({error}).") from None
        if values.ndim != 1:
            raise ValueError(f"[explore] {path} must hold one value for each row; got an array of {values.shape}.")
        return values
    if path.suffix == ".json":
        try:
            values = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"[explore] {path} must be JSON; it is not ({error}).") from None
        if not isinstance(values, list):
            raise ValueError(f"[explore] {path} must hold a list, one entry for each row; got {type(values).__name__}.")
        return values
    return Lines(path)


def _column(path: Path, name: str) -> list[Any]:
    from dsae.data import read_tables

    found: list[Any] = []
    for _, table in read_tables(path, texts=(name,)):
        if name not in table.column_names:
            raise ValueError(f"[explore] {path} must have the column {name!r}; it has {', '.join(table.column_names)}.")
        found += table.column(name).to_pylist()
    return found

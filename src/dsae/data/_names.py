"""Names of features from a file of their own, and names of rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsae.data._delimiter import is_number
from dsae.data._text import opened_text

_LONGEST = 1 << 28  # bytes: a file of names is small


def read_names(path: str | Path) -> list[str]:
    """Names of features, such as a vocabulary or genes, in the order of the columns.

    Parameters
    ----------
    path : str or Path
        ``.json`` holds a list of texts, or an object from names to column numbers, as ``vocabulary_`` of scikit-learn's
        vectorisers. ``.csv`` and ``.tsv`` (also ``.gz``, ``.bz2``, ``.xz``) have a line of column names;
        ``file.csv:word`` names the column, by default the only one, or the only one of text. Any other file has a name
        on each line.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If the file holds something else, a blank name, or a name twice.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "words.json")
    >>> _ = file.write_text('{"moon": 1, "earth": 0}')
    >>> read_names(file)
    ['earth', 'moon']
    """
    file, column = Path(path), None
    if not file.exists() and ":" in file.name:  # a file may have a colon in its name
        file, column = file.with_name(file.name.rpartition(":")[0]), file.name.rpartition(":")[2]
    try:
        # Programs of Windows begin UTF-8 files with a mark, which is no part of the first name.
        with opened_text(file, "utf-8-sig") as opened:
            text = opened.read(_LONGEST)
    except FileNotFoundError:
        raise FileNotFoundError(f"[read] {file} does not exist; check the path.") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"[read] {file} must be a file of names; got a folder. Name a file in it.") from None
    except UnicodeDecodeError:
        raise ValueError(f"[read] {file} must hold names in UTF-8; got other bytes.") from None
    endings = [ending.lower() for ending in file.suffixes]
    if ".json" in endings:
        return _of_json(file, text)
    if {".csv", ".tsv"} & set(endings):
        return _of_columns(file, text, "\t" if ".tsv" in endings else ",", column)
    names = [line.strip() for line in text.splitlines()]
    names = names[: len(names) - (names[-1:] == [""])]  # the end of the last line begins no name
    return _checked(file, names, [f"line {i}" for i in range(1, len(names) + 1)])


def _of_json(file: Path, text: str) -> list[str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[read] {file} must be JSON; it is not ({error}).") from None
    # A vocabulary, as `CountVectorizer.vocabulary_` has it, but in any order.
    if isinstance(content, dict) and sorted(map(str, content.values())) == sorted(map(str, range(len(content)))):
        content = sorted(content, key=content.__getitem__)
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"[read] {file} must hold a list of names, or an object from names to column numbers.")
    return _checked(file, content, [f"entry {i}" for i in range(1, len(content) + 1)])


def _of_columns(file: Path, text: str, delimiter: str, column: str | None) -> list[str]:
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    places, lines = [], []
    for line in reader:
        if line:
            lines.append(line)
            places.append(f"line {reader.line_num}")
    if len(lines) < 2:
        raise ValueError(
            f"[read] {file} must hold a line of column names and names of features; got {len(lines)} lines."
        )
    header, rows = lines[0], lines[1:]
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"[read] {file} must have {len(header)} fields in every line, as in the first.")
    if column is None:
        words = [i for i in range(len(header)) if not all(is_number(row[i]) for row in rows)]
        if len(words) != 1 and len(header) > 1:
            raise ValueError(
                f"[read] {file} must say which column holds the names ({', '.join(header)}); give {file.name}:"
                f"{header[words[0] if words else 0]}, say."
            )
        at = words[0] if words else 0
    elif column in header:
        at = header.index(column)
    else:
        raise ValueError(f"[read] {file} has no column {column!r}; it has {', '.join(header)}.")
    return _checked(file, [row[at] for row in rows], places[1:])


def _checked(file: Path, names: list[str], places: list[str]) -> list[str]:
    if not names:
        raise ValueError(f"[read] {file} must hold names of features; it is empty.")
    seen: dict[str, str] = {}
    for name, place in zip(names, places, strict=True):
        if not name.strip():
            raise ValueError(f"[read] {file} must hold a name for every feature; {place} is blank.")
        if name in seen:
            raise ValueError(f"[read] {file} must hold different names; {name!r} is in {seen[name]} and in {place}.")
        seen[name] = place
    return names


def ids_of(X: Any, source: Any = None) -> np.ndarray | None:
    """Names of rows: those that travel with a source, or the index of a data frame unless it only counts the rows."""
    ids = getattr(getattr(source, "rows", None), "ids", None)
    if ids is not None:
        return ids
    index = getattr(X, "index", None)
    if index is None or not hasattr(X, "columns") or type(index).__name__ == "RangeIndex":
        return None
    return np.array([*index], dtype=object)


def check_names(names: Sequence[str], n_features: int, what: str) -> list[str]:
    """Names of as many features as there are.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    if len(names) != n_features:
        raise ValueError(f"[read] {what} must hold {n_features} names, one per feature; got {len(names)}.")
    return list(names)

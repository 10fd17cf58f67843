"""Which columns of a table are features, which are row ids, which labels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dsae.data._reader import ReadOptions, check_known
from dsae.data._shape import check_shape

# How numbers written for people look: 1,000 or 5% or $ 3.50 or \u22121.
_NUMBER_LIKE = re.compile(r"[\s$€£+\u2212-]*\d[\d.,' _]*(e[+-]?\d+)?\s*[%$€£]?", re.IGNORECASE)
_VALUE_LIKE = re.compile(
    r"""[\s$€£+\u2212-]*\d[\d.,' ]*[a-zµ°²³/]{1,6}                    # 1kg, 3 m/s
    |\d{1,4}([/:.-]\d{1,4}){1,3}([T\s,]+[\d:.]+.{0,8})?               # 12/31/2020, 10:30:00, 1/2
    |\d{4}\W?[qw]\d{1,2} | q\d\W?\d{2,4}                             # 2020-Q1
    |(\w{3,9},\s+)?(\d{1,2}\W+)?(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?
        |sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)([\s.,/-]+\d{1,4})*   # Jan 3 2020
    |yes|no|on|off|true|false""",
    re.IGNORECASE | re.VERBOSE,
)
_NAMES_ROWS = re.compile(
    r"|(.*[\W_]|.*[a-z](?=[A-Z]))?(?i:ids?|index|names?|barcodes?|cells?|samples?|keys?|uuid|rows?|row\W?names?)\d*"
)
_FEWEST_ROWS_TO_WARN = 10  # in fewer rows, ascending numbers are often chance
AS_TABLE = "read numbers, classes and dates together by --table (dsae.features.TableRows in Python)"
# Names that pandas writes or reads for an index without one.
PANDAS_INDEX = ("", "Unnamed: 0", "__index_level_0__")


class Guessed:
    """Ids found without being requested, which name rows only as long as they do not repeat.

    Compared are those of a chunk with one another and with the first ones of the data: no more is kept of them.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    column : str
    first : sequence of str
        Of the first rows, no two of them equal.
    """

    def __init__(self, name: str, column: str, first: Sequence[str]) -> None:
        self._name, self._column, self._n, self._seen = name, column, len(first), frozenset(first)

    def check(self, start: int, ids: np.ndarray) -> None:
        """Raise if ids of the rows from ``start`` on occurred before."""
        found: set[str] = set()
        for row in range(max(0, self._n - start), len(ids)):
            value = ids[row]
            if value and (value in self._seen or value in found):
                raise ValueError(
                    f"[read] {self._name} column {self._column!r} does not name rows: {value!r} in row {start + row}, "
                    "counted from 0, was there before. Say what it is by id_column, label_column or exclude."
                )
            found.add(value)


class Choice(NamedTuple):
    """The role of each column.

    Attributes
    ----------
    features : list of str
        Columns of numbers, or the one column of lists of numbers.
    ids, labels : str or None
    is_vector : bool
        Whether the only feature column holds lists.
    guessed : Guessed, optional
        The ids, if they were not requested.
    """

    features: list[str]
    ids: str | None
    labels: str | None
    is_vector: bool
    guessed: Guessed | None = None


def choose(
    name: str, kinds: Mapping[str, str], sample: Mapping[str, Sequence[Any]], index: str | None, options: ReadOptions
) -> Choice:
    """The role of each column of a table.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    kinds : mapping of str to str
        From column to ``number``, ``whole`` (numbers), ``vector`` (lists of numbers), ``text``, or the name of
        another type.
    sample : mapping of str to sequence
        The first values of columns, at least of those of text and of whole numbers.
    index : str, optional
        Column that pandas wrote as the index.
    options : ReadOptions

    Raises
    ------
    ValueError
        If a named column is missing, or a column is neither a feature nor ids, labels or left out.
    """
    named = [column for column in (options.id_column, options.label_column) if column is not None]
    check_known(name, [*named, *(options.columns or ()), *options.exclude], list(kinds))
    ids = options.id_column if options.id_column is not None else index
    left = [c for c in options.columns or kinds if c not in (ids, options.label_column) and c not in options.exclude]
    vectors = [column for column in left if kinds[column] == "vector"]
    if len(vectors) > 1 or (vectors and options.columns is not None and len(left) > 1):
        raise ValueError(
            f"[read] {name} has several columns that could be the rows ({', '.join(vectors)}). Name one by columns."
        )
    others = [column for column in left if kinds[column] not in ("number", "whole", "vector")]
    if ids is None:
        texts = [column for column in kinds if kinds[column] == "text" and column not in (*named, *options.exclude)]
        chosen = vectors or options.columns is not None
        if len(texts) == 1 and (chosen or _names_rows(name, texts[0], sample[texts[0]])):
            ids = texts[0] if _are_unique(sample[texts[0]]) else None
            left, others = ([column for column in some if column != ids] for some in (left, others))
    guessed = None if ids in (None, index, options.id_column) else Guessed(name, ids.split("\0")[0], sample[ids])
    if vectors:
        return Choice(vectors, ids, options.label_column, True, guessed)
    if others:
        found = ", ".join(f"{column!r} ({kinds[column]})" for column in others)
        raise ValueError(
            f"[read] {name} must hold numbers, besides ids and labels; got {found}. Name row ids by id_column, labels "
            f"by label_column, leave columns out by exclude, or {AS_TABLE}."
        )
    check_shape(name, (1, len(left)))
    if options.columns is None:
        if ids not in (None, index, options.id_column, *PANDAS_INDEX):
            _warn_of_names(name, ids)
        _warn_of_ids(name, [column for column in left if kinds[column] == "whole"], sample)
    return Choice(left, ids, options.label_column, False, guessed)


def _names_rows(name: str, column: str, values: Sequence[Any]) -> bool:
    """Whether a column of text can be row ids; numbers written as text are refused."""
    texts = [value for value in values if value not in (None, "")]
    for value in texts:
        if _NUMBER_LIKE.fullmatch(value):
            odd = next((v for v in texts if not _is_number(v)), value)
            raise ValueError(
                f"[read] {name} column {column!r} must be numbers, as {value!r} seems to be; got {odd!r}. Write plain "
                "numbers (1000, 0.05; decimal=',' reads 1,5), or say what the column is by id_column, label_column or "
                "exclude."
            )
    odd = [value for value in texts if _VALUE_LIKE.fullmatch(value)]
    # Single ids may look like a quantity or a month; a column is one if most of its texts are.
    if 2 * len(odd) > len(texts):
        raise ValueError(
            f"[read] {name} column {column!r} must be numbers or names of rows; got dates, quantities or answers such "
            f"as {odd[0]!r}. Say what the column is by id_column, label_column or exclude, or {AS_TABLE}."
        )
    if not _are_unique(values):
        raise ValueError(
            f"[read] {name} column {column!r} holds text that repeats ({', '.join(map(repr, texts[:2]))}), so it does "
            f"not name rows. Say what it is by id_column, label_column or exclude, or {AS_TABLE}."
        )
    return True


def _warn_of_names(name: str, column: str) -> None:
    if _NAMES_ROWS.fullmatch(column) is None:
        warnings.warn(
            f"[read] {name} column {column!r} holds different texts and is taken for row ids. Give "
            f"id_column={column!r} (--id-column) if it is, or exclude={column!r} (--exclude).",
            UserWarning,
            stacklevel=2,
        )


def _are_unique(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 10_000 as a number, Arrow does not


def _warn_of_ids(name: str, whole: Sequence[str], sample: Mapping[str, Sequence[Any]]) -> None:
    for column in whole:
        values = sample[column]
        if len(values) < _FEWEST_ROWS_TO_WARN or any(value is None for value in values):
            continue
        # In ascending order alone: counts and codes that happen to be different are features.
        if (np.diff(np.asarray(values, np.float64)) > 0).all():
            warnings.warn(
                f"[read] {name} column {column!r} holds different whole numbers in ascending order, as row ids do, and "
                f"is taken for a feature. If it names rows, give id_column={column!r} (--id-column); if it is nothing "
                f"to learn from, exclude={column!r} (--exclude).",
                UserWarning,
                stacklevel=2,
            )

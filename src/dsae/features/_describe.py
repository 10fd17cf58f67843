"""What each column of a table is, from its values."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.config import did_you_mean
from dsae.features._schema import DATE_FORMATS, MOST_DECIMALS, Column
from dsae.features._values import days_of, days_of_texts, is_text, is_time, numbers, plain, texts

if TYPE_CHECKING:
    import pyarrow as pa

_LOOKED_AT = 50  # different texts, before all of them are read as dates
_COVERED = 0.5  # share of the rows that classes must cover: else the text names things rather than kinds of things
_CATEGORIES_KEPT = 1000  # of a column; any such number does
_IDS = "different in every row"
_TRUTHS = (("false", "true"), ("no", "yes"))  # what is false comes first, as 0 before 1
_NAMES_ROWS = re.compile(
    r"|unnamed: 0|__index_level_0__|((.*[\W_])?(ids?|index|names?|row\W?names?|rows?|keys?))", re.IGNORECASE
)
_FEWEST_ROWS_TO_TELL_IDS = 10  # in fewer, values are often different by chance
_LARGEST_DECIMAL = 1e5  # with 9 decimals nearly all that a double holds
# Groups of letters or digits: looked at before some 60 formats.
_DATE_LIKE = re.compile(r"\W*\w{1,9}([\W_]+\w{1,9}){1,5}")


@dataclass(frozen=True)
class Choices:
    """The parameters of `TableRows` that say what columns are."""

    columns: Sequence[str] | None
    exclude: Sequence[str]
    id_column: str | None
    label_column: str | None
    min_frequency: int | float
    max_categories: int


def described(table: pa.Table, choices: Choices) -> tuple[Column, ...]:
    """The columns of a table, numbers with their types but without mean and scale."""
    _check_named(table.column_names, choices)
    roles: dict[Any, str] = {choices.id_column: "ids", choices.label_column: "labels"}
    found, has_ids = [], choices.id_column is not None
    for name in table.column_names:
        kind = str(table.schema.field(name).type)
        if name in roles:
            found.append(Column(name, roles[name], _known_type(kind)))
        elif name in choices.exclude:
            found.append(Column(name, "left out", why="excluded"))
        else:
            column = _described(name, table.column(name), choices)
            if column.why == _IDS and not has_ids:
                column, has_ids = Column(name, "ids"), True
            elif choices.columns is not None and name not in choices.columns:
                column = Column(name, "left out", why="excluded")
            found.append(column)
    return tuple(found)


def _check_named(names: Sequence[str], choices: Choices) -> None:
    wanted = [*(choices.columns or ()), *choices.exclude, choices.id_column, choices.label_column]
    for name in wanted:
        if name is not None and name not in names:
            hint = did_you_mean(name, names) or f" It has {', '.join(names[:20])}."
            raise ValueError(f"[fit] The table has no column {name!r}.{hint}")


def _known_type(kind: str) -> str:
    """Of ids and labels, which are never made again."""
    return kind if kind in ("int64", "double") else "string"


def _described(name: str, values: Any, choices: Choices) -> Column:
    import pyarrow as pa

    kept = values.type if pa.types.is_dictionary(values.type) else None
    categories = None if kept is None else _categories(values)
    values = plain(values)
    kind, n_known = values.type, len(values) - values.null_count
    if not n_known:
        return Column(name, "left out", why="empty")
    if kept is not None:
        return replace(_classes(name, values, choices, categories), ordered=kept.ordered and categories is not None)
    if pa.types.is_boolean(kind):
        return Column(name, "boolean", "bool")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _number(name, values)
    if is_time(kind):
        column = Column(name, "date", str(kind))
        days = numbers(column, values)
        return Column(name, "date", str(kind), whole=bool((days[~np.isnan(days)] % 1 == 0).all()))
    if is_text(kind):
        return _text(name, values, choices)
    return Column(name, "left out", why=f"neither numbers nor text but {kind}")


def _number(name: str, values: pa.Array) -> Column:
    import pyarrow as pa

    column = Column(name, "number", str(values.type))
    found = numbers(column, values)
    infinite = np.flatnonzero(np.isinf(found))
    if infinite.size:
        raise ValueError(
            f"[fit] column {name!r} must hold finite numbers; row {infinite[0]} holds {found[infinite[0]]}."
        )
    ascend = len(found) >= _FEWEST_ROWS_TO_TELL_IDS and bool((np.diff(found) > 0).all() and (found % 1 == 0).all())
    if ascend and _NAMES_ROWS.fullmatch(name):
        return Column(name, "left out", why=_IDS)
    # pandas holds whole numbers as floating-point numbers where some are missing
    known = found[~np.isnan(found)]
    whole = pa.types.is_floating(values.type) and bool((known % 1 == 0).all())
    written = pa.types.is_float64(values.type) and not whole
    return replace(column, whole=whole, decimals=_decimals(known) if written else None)


def _decimals(values: np.ndarray) -> int | None:
    """The fewest places behind the point with which all values are written; None where there are none so few."""
    if np.abs(values).max(initial=0.0) >= _LARGEST_DECIMAL:
        return None
    places = range(1, MOST_DECIMALS + 1)
    return next((n for n in places if np.array_equal(np.round(values, n), values)), None)


def _text(name: str, values: pa.Array, choices: Choices) -> Column:
    found = texts(values)
    counts = Counter(value for value in found if value is not None)
    for pair in _TRUTHS:
        written = {label.strip().lower(): label for label in counts}
        if len(counts) == 2 and set(written) == set(pair):
            return Column(name, "boolean", labels=tuple(written[label] for label in pair))
    format = _date_format(found, list(counts))
    if format is not None:
        whole = format in DATE_FORMATS[: len(DATE_FORMATS) // 3]  # of the first third, which have no time of day
        return Column(name, "date", whole=whole, format=format)
    if len(counts) == len(values) >= _FEWEST_ROWS_TO_TELL_IDS:
        return Column(name, "left out", why=_IDS)
    return _classes(name, values, choices)


def _date_format(found: np.ndarray, different: list[str]) -> str | None:
    """The format in which all texts are dates; of two, one in which they ascend, if there is one."""
    sample = different[:_LOOKED_AT]
    if len(different) < 2 or not all(map(_DATE_LIKE.fullmatch, sample)):
        return None
    formats = [format for format in DATE_FORMATS if _fits(sample, format) and _fits(different, format)]
    ascending = [format for format in formats if (np.diff(days_of_texts(found, format)) >= 0).all()]
    return next(iter([*ascending, *formats]), None)


def _fits(values: Sequence[str], format: str) -> bool:
    try:
        return all(math.isfinite(days_of(value, format)) for value in values)
    except ValueError:
        return False


def _categories(values: Any) -> tuple[str, ...] | None:
    """All of them; None where they are too many to be kept."""
    import pyarrow as pa

    pieces = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    known = dict.fromkeys(label for piece in pieces for label in texts(plain(piece.dictionary)) if label is not None)
    return tuple(known) if len(known) <= _CATEGORIES_KEPT else None


def _classes(name: str, values: pa.Array, choices: Choices, categories: tuple[str, ...] | None = None) -> Column:
    found = texts(values)
    counts = Counter(value for value in found if value is not None)
    n_known = sum(counts.values())
    share = choices.min_frequency
    least = share if isinstance(share, int) else max(2, math.ceil(share * len(found)))
    common = [label for label, n in counts.most_common() if n >= least][: choices.max_categories]
    if len(common) == len(counts) - 1 < choices.max_categories:
        common = list(counts)  # one class alone has nothing to be joined with
    covered = sum(counts[label] for label in common) / n_known
    if covered < _COVERED:
        return Column(name, "left out", why=f"{len(counts)} different texts in {n_known} rows")
    known = set(common)
    order = sorted(common) if categories is None else [label for label in categories if label in known]
    joined = len(counts) - len(common)
    return Column(name, "class", str(values.type), labels=tuple(order), joined=joined, categories=categories)

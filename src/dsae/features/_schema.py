"""What each column of a mixed table is, and which features it becomes: records that JSON can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from dsae.config import known_keys, one_of

FIRST_DAY, LAST_DAY = -719_162, 2_932_896  # since 1970: the years 1 to 9999, which Python's dates hold
KINDS = ("number", "date", "boolean", "class", "ids", "labels", "left out")
CONTAINERS = ("pandas", "polars", "arrow", "array")
MISSING = ("mask", "fill")
MOST_DECIMALS = 9
OTHER = "(other)"
"""The label of all classes that are joined."""

_DIGITS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y")
_SHORT = ("%m/%d/%y", "%d/%m/%y", "%Y-%m")
_WORDS = ("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%b %Y", "%B %Y")
DATE_FORMATS = tuple(day + time for time in ("", " %H:%M", " %H:%M:%S") for day in (*_DIGITS, *_SHORT, *_WORDS))
"""How dates may be written in text, as `datetime.strptime` has it; the first that fits all values is taken."""

_UNIT = r"\[(s|ms|us|ns)"
_ARROW = re.compile(
    r"u?int(8|16|32|64)|halffloat|float|double|bool|string|date(32\[day\]|64\[ms\])|decimal(32|64|128|256)\(\d{1,2}, "
    rf"-?\d{{1,2}}\)|time(32|64){_UNIT}\]|duration{_UNIT}\]|timestamp{_UNIT}(, tz=[\w+-][\w+/:-]{{0,63}})?\]"
)
NULLABLE = re.compile(r"(string|boolean|U?[Ii]nt(8|16|32|64)|[Ff]loat(16|32|64))(\[(python|pyarrow)\])?")
"""Dtypes of pandas that are lost in Arrow."""
_LARGEST = 1e300  # of means and scales: their product with a value of a row is still a number
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # halves of characters, which JSON may hold and Arrow may not
_FROM_JSON: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    kind : {"number", "date", "boolean", "class", "ids", "labels", "left out"}
        The last three become no feature.
    type : str
        Arrow's name of the type of its values, to which they return.
    dtype : str, optional
        That of pandas, where Arrow's does not imply it.
    mean, scale : float
        Of numbers, and of dates in days since 1970: subtracted, and divided by. A scale of 0 means that all values are
        equal to the mean: no feature. Of truth values, the share that is true.
    whole : bool
        Whether dates are whole days, and floating-point numbers whole numbers.
    decimals : int, optional
        Places behind the point with which numbers of double precision are written; None where they have more than 9.
    labels : tuple of str
        Of classes, each a feature, in its order; of booleans in text, what false and true are written as.
    joined : int
        How many rare classes share one more feature.
    categories : tuple of str, optional
        All that a column of categories may hold.
    ordered : bool
        Whether these have an order.
    format : str, optional
        How dates are written in text; one of ``DATE_FORMATS``.
    why : str
        Why it is left out.
    """

    name: str
    kind: str
    type: str = "string"
    dtype: str | None = None
    mean: float = 0.0
    scale: float = 0.0
    whole: bool = False
    decimals: int | None = None
    labels: tuple[str, ...] = ()
    joined: int = 0
    categories: tuple[str, ...] | None = None
    ordered: bool = False
    format: str | None = None
    why: str = ""

    @property
    def is_feature(self) -> bool:
        """Whether its values can be told from features, if only because all of them are equal."""
        return self.kind in ("number", "date", "boolean", "class")

    @property
    def is_measured(self) -> bool:
        """Whether it is a number with mean and scale."""
        return self.kind in ("number", "date")

    @cached_property
    def all_labels(self) -> list[str]:
        """Of a class, one for each feature, the joined ones as one; a column of one class has no feature."""
        if not self.joined:
            return list(self.labels)
        other = OTHER
        while other in self.labels:
            other += "'"
        return [*self.labels, other]

    @property
    def features(self) -> list[str]:
        """Names of its features."""
        if self.kind == "class":
            return [f"{self.name}={label}" for label in self.all_labels] if len(self.all_labels) > 1 else []
        varies = self.kind == "boolean" or (self.is_measured and self.scale > 0)
        return [self.name] if varies else []

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON can hold it."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    @classmethod
    def from_dict(cls, content: Any) -> Column:
        """The reverse of `to_dict`, from an untrusted file.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a column must be a mapping; got {type(content).__name__}.")
        known_keys("a column", content, tuple(f.name for f in fields(cls)))
        column = cls(**{"name": None, "kind": None, **_checked(content)})
        if not isinstance(column.name, str):
            raise ValueError(f"a column must have a name; got {column.name!r}.")
        one_of(f"the kind of column {column.name!r}", column.kind, KINDS)
        fault = _fault(column)
        if fault:
            raise ValueError(f"column {column.name!r} {fault}.")
        return column


def _checked(content: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the types that the fields have."""
    found: dict[str, Any] = {}
    for field in fields(Column):
        if field.name not in content:
            continue
        found[field.name] = _of_type(field.name, str(field.type), content[field.name])
    return found


def _of_type(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
            raise ValueError(f"{name} of a column must be a list of texts; got {type(value).__name__}.")
        value = tuple(value)
    elif (type(value) is bool and kind != "bool") or not isinstance(value, _FROM_JSON[kind.partition(" |")[0]]):
        raise ValueError(f"{name} of a column must be {kind}; got {value!r:.60}.")
    if any(_SURROGATES.search(text) for text in (value if type(value) is tuple else [value]) if type(text) is str):
        raise ValueError(f"{name} of a column must be whole characters; got {value!r:.60}.")
    number: Any = value
    return float(number) if kind == "float" and abs(number) < _LARGEST else number


def _fault(column: Column) -> str:
    """What contradicts the rest of a column, or an empty string."""
    measured = type(column.mean) is type(column.scale) is float
    if not measured or not max(abs(column.mean), abs(column.scale)) < _LARGEST or math.isnan(column.scale):
        return "must have a finite mean and scale"
    if column.scale < 0 or type(column.joined) is not int or column.joined < 0:
        return f"must have a scale and a number of joined classes of at least 0; got {column.scale}, {column.joined}"
    if _ARROW.fullmatch(column.type) is None:
        return f"has a type that dsae does not know: {column.type!r:.60}"
    if column.dtype is not None and NULLABLE.fullmatch(column.dtype) is None:
        return f"has a dtype that dsae does not know: {column.dtype!r:.60}"
    if column.decimals is not None and not 0 < column.decimals <= MOST_DECIMALS:
        return f"must have 1 to {MOST_DECIMALS} decimals; got {column.decimals}"
    if column.format is not None and column.format not in DATE_FORMATS:
        return f"has a format of dates that dsae does not know: {column.format!r:.60}"
    if len(set(column.labels)) != len(column.labels) or (column.kind == "class" and not column.labels):
        return "must have labels, each once"
    if column.kind == "boolean" and len(column.labels) != (0 if column.type == "bool" else 2):
        return f"must have two labels; got {len(column.labels)}"
    if column.categories is not None:
        known = set(column.categories)
        if len(known) != len(column.categories) or not known.issuperset(column.labels):
            return "must have its labels among its categories, each once"
    return ""


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in their order; see `TableRows`.

    Parameters
    ----------
    columns : tuple of Column
    container : {"pandas", "polars", "arrow", "array"}
        What held the table, and holds what is made of features again.
    missing : {"mask", "fill"}

    Examples
    --------
    >>> colour = Column("colour", "class", labels=("blue", "red"), joined=3)
    >>> schema = Schema((colour, Column("age", "number", "int64", mean=40.0, scale=9.5)))
    >>> schema.feature_names
    ['colour=blue', 'colour=red', 'colour=(other)', 'age']
    >>> Schema.from_dict(schema.to_dict()) == schema
    True
    """

    columns: tuple[Column, ...]
    container: str = "arrow"
    missing: str = "mask"

    @property
    def n_features(self) -> int:
        """Features of all columns."""
        return len(self.feature_names)

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of the features, no two of them equal."""
        names: dict[str, None] = {}
        for column in self.columns:
            for name in column.features:
                unique, n = name, 2
                while unique in names:  # a class "b=c" of "a", say, beside a class "c" of "a=b"
                    unique, n = f"{name} ({n})", n + 1
                names[unique] = None
        return list(names)

    @property
    def spans(self) -> list[tuple[Column, slice]]:
        """The columns that can be told from features, and which features those are."""
        found, start = [], 0
        for column in self.columns:
            stop = start + len(column.features)
            if column.is_feature:
                found.append((column, slice(start, stop)))
            start = stop
        return found

    def in_units(self, feature: int, value: float) -> float | str:
        """A value of a feature as its column has it: a number in its own units, a date in ISO 8601."""
        column = next(column for column, span in self.spans if span.start <= feature < span.stop)
        if not column.is_measured or not math.isfinite(value):
            return value
        found = value * column.scale + column.mean
        if column.kind == "number":
            return found
        return (date(1970, 1, 1) + timedelta(min(max(round(found), FIRST_DAY), LAST_DAY))).isoformat()

    def named(self, kind: str) -> str | None:
        """The column of row ids or of labels."""
        return next((column.name for column in self.columns if column.kind == kind), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "columns": [column.to_dict() for column in self.columns]}

    @classmethod
    def from_dict(cls, content: Any) -> Schema:
        """The reverse of `to_dict`, from an untrusted file.

        Raises
        ------
        ValueError
            If it is no such thing.
        """
        if not isinstance(content, dict) or not isinstance(content.get("columns"), list):
            raise ValueError("a table must be a mapping with a list of columns.")
        known_keys("a table", content, tuple(f.name for f in fields(cls)))
        schema = cls(**{**content, "columns": tuple(map(Column.from_dict, content["columns"]))})
        one_of("the container of a table", schema.container, CONTAINERS)
        one_of("missing of a table", schema.missing, MISSING)
        names = [column.name for column in schema.columns]
        if len(set(names)) != len(names):
            raise ValueError("the columns of a table must have different names.")
        if not schema.n_features:
            raise ValueError("a table must have features.")
        return schema

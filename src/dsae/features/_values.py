"""Values of a column as numbers or labels, and back: Arrow's arrays on one side, numpy's on the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.features._schema import FIRST_DAY, LAST_DAY, Column

if TYPE_CHECKING:
    import pyarrow as pa

_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_EPOCH = datetime(1970, 1, 1)
_INT64 = 2.0**63 - 1024  # the largest float below the largest number


def type_named(name: str) -> pa.DataType:
    """Arrow's type of a name that a `Column` may have."""
    import pyarrow as pa

    head, _, rest = name.rstrip("])").replace("(", "[").partition("[")
    parts = [part.strip() for part in rest.split(",")]
    if head == "timestamp":
        return pa.timestamp(parts[0], tz=parts[1].removeprefix("tz=") if len(parts) > 1 else None)
    if head.startswith("decimal"):
        return getattr(pa, head)(int(parts[0]), int(parts[1]))
    return pa.type_for_alias(name)


def plain(values: Any) -> pa.Array:
    """One array, without a dictionary, of Arrow's plain type of text where it is text."""
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        pieces = [plain(piece) for piece in values.chunks]
        return pa.concat_arrays(pieces) if pieces else plain(pa.array([], values.type))
    if pa.types.is_dictionary(values.type):
        return plain(values.dictionary).take(values.indices)
    return values.cast(pa.string()) if is_text(values.type) else values


def is_text(kind: Any) -> bool:
    """Whether a type is one of text."""
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_time(kind: Any) -> bool:
    """Whether a type is one of dates, times or durations."""
    from pyarrow import types

    return types.is_temporal(kind) and not types.is_interval(kind)


def texts(values: pa.Array) -> np.ndarray:
    """Objects: what values are as text, None where one is missing."""
    import pyarrow as pa

    return np.asarray(values.cast(pa.string()).to_numpy(zero_copy_only=False), object)


def numbers(column: Column, values: pa.Array) -> np.ndarray:
    """Float64, NaN where a value is missing; dates as days since 1970, of booleans 0 and 1.

    Raises
    ------
    ValueError
        If the values are of another kind than the column's.
    """
    import pyarrow as pa

    try:
        if column.kind == "date":
            return _days(column, values)
        if column.kind == "boolean" and (is_text(values.type) or pa.types.is_boolean(values.type)):
            return _truths(column, texts(values))
        # Unsafe: what decimals and large integers lose does not matter to a model.
        return np.array(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except (pa.ArrowException, ValueError) as error:
        what = {"date": "dates", "boolean": "true or false"}.get(column.kind, "numbers")
        raise ValueError(f"column {column.name!r} must hold {what}, as in training; {error}") from None


def _truths(column: Column, values: np.ndarray) -> np.ndarray:
    """Whether texts are true, as in training or in English."""
    no, yes = (label.lower() for label in column.labels or ("false", "true"))
    known = {None: np.nan, "false": 0.0, "true": 1.0, no: 0.0, yes: 1.0}
    found = [value if value is None else value.strip().lower() for value in values]
    odd = next((value for value, key in zip(values, found, strict=True) if key not in known), None)
    if odd is not None:
        raise ValueError(f"got {odd!r}")
    return np.array([known[key] for key in found])


def _days(column: Column, values: pa.Array) -> np.ndarray:
    import pyarrow as pa

    if is_text(values.type) and column.format is not None:
        return days_of_texts(texts(values), column.format)
    if not is_time(values.type):
        values = values.cast(pa.timestamp("us"))
    unit = getattr(values.type, "unit", "ms")  # date64 has none
    if pa.types.is_date32(values.type):
        return np.array(values.cast(pa.int32()).to_numpy(zero_copy_only=False), np.float64)
    width = pa.int32() if pa.types.is_time32(values.type) else pa.int64()
    return np.array(values.cast(width).to_numpy(zero_copy_only=False), np.float64) / _PER_DAY[unit]


def days_of_texts(values: np.ndarray, format: str) -> np.ndarray:
    """Days since 1970, NaN where a value is missing.

    Raises
    ------
    ValueError
        If a value is written in another format.
    """
    known = {value: days_of(value, format) for value in set(values) if value is not None}
    return np.array([np.nan if value is None else known[value] for value in values])


def days_of(value: str, format: str) -> float:
    """Days since 1970."""
    return (datetime.strptime(value.strip(), format) - _EPOCH) / timedelta(days=1)


def decoded(column: Column, block: np.ndarray) -> pa.Array:
    """The values that features mean, of the column's own type; missing where a feature is NaN.

    Parameters
    ----------
    column : Column
    block : ndarray, shape (n_rows, n_features of the column)
        Numbers in their own units.
    """
    import pyarrow as pa

    missing: Any = np.isnan(block).any(axis=1)
    if column.kind == "class":
        which = np.where(np.isnan(block), 0, block).argmax(axis=1) if block.shape[1] else np.zeros(len(block), int)
        return _labels(column, which, missing)
    values = block[:, 0] if block.shape[1] else np.full(len(block), column.mean)
    if column.kind == "boolean":
        if column.labels:
            return _labels(column, (values > 0.5).astype(int), missing)
        return pa.array(values > 0.5, mask=missing)
    values = np.where(missing, 0, values)
    if column.kind == "date":
        return _dates(column, values, missing)
    return _numbers(column, values, missing)


def _labels(column: Column, which: np.ndarray, missing: Any) -> pa.Array:
    import pyarrow as pa

    labels = column.all_labels if column.kind == "class" else list(column.labels)
    kind = type_named(column.type)
    if column.categories is not None:
        known = [*column.categories, *(label for label in labels if label not in column.categories)]
        at = np.array([known.index(label) for label in labels], np.int32)
        used = known if (which >= len(column.labels)).any() else known[: len(column.categories)]
        return pa.DictionaryArray.from_arrays(
            pa.array(at[which], mask=missing), _of_texts(used, kind), ordered=column.ordered
        )
    return _of_texts(labels, kind).take(pa.array(which, mask=missing))


def _of_texts(labels: Sequence[str], kind: Any) -> pa.Array:
    """Labels of the type that they had; None where there is no such value, as of classes that are joined."""
    import pyarrow as pa

    found = []
    for label in labels:
        try:
            found.append(pa.scalar(label).cast(kind))
        except pa.ArrowException:
            found.append(pa.scalar(None, kind))
    return pa.array([scalar.as_py() for scalar in found], kind)


def _numbers(column: Column, values: np.ndarray, missing: Any) -> pa.Array:
    import pyarrow as pa

    kind = type_named(column.type)
    if pa.types.is_integer(kind):
        dtype = np.dtype(kind.to_pandas_dtype())
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = np.clip(np.rint(values), max(low, -_INT64), min(high, _INT64))
        return pa.array(values.astype(dtype), kind, mask=missing)
    if pa.types.is_decimal(kind):
        most = 10.0 ** (kind.precision - kind.scale) * (1 - 1e-15)  # below the first number with a digit too many
        values = np.round(np.clip(values, -most, most), min(kind.scale, 15))  # float64 has no more digits
        return pa.array(values, pa.float64(), mask=missing).cast(kind, safe=False)
    if pa.types.is_boolean(kind):
        return pa.array(values > 0.5, mask=missing)
    if column.whole:
        values = np.rint(values)
    elif column.decimals is not None:
        values = np.round(values, column.decimals)
    return pa.array(values, pa.float64(), mask=missing).cast(kind, safe=False)


def _dates(column: Column, values: np.ndarray, missing: Any) -> pa.Array:
    import pyarrow as pa

    days = np.clip(np.rint(values) if column.whole else values, FIRST_DAY, LAST_DAY)
    if column.format is not None:
        written = [(_EPOCH + timedelta(days=day)).strftime(column.format) for day in days.tolist()]
        return pa.array(written, mask=missing)
    kind = type_named(column.type)
    if pa.types.is_date32(kind):
        return pa.array(np.rint(days).astype(np.int32), mask=missing).cast(kind)
    per_day = _PER_DAY[getattr(kind, "unit", "ms")]
    if pa.types.is_time(kind):
        days = np.clip(days, 0, 1 - 1 / per_day)  # the last tick before midnight
    ticks = np.clip(np.rint(days * per_day), -_INT64, _INT64).astype(np.int64)
    if pa.types.is_time32(kind):
        return pa.array(ticks.astype(np.int32), mask=missing).cast(kind)
    return pa.array(ticks, mask=missing).cast(kind)

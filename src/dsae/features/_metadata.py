"""Rows of a table that names the files of each, beside texts and numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dsae.config import did_you_mean, listed
from dsae.data import read_tables
from dsae.features._found import Columns, Found
from dsae.features._items import BadItemError
from dsae.features._kinds import inside, kind_of, some
from dsae.features._values import is_text

_FILE, _MANY_FILES = "file_name", "_file_name"
_ID, _LABEL = "id", "label"
_TABLE = "table"
_LONGEST_LINE = 1 << 24


def of_table(folder: Path, path: Path, names: Sequence[str], columns: Columns) -> Found:
    """Rows of a table as Hugging Face data sets have it: columns of names of files, of texts, and of numbers."""
    table = _read(path, columns)
    for name in (columns.id_column, columns.label_column, *columns.text_columns, *columns.exclude):
        if name is not None and name not in table.column_names:
            hint = did_you_mean(name, table.column_names) or f" It has {listed(table.column_names[:20])}."
            raise ValueError(f"[prepare] {path} has no column {name!r}.{hint}")
    id_column, label_column = (
        given or (usual if usual in table.column_names else None)
        for given, usual in ((columns.id_column, _ID), (columns.label_column, _LABEL))
    )
    rest = [name for name in table.column_names if name not in (id_column, label_column, *columns.exclude)]
    found, used, numbers, of = Found({}, {}, []), Counter[str](), [], dict[str, str]()
    for name in rest:
        values = table.column(name)
        if name == _FILE or name.endswith(_MANY_FILES):
            modality, kind = _kind_of_column(path, name, values.to_pylist())
            _claim(path, of, modality, name)
            found.kinds[modality] = kind
            found.items[modality] = [_item(folder, value, used) for value in values.to_pylist()]
        elif is_text(values.type):
            _claim(path, of, name, name)
            found.kinds[name] = "text"
            found.items[name] = values.to_pylist()
        else:
            numbers.append(name)
    if numbers:
        _claim(path, of, _TABLE, numbers[0])
        found.kinds[_TABLE], found.table = "table", table.select(numbers)
        found.items[_TABLE] = list(range(table.num_rows))
    if not found.kinds or not table.num_rows:
        raise ValueError(
            f"[prepare] {path} must have rows, and columns of files, texts or numbers beside ids and labels."
        )
    found.labels = None if label_column is None else table.column(label_column).to_pylist()
    found.ids = _ids(path, table, id_column, found)
    unused = [name for name in names if name not in used and kind_of(name) is not None]
    if unused:
        found.notes.append(f"{len(unused)} files are not in {path.name} and are left out: {some(unused)}")
    often = [name for name, n in used.items() if n > 1]
    if often:
        found.notes.append(f"{len(often)} files are in more than one cell of {path.name}: {some(often)}")
    return found


def _claim(path: Path, of: dict[str, str], modality: str, column: str) -> None:
    """Raise if another column is this modality already."""
    if modality in of:
        raise ValueError(
            f"[prepare] {path} must have one column for each modality; {of[modality]!r} and {column!r} are both "
            f"{modality!r}. Rename or exclude one of them."
        )
    of[modality] = column


def _read(path: Path, columns: Columns) -> Any:
    import pyarrow as pa

    if path.suffix == ".jsonl":
        rows = _lines(path)
        names = dict.fromkeys(name for row in rows for name in row)
        columns_of = {name: [row.get(name) for row in rows] for name in names}
        return pa.table({name: _one_type(path, name, values) for name, values in columns_of.items()})
    given = (columns.id_column, columns.label_column, *columns.text_columns, *columns.texts)
    texts = tuple(dict.fromkeys(name for name in (*given, _ID, _LABEL, _FILE, "text") if name is not None))
    ((_, table),) = read_tables(path, texts=texts)
    return table


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    with open(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(
                    f"[prepare] {path} must hold an object of JSON in each line; line {number}: {error}."
                ) from None
            if not isinstance(row, dict) or any(isinstance(value, (dict, list)) for value in row.values()):
                raise ValueError(
                    f"[prepare] {path} must hold an object of plain values in each line; line {number} does not."
                )
            rows.append(row)
    return rows


def _one_type(path: Path, name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError):
        types = sorted({type(value).__name__ for value in values if value is not None})
        raise ValueError(
            f"[prepare] {path} column {name!r} must hold values of one type that tables can hold; got {listed(types)}. "
            "Write all of them as text, in quotation marks."
        ) from None


def _kind_of_column(path: Path, column: str, values: Sequence[Any]) -> tuple[str, str]:
    kinds = {kind_of(str(value)) for value in values if value is not None}
    if len(kinds) != 1 or None in kinds:
        got = listed(sorted(kind or "files of another kind" for kind in kinds)) if kinds else "nothing"
        raise ValueError(
            f"[prepare] {path} column {column!r} must name files of one kind (pictures, sounds or .txt); got {got}. "
            "Give every kind a column of its own, such as image_file_name and audio_file_name."
        )
    (kind,) = kinds
    return (str(kind) if column == _FILE else column.removesuffix(_MANY_FILES)), str(kind)


def _item(folder: Path, value: Any, used: Counter[str]) -> Any:
    if value is None or not str(value).strip():
        return None
    name = PurePosixPath(str(value)).as_posix()
    used[name] += 1
    try:
        return inside(folder, name)
    except BadItemError as error:
        return BadItemError(f"{name!r:.200} {error}")


def _ids(path: Path, table: Any, column: str | None, found: Found) -> list[str]:
    """Those of the column of ids, else names of files without their ending where they differ, else numbers."""
    if column is not None:
        values = table.column(column).to_pylist()
        empty = next((row for row, value in enumerate(values) if value is None), None)
        if empty is not None:
            raise ValueError(f"[prepare] {path} column {column!r} must name every row; row {empty} is empty.")
        return [str(value) for value in values]
    for name, kind in found.kinds.items():
        paths = [item for item in found.items[name] if isinstance(item, Path)] if kind != "table" else []
        if len(paths) == table.num_rows:
            names = [item.with_suffix("").name for item in paths]
            if len(set(names)) == len(names):
                return names
    return [str(row) for row in range(table.num_rows)]

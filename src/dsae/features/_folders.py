"""Pictures, sounds and texts in a folder, as rows: by equal names of files, by classes, or by a table of names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dsae.config import check_modality, did_you_mean, listed
from dsae.data import read_tables
from dsae.features._items import BadItemError
from dsae.features._kinds import files_in, in_order, inside, kind_of, some
from dsae.features._tars import is_tar, tar_rows
from dsae.features._values import is_text

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE, _MANY_FILES = "file_name", "_file_name"
_ID, _LABEL = "id", "label"
_TABLE = "table"
_LONGEST_LINE = 1 << 24


@dataclass
class Found:
    """What a folder holds.

    Attributes
    ----------
    kinds : dict of str to str
        From the name of a modality to ``image``, ``audio``, ``text`` or ``table``.
    items : dict of str to list
        Paths, texts, slices of archives or `BadItemError` by modality, None where a row lacks it; of a ``table`` the
        numbers of its rows.
    ids : list of str
    labels : list of str, or None
    table : pyarrow.Table, optional
    notes : list of str
    """

    kinds: dict[str, str]
    items: dict[str, list[Any]]
    ids: list[str]
    labels: list[Any] | None = None
    table: Any = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Columns:
    """What the columns of a table of files are."""

    id_column: str | None = None
    label_column: str | None = None
    text_columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def found_in(folder: str | Path, columns: Columns) -> Found:
    """The rows of a folder.

    Raises
    ------
    ValueError
        If it holds none, or names of rows repeat.
    OSError
        If it cannot be read.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"[prepare] {folder} does not exist; check the path.")
    if is_tar(folder.name) and folder.is_file():
        found = _of_tars([folder])
    elif not folder.is_dir():
        raise ValueError(f"[prepare] {folder} must be a folder of files, or a .tar file.")
    else:
        names = files_in(folder)
        tables = [name for name in METADATA if name in names]
        if len(tables) > 1:
            raise ValueError(f"[prepare] {folder} must have one table of files; got {listed(tables)}.")
        if tables:
            found = _of_table(folder, folder / tables[0], [name for name in names if name != tables[0]], columns)
        elif names and all(map(is_tar, names)):
            found = _of_tars([folder / name for name in names])
        else:
            found = _of_names(folder, names)
    for name in found.kinds:
        try:
            check_modality(name)
        except ValueError as error:
            raise ValueError(f"[prepare] {folder}: {error}") from None
    _check_ids(folder, found.ids)
    return found


def _check_ids(folder: Path, ids: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in seen:
            raise ValueError(
                f"[prepare] {folder} must name every row differently; rows {seen[name]} and {row}, counted from 0, are "
                f"both {name!r:.200}."
            )
        seen[name] = row


def _of_names(folder: Path, names: Sequence[str]) -> Found:
    """Rows of files with equal names up to their ending; subfolders are modalities, or else classes."""
    kinds = {name: kind for name in names if (kind := kind_of(name)) is not None}
    if not kinds:
        nested = [name for name in names if PurePosixPath(name).name in METADATA]
        hint = f" Prepare {PurePosixPath(nested[0]).parent} by itself." if nested else ""
        raise ValueError(
            f"[prepare] {folder} must hold pictures, sounds or texts (.txt); it holds {some(names)}.{hint}"
        )
    by_folder = _kinds_by_folder(kinds)
    rows: dict[str, dict[str, Any]] = {}
    modalities: dict[str, str] = {}
    for name, kind in kinds.items():
        path = PurePosixPath(name)
        inner = PurePosixPath(*path.parts[1:]) if by_folder else path
        modality = by_folder[path.parts[0]] if by_folder else kind
        modalities[modality] = kind
        row = rows.setdefault(inner.with_suffix("").as_posix(), {})
        if modality in row:
            row[modality] = BadItemError(f"{name} must be the only {modality} of that name; there is another one")
            continue
        try:
            row[modality] = inside(folder, name)
        except BadItemError as error:
            row[modality] = BadItemError(f"{name} {error}")
    ids = sorted(rows, key=in_order)
    classes = [PurePosixPath(name).parts[0] if len(PurePosixPath(name).parts) > 1 else None for name in ids]
    found = Found(
        {name: modalities[name] for name in sorted(modalities)},
        {name: [rows[row].get(name) for row in ids] for name in sorted(modalities)},
        ids,
        classes if any(name is not None for name in classes) else None,
    )
    _note_others(found, [name for name in names if name not in kinds])
    return found


def _kinds_by_folder(kinds: Mapping[str, str]) -> dict[str, str]:
    """Names of modalities by the subfolders that hold them; empty where subfolders are classes, or there are none.

    Subfolders are modalities if each holds files of one kind, not all of the same, and names recur among them.
    """
    of: dict[str, set[str]] = {}
    stems: dict[str, set[str]] = {}
    for name, kind in kinds.items():
        path = PurePosixPath(name)
        if len(path.parts) == 1:
            return {}
        of.setdefault(path.parts[0], set()).add(kind)
        stems.setdefault(path.parts[0], set()).add(PurePosixPath(*path.parts[1:]).with_suffix("").as_posix())
    if any(len(some_kinds) > 1 for some_kinds in of.values()) or len(set().union(*of.values())) < 2:
        return {}
    if sum(map(len, stems.values())) == len(set().union(*stems.values())):
        return {}
    single = {folder: next(iter(some_kinds)) for folder, some_kinds in of.items()}
    twice = {kind for kind in single.values() if list(single.values()).count(kind) > 1}
    return {folder: folder if kind in twice else kind for folder, kind in single.items()}


def _of_tars(paths: Sequence[Path]) -> Found:
    kinds: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    ids: list[str] = []
    others: list[str] = []
    for path in paths:
        for name, row, left in tar_rows(path):
            ids.append(name)
            rows.append({modality: item for modality, (_, item) in row.items()})
            kinds |= {modality: kind for modality, (kind, _) in row.items() if modality != _LABEL}
            others += left
    if not kinds:
        raise ValueError(f"[prepare] {paths[0]} must hold pictures, sounds or texts; it holds {some(others)}.")
    labels = [row.get(_LABEL) for row in rows]
    known = any(label is not None for label in labels)
    found = Found(kinds, {name: [row.get(name) for row in rows] for name in kinds}, ids, labels if known else None)
    _note_others(found, others)
    return found


def _of_table(folder: Path, path: Path, names: Sequence[str], columns: Columns) -> Found:
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
    found, used, numbers = Found({}, {}, []), set[str](), []
    for name in rest:
        values = table.column(name)
        if name == _FILE or name.endswith(_MANY_FILES):
            modality, kind = _kind_of_column(path, name, values.to_pylist())
            found.kinds[modality] = kind
            found.items[modality] = [_item(folder, value, used) for value in values.to_pylist()]
        elif is_text(values.type):
            found.kinds[name] = "text"
            found.items[name] = values.to_pylist()
        else:
            numbers.append(name)
    if numbers:
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
    return found


def _read(path: Path, columns: Columns) -> Any:
    import pyarrow as pa

    if path.suffix == ".jsonl":
        return pa.Table.from_pylist(_lines(path))
    given = (columns.id_column, columns.label_column, *columns.text_columns)
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
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


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


def _item(folder: Path, value: Any, used: set[str]) -> Any:
    if value is None or not str(value).strip():
        return None
    name = PurePosixPath(str(value)).as_posix()
    used.add(name)
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


def _note_others(found: Found, names: Sequence[str]) -> None:
    if names:
        found.notes.append(f"{len(names)} files are neither pictures, sounds nor texts and are left out: {some(names)}")

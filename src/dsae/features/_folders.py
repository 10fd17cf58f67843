"""Pictures, sounds and texts in a folder, as rows: by equal names of files, by classes, or by a table of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dsae.config import check_modality, listed
from dsae.features._found import Columns, Found
from dsae.features._items import BadItemError
from dsae.features._kinds import files_in, in_order, inside, kind_of, some
from dsae.features._metadata import of_table
from dsae.features._tars import is_tar, tar_rows

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


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
        _refuse_columns(folder, columns)
    elif not folder.is_dir():
        raise ValueError(f"[prepare] {folder} must be a folder of files, or a .tar file.")
    else:
        names, linked = files_in(folder)
        tables = [name for name in METADATA if name in names]
        if len(tables) > 1:
            raise ValueError(f"[prepare] {folder} must have one table of files; got {listed(tables)}.")
        if tables:
            found = of_table(folder, folder / tables[0], [name for name in names if name != tables[0]], columns)
        else:
            _refuse_columns(folder, columns)
            tars = names and all(map(is_tar, names))
            found = _of_tars([folder / name for name in names]) if tars else _of_names(folder, names)
        if linked:
            found.notes.append(f"{len(linked)} linked subfolders are not followed: {some(linked)}")
    for name in found.kinds:
        try:
            check_modality(name)
        except ValueError as error:
            raise ValueError(f"[prepare] {folder}: {error}") from None
    _check_ids(folder, found.ids)
    return found


def _refuse_columns(folder: Path, columns: Columns) -> None:
    named = [columns.id_column, columns.label_column, *columns.text_columns, *columns.exclude]
    name = next((name for name in named if name is not None), None)
    if name is not None:
        raise ValueError(
            f"[prepare] {folder} must have {listed(METADATA)} for a column {name!r}; it has no table of files. Leave "
            "the column out."
        )


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
            f"[prepare] {folder} must hold pictures, sounds or texts (.txt); it holds {some(names) or 'no file'}.{hint}"
        )
    by_folder = _kinds_by_folder(kinds)
    above = _above(kinds, bool(by_folder))
    kinds = {name: kind for name, kind in kinds.items() if name not in above}
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
    _check_together(folder, rows, modalities)
    ids = sorted(rows, key=in_order)
    classes = [PurePosixPath(name).parts[0] if len(PurePosixPath(name).parts) > 1 else None for name in ids]
    found = Found(
        {name: modalities[name] for name in sorted(modalities)},
        {name: [rows[row].get(name) for row in ids] for name in sorted(modalities)},
        ids,
        classes if any(name is not None for name in classes) else None,
    )
    _note_others(found, [name for name in names if kind_of(name) is None])
    if len(modalities) > 1 and all(len(row) == 1 for row in rows.values()):
        kept = listed(sorted(modalities))
        found.notes.append(f"No two files have equal names up to their ending, so every row has one of {kept}.")
    if above:
        found.notes.append(f"{len(above)} files lie beside the subfolders and are left out: {some(above)}")
    return found


def _above(kinds: Mapping[str, str], by_folder: bool) -> list[str]:
    """Files beside subfolders that are no rows, such as README.txt.

    Where subfolders are classes, a file of a kind that they hold as well is a row without a class.
    """
    nested = {kind for name, kind in kinds.items() if "/" in name}
    root = [name for name in kinds if "/" not in name]
    return [name for name in root if nested and (by_folder or kinds[name] not in nested)]


def _check_together(folder: Path, rows: Mapping[str, Mapping[str, Any]], modalities: Mapping[str, str]) -> None:
    """Raise if there are several modalities, in subfolders, and no row has two of them."""
    if len(modalities) > 1 and any("/" in name for name in rows) and all(len(row) == 1 for row in rows.values()):
        raise ValueError(
            f"[prepare] {folder} must have rows with several of {listed(sorted(modalities))}, and no two files belong "
            "together: give those of a row equal names up to their ending (images/7.png, sound/7.wav), name them in "
            "metadata.csv, or prepare each kind by itself."
        )


def _kinds_by_folder(kinds: Mapping[str, str]) -> dict[str, str]:
    """Names of modalities by the subfolders that hold them; empty where subfolders are classes, or there are none.

    Subfolders are modalities if each holds files of one kind, not all of the same, and names recur among them.
    """
    of: dict[str, set[str]] = {}
    stems: dict[str, set[str]] = {}
    for name, kind in kinds.items():
        path = PurePosixPath(name)
        if len(path.parts) == 1:
            continue
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
    all_rows = [row for path in paths for row in tar_rows(path)]
    rows = [row for row in all_rows if row.items]
    others = [name for row in all_rows for name in row.others]
    for row in rows:
        kinds |= row.kinds
    if not kinds:
        held = some(others) or "no file"
        raise ValueError(f"[prepare] {paths[0]} must hold pictures, sounds or texts; it holds {held}.")
    labels = [row.label for row in rows]
    known = any(label is not None for label in labels)
    items = {name: [row.items.get(name) for row in rows] for name in kinds}
    found = Found(kinds, items, [row.name for row in rows], labels if known else None)
    _note_others(found, others)
    if len(rows) < len(all_rows):
        bare = [row.name for row in all_rows if not row.items]
        found.notes.append(f"{len(bare)} rows have no picture, sound or text and are left out: {some(bare)}")
    return found


def _note_others(found: Found, names: Sequence[str]) -> None:
    if names:
        found.notes.append(f"{len(names)} files are neither pictures, sounds nor texts and are left out: {some(names)}")

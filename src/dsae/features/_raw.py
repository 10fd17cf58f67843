"""Pictures, sounds and texts as rows of a trained model, by the encoders that it was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsae.data import JointSource
from dsae.features._folders import METADATA, found_in
from dsae.features._found import Columns, Found
from dsae.features._items import BadItemError, Notes, is_missing
from dsae.features._kinds import files_in, kind_of
from dsae.features._prepare import ENCODERS
from dsae.features._tars import Slice, is_tar

_CALLED = {"image": "pictures", "audio": "sounds", "text": "texts", "table": "numbers"}


@dataclass
class RawRows:
    """Rows that encoders have made of files.

    Attributes
    ----------
    rows : dict of str to ndarray or csr_matrix of float32, shape (n_rows, n_features)
        By modality.
    present : dict of str to ndarray of bool, shape (n_rows,)
        Which rows have each modality.
    ids : list of str
    labels : list, or None
    """

    rows: dict[str, Any]
    present: dict[str, np.ndarray]
    ids: list[str]
    labels: list[Any] | None

    def source(self) -> JointSource:
        """The same as one source, with labels as `prepare` writes them."""
        labels = None
        if self.labels is not None:
            labels = np.array([None if label is None else str(label) for label in self.labels], object)
        return JointSource(self.rows, self.present, ids=np.array(self.ids, object), labels=labels)


def is_raw(path: str | Path) -> bool:
    """Whether there are pictures, sounds or texts at a path, and not rows that `prepare` has made of them."""
    path = Path(path)
    if not path.is_dir():
        return kind_of(path.name) is not None or (is_tar(path.name) and path.is_file())
    names, _ = files_in(path)
    if ENCODERS in names or any(name.endswith(".parquet") and name not in METADATA for name in names):
        return False
    return any(name in METADATA or is_tar(name) or kind_of(name) is not None for name in names)


def read_raw(
    verb: str,
    path: str | Path,
    encoders: Mapping[str, Any],
    *,
    id_column: str | None = None,
    label_column: str | None = None,
    exclude: Sequence[str] = (),
) -> RawRows:
    """Rows of one file, or of a folder as `prepare` takes it.

    Parameters
    ----------
    verb : str
        Named in messages.
    path : str or Path
    encoders : mapping of str to transformer
        Fitted ones, by modality. Files whose modality has another name go to the only encoder of their kind.
    id_column, label_column : str, optional
    exclude : sequence of str
        Columns of a table of files.

    Returns
    -------
    RawRows

    Raises
    ------
    ValueError
        If a file cannot be read, or there is no encoder for it, or more than one.
    OSError
        If the path cannot be read.
    """
    path = Path(path)
    kind = kind_of(path.name)
    if kind is not None and not path.is_dir():
        found = Found({kind: kind}, {kind: [path]}, [path.stem])
    else:
        found = found_in(path, Columns(id_column, label_column, (), tuple(exclude)))
    rows, present = {}, {}
    for name, kind in found.kinds.items():
        to = _encoder_of(verb, path, name, kind, encoders)
        if to in rows:
            raise ValueError(f"[{verb}] {path} must have files of one modality for {to!r}; {name!r} is another.")
        if kind == "table":
            rows[to] = encoders[to].transform(found.table)
            present[to] = encoders[to].present(found.table) & ~np.isnan(rows[to]).any(axis=1)
        else:
            rows[to], present[to] = _encoded(verb, encoders[to], found.items[name])
    return RawRows(rows, present, found.ids, found.labels)


def _encoder_of(verb: str, path: Path, name: str, kind: str, encoders: Mapping[str, Any]) -> str:
    if name in encoders and encoders[name].kind == kind:
        return name
    known = [other for other, encoder in encoders.items() if encoder.kind == kind]
    if len(known) != 1:
        raise ValueError(
            f"[{verb}] The model must have one modality of {_CALLED[kind]} to take {path}; it has {len(known)}."
            + (f" Prepare the files as {' or '.join(known)} with dsae prepare." if known else "")
        )
    return known[0]


def _encoded(verb: str, encoder: Any, items: Sequence[Any]) -> tuple[Any, np.ndarray]:
    values, notes = [], Notes()
    for item in items:
        value = None
        if not is_missing(item):
            try:
                if isinstance(item, BadItemError):
                    raise item
                value = encoder.value(item.read() if isinstance(item, Slice) else item, notes)
            except (BadItemError, MemoryError) as error:
                named = "" if item is error else f"{item!s:.300} "
                raise ValueError(f"[{verb}] {named}{error}.") from None
        values.append(value)
    return encoder.stacked(values), np.array([value is not None for value in values], bool)

"""Pictures, sounds and texts as rows of a trained model, by the encoders that it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dsae.config import one_of
from dsae.data import JointSource
from dsae.features._folders import METADATA, found_in
from dsae.features._found import Columns, Found
from dsae.features._kinds import files_in, kind_of
from dsae.features._prepare import ENCODERS, Progress
from dsae.features._reading import ON_ERROR, Reading
from dsae.features._tars import is_tar

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
    problems : list of str
        A line for each file that could not be read.
    n_dropped : int
        Rows left out: with ``on_error="skip"`` those with a problem, else those of which nothing is left.
    notes : list of str
        What else there is to know.
    numbers : ndarray of int64, shape (n_rows,), or None
        Places of the rows among all that were found; None if all are there.
    """

    rows: dict[str, Any]
    present: dict[str, np.ndarray]
    ids: list[str]
    labels: list[Any] | None
    problems: list[str] = field(default_factory=list)
    n_dropped: int = 0
    notes: list[str] = field(default_factory=list)
    numbers: np.ndarray | None = None

    def source(self) -> JointSource:
        """The same as one source, with labels as `prepare` writes them."""
        labels = None
        if self.labels is not None:
            labels = np.array([None if label is None else str(label) for label in self.labels], object)
        ids = np.array(self.ids, object)
        return JointSource(self.rows, self.present, ids=ids, labels=labels, numbers=self.numbers)


def is_raw(path: str | Path, *, texts: bool = True) -> bool:
    """Whether there are pictures, sounds or texts at a path, and not rows that `prepare` has made of them.

    Without ``texts``, files of text alone do not count, which may hold numbers.
    """
    path = Path(path)
    names = files_in(path)[0] if path.is_dir() else [path.name] if path.is_file() or not is_tar(path.name) else []
    if path.is_dir() and (ENCODERS in names or any(_is_parquet(name) for name in names)):
        return False
    if path.is_dir() and any(name in METADATA for name in names):
        return True
    kinds = {kind_of(name) for name in names} | {"tar" for name in names if is_tar(name)}
    return bool(kinds - {None} - (set() if texts else {"text"}))


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet") and name not in METADATA


def read_raw(
    verb: str,
    path: str | Path,
    encoders: Mapping[str, Any],
    *,
    id_column: str | None = None,
    label_column: str | None = None,
    exclude: Sequence[str] = (),
    on_error: str = "raise",
    progress: Progress | None = None,
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
    on_error : {"raise", "missing", "skip"}
        What happens to a file that cannot be read, as in `prepare`.
    progress : callable, optional
        Told how many files are read, of how many.

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
    one_of(f"[{verb}] on_error", on_error, ON_ERROR)
    path = Path(path)
    kind = kind_of(path.name)
    if kind is not None and not path.is_dir():
        found = Found({kind: kind}, {kind: [path]}, [path.stem])
    else:
        texts = tuple(name for name, encoder in encoders.items() if encoder.kind == "text")
        found = _found(verb, path, Columns(id_column, label_column, (), tuple(exclude), texts))
    reading = Reading(verb, on_error)
    made = RawRows({}, {}, found.ids, found.labels, reading.problems, notes=list(found.notes))
    counted = _counted(found, progress)
    failed = np.zeros(len(found.ids), bool)
    for name, kind in found.kinds.items():
        to = _encoder_of(verb, path, name, kind, encoders)
        if to in made.rows:
            raise ValueError(f"[{verb}] {path} must have files of one modality for {to!r}; {name!r} is another.")
        if kind == "table":
            made.rows[to] = encoders[to].transform(found.table)
            made.present[to] = encoders[to].present(found.table) & ~np.isnan(made.rows[to]).any(axis=1)
            continue
        made.rows[to], made.present[to], bad = reading.rows(to, encoders[to], counted(found.items[name]))
        failed |= bad
        made.notes += encoders[to].told(reading.notes[to], int(made.present[to].sum()))
    return made if on_error == "raise" else _kept(verb, made, reading, failed)


def _found(verb: str, path: Path, columns: Columns) -> Found:
    try:
        return found_in(path, columns)
    except (ValueError, FileNotFoundError) as error:
        kind = ValueError if isinstance(error, ValueError) else FileNotFoundError
        raise kind(str(error).replace("[prepare]", f"[{verb}]", 1)) from None


def _counted(found: Found, progress: Progress | None) -> Callable[[Sequence[Any]], Iterator[Any]]:
    """What tells how many items of all modalities are done."""
    total = sum(len(found.items[name]) for name, kind in found.kinds.items() if kind != "table")
    done = 0

    def counted(items: Sequence[Any]) -> Iterator[Any]:
        nonlocal done
        for item in items:
            yield item
            done += 1
            if progress is not None:
                progress(done, total)

    return counted


def _kept(verb: str, made: RawRows, reading: Reading, failed: np.ndarray) -> RawRows:
    """Without the rows that are to be left out."""
    kept = reading.kept(np.any(list(made.present.values()), axis=0), failed)
    if not kept.size:
        raise ValueError(f"[{verb}] No row is left: {'; '.join(made.problems[:3]) or 'all are empty.'}")
    return replace(
        made,
        rows={name: rows[kept] for name, rows in made.rows.items()},
        present={name: has[kept] for name, has in made.present.items()},
        ids=[made.ids[row] for row in kept],
        labels=None if made.labels is None else [made.labels[row] for row in kept],
        n_dropped=len(made.ids) - kept.size,
        numbers=kept,
    )


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

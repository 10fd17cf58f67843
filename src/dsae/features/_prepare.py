"""A folder of pictures, sounds and texts, written once as Parquet from which models train."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from dsae.config import one_of
from dsae.data import Modality, ModalityWriter
from dsae.features._audio import AudioRows
from dsae.features._each import ItemRows
from dsae.features._folders import found_in
from dsae.features._found import Columns, Found
from dsae.features._image import ImageRows
from dsae.features._items import BadItemError, is_missing
from dsae.features._json import encoders_to_json
from dsae.features._kinds import some
from dsae.features._reading import ON_ERROR, Reading, content_of
from dsae.features._rows import TableRows
from dsae.features._text import TextRows

ENCODERS, PROBLEMS = "encoders.json", "problems.log"
_ROWS_AT_ONCE = 256  # read before they are written; any such number does
_DEFAULTS = {"image": ImageRows, "audio": AudioRows, "text": TextRows}
# What a column holds: 8 bits are all that a picture has; half precision moves a log-mel value by less than 0.004.
_KEPT: dict[str, dict[str, Any]] = {
    "image": {"numbers": "uint8", "divisor": 255},
    "audio": {"numbers": "float16"},
    "table": {},
    "text": {"sparse": True},
}

Progress = Callable[[int, int], object]


@dataclass
class Prepared:
    """What `prepare` has written.

    Attributes
    ----------
    n_rows : int
    encoders : dict of str to transformer
        By modality.
    present : dict of str to int
        Rows that have each modality.
    problems : list of str
        A line for each file that could not be read.
    n_dropped : int
        Rows left out: with ``on_error="skip"`` those with a problem, and those of which nothing is left.
    notes : list of str
        What else there is to know.
    """

    n_rows: int = 0
    encoders: dict[str, Any] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    n_dropped: int = 0
    notes: list[str] = field(default_factory=list)


def prepare(
    folder: str | Path,
    output: str | Path,
    encoders: Mapping[str, Any] | None = None,
    *,
    id_column: str | None = None,
    label_column: str | None = None,
    text_columns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    on_error: str = "raise",
    progress: Progress | None = None,
) -> Prepared:
    """Write the rows of a folder of pictures, sounds and texts to Parquet, with the encoders that made them.

    The folder holds one of these: ``metadata.csv``, ``.jsonl`` or ``.parquet`` whose columns name files
    (``file_name``, or ``image_file_name`` and so on for several), beside columns of text and numbers; files with equal
    names up to their ending, in one folder or in subfolders for each kind (``images/7.png``, ``sound/7.wav``); such
    files in a subfolder for each class, which becomes the label; or WebDataset's archives (``.tar``). Files beside
    subfolders that are no rows, such as ``README.txt``, and links to folders are left out, with a note. A row of the
    table is missing where all its cells are empty; single empty cells are as `TableRows` has them.

    Parameters
    ----------
    folder : str or Path
    output : str or Path
        A folder to write, which must not exist yet; it appears when all of it is written.
    encoders : mapping of str to transformer, optional
        By the name of a modality or by its kind (``image``, ``audio``, ``text``): settings to use, or, where fitted
        (of texts), the vocabulary to use. By default `ImageRows`, `AudioRows`, `TextRows` and `TableRows`.
    id_column, label_column : str, optional
        Of a table of files; by default ``id`` and ``label``, where there are such columns.
    text_columns : sequence of str
        Columns of text that look like numbers.
    exclude : sequence of str
        Columns to leave out.
    on_error : {"raise", "missing", "skip"}
        What happens to a file that cannot be read: an error, the row lacks it, or the row is left out.
    progress : callable, optional
        Told how many rows are done, of how many.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        If the folder holds no rows, names of rows repeat, two columns are one modality, no row has two of several
        kinds in subfolders, or a file cannot be read; then nothing is written.
    OSError
        If the folder cannot be read, or the output exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dsae.data import open_rows
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in {"cats/1": "purr", "cats/2": "meow purr", "dogs/1": "woof"}.items():
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     _ = (folder / f"{name}.txt").write_text(text)
    >>> prepare(folder, folder / "rows").n_rows
    3
    >>> batch = next(open_rows(folder / "rows").batches(3))
    >>> batch.rows.shape, batch.ids.tolist(), batch.labels.tolist()
    ((3, 3), ['cats/1', 'cats/2', 'dogs/1'], ['cats', 'cats', 'dogs'])
    """
    one_of("[prepare] on_error", on_error, ON_ERROR)
    target = Path(output)
    if target.exists():
        raise FileExistsError(f"[prepare] {output} exists already; choose another folder, or remove it first.")
    found = found_in(folder, Columns(id_column, label_column, tuple(text_columns), tuple(exclude)))
    work = _Work(found, on_error)
    work.fit(encoders or {})
    begun = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        begun.mkdir(parents=True)
        _written(begun, work, progress)
        os.replace(begun, target)
    except BaseException as error:
        shutil.rmtree(begun, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(f"[prepare] {output} cannot be written: {error.strerror}.") from None
        raise
    return work.told


def _written(folder: Path, work: _Work, progress: Progress | None) -> None:
    found, n = work.found, len(work.found.ids)
    with ModalityWriter(folder, work.columns(), found.labels is not None) as writer:
        for start in range(0, n, _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, n))
            kept, parts, present = work.encoded(rows)
            ids = [found.ids[row] for row in rows[kept]]
            labels = None if found.labels is None else [found.labels[row] for row in rows[kept]]
            writer.write(parts, present, ids, labels)
            if progress is not None:
                progress(int(rows[-1]) + 1, n)
    work.tell()
    if not work.told.n_rows:
        raise ValueError(f"[prepare] No row is left: {'; '.join(work.told.problems[:3])}")
    (folder / ENCODERS).write_text(encoders_to_json(work.told.encoders), encoding="utf-8")
    if work.told.problems:
        (folder / PROBLEMS).write_text("\n".join(work.told.problems) + "\n", encoding="utf-8")


class _Work:
    """Rows of a folder being encoded."""

    def __init__(self, found: Found, on_error: str) -> None:
        self.found, self._reading = found, Reading("prepare", on_error)
        self.told = Prepared(
            notes=list(found.notes), present=dict.fromkeys(found.kinds, 0), problems=self._reading.problems
        )
        self._empty: list[str] = []
        self._table: Any = None
        self._has_table = np.empty(0, bool)

    def fit(self, encoders: Mapping[str, Any]) -> None:
        """Encoders of all modalities; texts and tables are learned from."""
        kinds = self.found.kinds
        whole = all(name in encoders or kind in encoders for name, kind in kinds.items())
        for name in encoders:  # of rows that lack a modality of training, too
            if not whole and name not in kinds and name not in _KEPT:
                raise ValueError(f"[prepare] There is no modality {name!r}; the folder has {', '.join(kinds)}.")
            if name not in kinds and name not in kinds.values():
                if isinstance(encoders[name], ItemRows):
                    encoders[name].check()
                self.told.notes.append(f"The folder has no {name!r}; the settings of its encoder are not used.")
        for name, kind in kinds.items():
            given = encoders.get(name, encoders.get(kind))
            if given is not None and given.kind != kind:
                raise ValueError(f"[prepare] {name!r} must have {kind} rows as its encoder; got {given.kind} rows.")
            self.told.encoders[name] = self._fitted(name, kind, given)

    def _fitted(self, name: str, kind: str, given: Any) -> Any:
        if kind == "table":
            table: Any = TableRows(missing="fill") if given is None else given
            if not hasattr(table, "schema_"):
                table = TableRows(**table.get_params()).fit(self.found.table)
            self._fill_table(name, table)
            return table
        encoder = _DEFAULTS[kind]() if given is None else given
        if kind != "text" or getattr(encoder, "vocabulary_", None) is not None:
            return encoder.fit([]) if kind != "text" else encoder
        texts = [self._text(encoder, item) for item in self.found.items[name]]
        fresh: Any = clone(encoder)
        return fresh.fit([text for text in texts if text is not None])

    def _fill_table(self, name: str, encoder: Any) -> None:
        """Rows of the table, which are there where a cell is known; a joint model takes a row as a whole or not."""
        known = encoder.known(self.found.table)
        self._table = encoder.transform(self.found.table)
        there, filled = known.any(axis=1), encoder.schema_.missing == "fill"
        self._has_table = there & ~np.isnan(self._table).any(axis=1)
        partly = int((there & ~known.all(axis=1)).sum())
        if partly:
            done = "are filled with means" if filled else 'count as missing; TableRows(missing="fill") would keep them'
            self.told.notes.append(f"{partly} rows of {name!r} have empty cells and {done}.")

    def _text(self, encoder: Any, item: Any) -> str | None:
        """A text to learn from; one that cannot be read is told of when it is encoded."""
        try:
            return None if is_missing(item) else encoder.read(content_of(item))
        except BadItemError as error:
            if self._reading.on_error == "raise":
                self._reading.refused(item, error)
            return None

    def columns(self) -> list[Modality]:
        """How each modality is kept."""
        kinds = self.found.kinds
        return [Modality(name, encoder.field, **_KEPT[kinds[name]]) for name, encoder in self.told.encoders.items()]

    def encoded(self, rows: np.ndarray) -> tuple[np.ndarray, dict[str, Any], dict[str, np.ndarray]]:
        """Which of some rows are kept, and the kept ones' rows and presence by modality."""
        bad, parts, present = np.zeros(len(rows), bool), {}, {}
        for name in self.found.kinds:
            parts[name], present[name], failed = self._modality(name, rows)
            bad |= failed
        has = np.any(list(present.values()), axis=0)
        if self._reading.on_error == "raise" and not has.all():
            row = rows[np.flatnonzero(~has)[0]]
            raise ValueError(f"[prepare] Every row must have something; {self.found.ids[row]!r:.200} has nothing.")
        self._empty += [self.found.ids[row] for row in rows[~has & ~bad]]
        kept = self._reading.kept(has, bad)
        self.told.n_rows += kept.size
        self.told.n_dropped += len(rows) - kept.size
        for name in present:
            parts[name], present[name] = parts[name][kept], present[name][kept]
            self.told.present[name] += int(present[name].sum())
        return kept, parts, present

    def _modality(self, name: str, rows: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        encoder = self.told.encoders[name]
        if self.found.kinds[name] == "table":
            chosen = self._table[rows]
            return chosen, self._has_table[rows], np.zeros(len(rows), bool)
        return self._reading.rows(name, encoder, (self.found.items[name][row] for row in rows))

    def tell(self) -> None:
        """Add what was counted to the notes."""
        if self._empty:
            self.told.notes.append(f"{len(self._empty)} rows have nothing and are left out: {some(self._empty)}")
        for name, encoder in self.told.encoders.items():
            if self.found.kinds[name] != "table":
                self.told.notes += encoder.told(self._reading.notes[name], self.told.present[name])

"""A reader: rows of a file in order, in pieces of bounded size, and parts that can be read in any order."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows

_BYTES_AT_ONCE = 1 << 20


class Chunk(NamedTuple):
    """Some rows that follow one another, from row ``start`` of their file on."""

    start: int
    rows: Rows
    ids: np.ndarray | None = None
    labels: np.ndarray | None = None


def rows_at_once(n_features: int) -> int:
    """Rows of a chunk: about a MiB of float32, a multiple of 64."""
    return min(1 << 16, max(64, _BYTES_AT_ONCE // (4 * n_features) // 64 * 64))


class Reader(ABC):
    """Rows of one file or folder.

    Attributes
    ----------
    path : Path
    format : str
        The ending of its files.
    n_features : int
    column_names : list of str or None
    id_name : str or None
        Column of row ids, where there is one; empty if it has no name, as an index that pandas wrote.
    label_name : str or None
        Column of labels, where one was asked for.
    fields : mapping of str to tuple of int
        Shapes of fields that the columns hold, such as ``{"image": (28, 28)}``; empty where rows have no shape.
    files : sequence of Reader
        Of a folder, one for each file.
    in_memory : bool
        Whether all rows are in memory already.
    """

    path: Path
    format: str
    n_features: int
    column_names: list[str] | None = None
    id_name: str | None = None
    label_name: str | None = None
    fields: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    files: Sequence[Reader] = ()
    in_memory: bool = False

    @property
    def name(self) -> str:
        """As messages call it."""
        return str(self.path)

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def n_parts(self) -> int:
        """Parts that `read` can begin with."""

    @abstractmethod
    def read(self, part: int, ids: bool = True) -> Iterator[Chunk]:
        """Chunks of a part, in order, as finite float32 rows; where ``ids`` are asked for, with them.

        Raises
        ------
        ValueError
            If they hold anything but finite numbers.
        OSError
            If the file has changed since the reader was made.
        """

    def chunks(self, ids: bool = True) -> Iterator[Chunk]:
        """All chunks in order.

        Raises
        ------
        OSError
            If there were more or fewer rows than the file promised.
        """
        n = 0
        for part in range(self.n_parts):
            for chunk in self.read(part, ids):
                n += chunk.rows.shape[0]
                yield chunk
        if n != len(self):
            raise OSError(
                f"[read] {self.name} must have {len(self)} rows, as counted before; got {n}. Let nothing write to it "
                "meanwhile, and start again."
            )


class FileReader(Reader):
    """A reader of one file.

    Parameters
    ----------
    path : str or Path
        Stamped when the reader is made; rows of a file that changes afterwards are not given out.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stamp = _stamp(self.path)

    @abstractmethod
    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        """Chunks of a part as they are in the file."""

    def read(self, part: int, ids: bool = True) -> Iterator[Chunk]:
        """Chunks of a part, checked."""
        chunks = self._read(part, ids)
        while True:
            try:
                chunk = next(chunks, None)
            except (ValueError, OSError, MemoryError):
                self._check_unchanged()
                raise
            self._check_unchanged()
            if chunk is None:
                return
            yield chunk._replace(rows=_finite(self.name, chunk.start, chunk.rows))

    def _check_unchanged(self) -> None:
        if _stamp(self.path) != self._stamp:
            raise OSError(
                f"[read] {self.name} changed while it was in use (size or time of writing is another than when it was "
                "opened). Let nothing write to it meanwhile, and start again."
            )


class SpanReader(FileReader):
    """A reader whose rows can be read from anywhere: its parts are spans of rows."""

    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    @property
    def _span(self) -> int:
        return rows_at_once(self.n_features)

    @property
    def n_parts(self) -> int:
        """Number of spans."""
        return -(-self.n_rows // self._span)

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        start = part * self._span
        stop = min(start + self._span, self.n_rows)
        yield Chunk(start, self._rows(start, stop), self._ids(start, stop) if ids else None)

    @abstractmethod
    def _rows(self, start: int, stop: int) -> Rows: ...

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        return None


class MemoryReader(SpanReader):
    """Rows that are in memory: of a file that cannot be read in pieces, or of standard input."""

    in_memory = True

    def __init__(
        self,
        path: str | Path,
        kind: str,
        rows: Rows,
        names: list[str] | None = None,
        ids: np.ndarray | None = None,
        id_name: str | None = None,
    ) -> None:
        self.path, self.format, self.rows, self.column_names = Path(path), kind, rows, names
        self.ids, self.id_name = ids, id_name
        check_shape(self.name, rows.shape)
        self.n_rows, self.n_features = rows.shape

    @property
    def _span(self) -> int:
        width = self.n_features
        if sp.issparse(self.rows):
            width = max(1, 2 * self.rows.nnz // self.n_rows)
        return rows_at_once(width)

    def _rows(self, start: int, stop: int) -> Rows:
        return self.rows[start:stop]

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        return None if self.ids is None else self.ids[start:stop]

    def _check_unchanged(self) -> None:
        """It has been read already."""


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Raise unless ``shape`` is that of rows."""
    if len(shape) != 2:
        raise ValueError(
            f"[read] {name} must be 2-D, [n_samples, n_features]; got {len(shape)}-D with shape {tuple(shape)}. Save "
            "X.reshape(1, -1) for one sample."
        )
    if 0 in shape:
        raise ValueError(f"[read] {name} holds no {'columns' if shape[0] else 'rows'}; got shape {tuple(shape)}.")


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"[read] {path} does not exist; check the path.") from None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _finite(name: str, start: int, rows: Any) -> Rows:
    with np.errstate(all="ignore"):
        rows = rows.astype(np.float32) if sp.issparse(rows) else np.ascontiguousarray(rows, np.float32)
    values = rows.data if sp.issparse(rows) else rows
    if np.isfinite(values).all():
        return rows
    first = np.flatnonzero(~np.isfinite(values))[0]
    kind = "NaN or an empty cell" if np.isnan(values.flat[first]) else "infinity, or a value beyond float32"
    row = np.searchsorted(rows.indptr, first, side="right") - 1 if sp.issparse(rows) else first // rows.shape[1]
    raise ValueError(
        f"[read] {name} must hold finite numbers; row {start + row}, counted from 0, holds {kind}. Impute or drop such "
        "rows first."
    )

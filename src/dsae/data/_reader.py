"""Reader: a file's rows in order, in chunks of bounded size; its parts can be read in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Rows
from dsae.data._errors import ChangedError, explained
from dsae.data._place import Place, Remote, place_of
from dsae.data._shape import flattened

_BYTES_AT_ONCE = 1 << 20  # of a chunk (docs/design/streams.md)
SPANS_AT_ONCE = 8  # of a file in which a block costs little more than a span
_CHUNKS_LOOKED_AT = 64  # where a feature seems constant in float32


class Chunk(NamedTuple):
    """Consecutive rows of a file, starting at row ``start``."""

    start: int
    rows: Rows
    ids: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class ReadOptions:
    """What is read from a file, and how; see `open_rows`."""

    id_column: str | None = None
    label_column: str | None = None
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    layer: str | None = None
    obsm: str | None = None
    raw: bool = False
    n_features: int | None = None
    key: str | None = None
    whole: bool = False  # a table with columns of any type
    texts: tuple[str, ...] = ()  # of such a table, columns that are text whatever they look like

    def given(self) -> dict[str, Any]:
        """The options that are not left at their default."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def rows_at_once(n_features: int) -> int:
    """Rows of a chunk: about a MiB of float32, a multiple of 64."""
    return min(1 << 16, max(64, _BYTES_AT_ONCE // (4 * n_features) // 64 * 64))


class Reader(ABC):
    """Rows of one file or folder.

    Parameters
    ----------
    path : str or Path
        Stamped with its size and time of writing; rows of a file that changes afterwards are not given out.

    Attributes
    ----------
    path : Path
    name : str
        As messages call it.
    format : str
        Of its files; a key of `dsae.data.FORMATS`.
    n_features : int
    column_names : list of str or None
    id_name : str or None
        Column of row ids, where there is one; empty if it has no name, as an index that pandas wrote.
    label_name : str or None
        Column of labels, if one was requested.
    fields : mapping of str to tuple of int
        Shapes of fields that the columns hold, such as ``{"image": (28, 28)}``; empty where rows have no shape.
    files : sequence of Reader
        Of a folder, one for each file.
    in_memory : bool
        Whether all rows are in memory already.
    first_row : int
        What the first row is numbered.
    """

    format: str = ""
    n_features: int
    column_names: list[str] | None = None
    id_name: str | None = None
    label_name: str | None = None
    fields: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    files: Sequence[Reader] = ()
    in_memory: bool = False
    first_row: int = 0

    def __init__(self, path: str | Place) -> None:
        self.path: Any = place_of(path)
        self.name = str(self.path) if isinstance(self.path, Remote) else str(path)
        self._stamp = None if self.in_memory else _stamp(self.path)

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def n_parts(self) -> int:
        """Parts at which `read` can start."""

    @property
    def starts(self) -> Sequence[int]:
        """The first row of each part."""
        raise NotImplementedError

    @abstractmethod
    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        """Chunks of a part as they are in the file."""

    def read(self, part: int, ids: bool = True, missing: str = "error") -> Iterator[Chunk]:
        """Chunks of a part, in order, as finite float32 rows, with ids and labels if ``ids`` is true.

        With ``missing="mask"`` they may hold NaN.

        Raises
        ------
        ValueError
            If they hold anything but finite numbers, or the file is damaged.
        OSError
            If the file has changed since the reader was made.
        """
        chunks, looked = self._read(part, ids), False
        while True:
            try:
                with explained(self.name, self.format):
                    chunk = next(chunks, None)
            except Exception:
                self._check_unchanged()
                raise
            # A look at a store may take as long as reading a chunk: once a part.
            if not looked or not isinstance(self.path, Remote):
                self._check_unchanged()
            looked = True
            if chunk is None:
                return
            yield chunk._replace(rows=self._finite(chunk, missing))

    def align(self, files: Sequence[Reader]) -> None:  # noqa: B027 - most files say all of it
        """Settle with the other files of a folder what a file alone does not determine."""

    def exact(self, columns: np.ndarray) -> Iterator[Rows]:
        """Values of some columns before the cast to float32, from chunks spread over the file."""
        step = -(-self.n_parts // _CHUNKS_LOOKED_AT)  # spread over the file, since rows may be sorted
        with explained(self.name, self.format):
            for part in range(0, self.n_parts, step):
                for rows in islice(self._exact(part), max(1, _CHUNKS_LOOKED_AT // self.n_parts)):
                    yield rows[:, columns]

    def _exact(self, part: int) -> Iterator[Any]:
        """Rows of a part before they become float32."""
        return (chunk.rows for chunk in self._read(part, False))

    def chunks(self, ids: bool = True, missing: str = "error") -> Iterator[Chunk]:
        """All chunks in order.

        Raises
        ------
        OSError
            If there were more or fewer rows than the file promised.
        """
        n = 0
        for part in range(self.n_parts):
            for chunk in self.read(part, ids, missing):
                n += chunk.rows.shape[0]
                yield chunk
        if n != len(self):
            raise ChangedError(
                f"[read] {self.name} must have {len(self)} rows, as counted before; got {n}. Let nothing write to it "
                "meanwhile, and start again."
            )

    def exact_chunks(self, missing: str = "error") -> Iterator[Chunk]:
        """`chunks` with ids and labels, whose rows are as they were before they became float32."""
        for part in range(self.n_parts):
            for chunk, rows in zip(self.read(part, True, missing), self._exact(part), strict=True):
                yield chunk._replace(rows=rows)

    def _check_unchanged(self) -> None:
        if self._stamp is not None and _stamp(self.path) != self._stamp:
            raise ChangedError(
                f"[read] {self.name} changed while it was in use (its size or time of writing differs). Let nothing "
                "write to it meanwhile, and start again."
            )

    def _finite(self, chunk: Chunk, missing: str) -> Rows:
        rows: Any = chunk.rows
        with np.errstate(all="ignore"):
            rows = rows.astype(np.float32) if sp.issparse(rows) else np.ascontiguousarray(rows, np.float32)
        values: Any = rows.data if sp.issparse(rows) else rows
        usable = np.isfinite(values)
        if missing == "mask":
            usable |= np.isnan(values)
        if usable.all():
            return rows
        first = np.flatnonzero(~usable)[0]
        value = values.flat[first]
        if sp.issparse(rows):
            row, column = np.searchsorted(rows.indptr, first, side="right") - 1, rows.indices[first]
        else:
            row, column = divmod(first, rows.shape[1])
        is_nan = bool(np.isnan(value))
        what = "NaN or an empty cell" if is_nan else "infinity, or a value beyond float32"
        remedy = 'Set missing="mask" (--missing mask) if it is not known, or impute' if is_nan else "Impute"
        where = "" if self.column_names is None else f" ({self.column_names[column]!r})"
        raise ValueError(
            f"[read] {self.name} must hold finite numbers; row {chunk.start + row}, counted from 0, holds {what} in "
            f"column {column}{where}. {remedy} or drop such rows first."
        )


class SpanReader(Reader):
    """A reader whose rows can be read from anywhere: its parts are blocks of rows, given out in spans."""

    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    @property
    def _span(self) -> int:
        return rows_at_once(self.n_features)

    @property
    def _at_once(self) -> int:
        """Rows of a block, which are read by one call."""
        return self._span

    @property
    def n_parts(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self._at_once)

    @property
    def starts(self) -> Sequence[int]:
        """The first row of each block."""
        return range(0, self.n_rows, self._at_once)

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        first, last = part * self._at_once, min((part + 1) * self._at_once, self.n_rows)
        rows, *named = self._block(first, last, ids)
        for start in range(0, last - first, self._span):
            span = slice(start, start + self._span)
            yield Chunk(first + start, rows[span], *(None if values is None else values[span] for values in named))

    def _block(self, start: int, stop: int, ids: bool) -> tuple[Rows, np.ndarray | None, np.ndarray | None]:
        rows = self._rows(start, stop)
        return (rows, self._ids(start, stop), self._labels(start, stop)) if ids else (rows, None, None)

    @abstractmethod
    def _rows(self, start: int, stop: int) -> Rows: ...

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        return None

    def _labels(self, start: int, stop: int) -> np.ndarray | None:
        return None


class MemoryReader(SpanReader):
    """Rows in memory, for formats that cannot be read in chunks."""

    in_memory = True

    def __init__(
        self,
        path: str | Path,
        rows: Rows,
        names: Sequence[str] | None = None,
        ids: np.ndarray | None = None,
        id_name: str | None = None,
        labels: np.ndarray | None = None,
        label_name: str | None = None,
    ) -> None:
        super().__init__(path)
        rows, self.fields = flattened(self.name, rows)
        self.rows, self.column_names = rows, None if names is None else list(names)
        self.ids, self.labels = ids, labels
        self.id_name, self.label_name = id_name, label_name
        self.n_rows, self.n_features = rows.shape

    @property
    def _span(self) -> int:
        sparse = sp.issparse(self.rows)
        return rows_at_once(max(1, 2 * self.rows.nnz // self.n_rows) if sparse else self.n_features)

    def _rows(self, start: int, stop: int) -> Rows:
        return self.rows[start:stop]

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        return None if self.ids is None else self.ids[start:stop]

    def _labels(self, start: int, stop: int) -> np.ndarray | None:
        return None if self.labels is None else self.labels[start:stop]


def check_known(name: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise unless all of ``wanted`` are among the names of columns."""
    known = set(names)
    for column in wanted:
        if column not in known:
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ValueError(f"[read] {name} has no column {column!r}; it has {shown}.")


def _stamp(path: Place) -> tuple[int, ...]:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"[read] {path} does not exist; check the path.") from None
    return status.st_ino, status.st_size, status.st_mtime_ns

"""Tables in text, read a block of lines at a time."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dsae.data._arrow import parse_csv
from dsae.data._reader import Chunk, FileReader, check_shape, rows_at_once

_BOM = b"\xef\xbb\xbf"


class CsvReader(FileReader):
    """Rows of a ``.csv``, a row to a line; blank lines do not count. A part is a block of lines.

    Parameters
    ----------
    path : str or Path
    id_column : str, optional
        Column of row ids; by default, in a file with a header, the one whose first field is text, or the first one if
        it alone has no name, as pandas writes an index.
    content : bytes, optional
        What to read instead of the file.
    """

    format = "csv"

    def __init__(self, path: str | Path, id_column: str | None = None, content: bytes | None = None) -> None:
        self._content = content
        if content is None:
            super().__init__(path)
        else:
            self.path = Path(path)
        header, first, self._begin = self._top()
        check_shape(self.name, (int(bool(first)), len(header)))
        named = any(not is_number(field) for field in header)
        self._width = len(header)
        self._names = [field.strip() for field in header] if named else None
        self._id = self._find_ids(first, id_column)
        self.n_features = self._width - (self._id is not None)
        check_shape(self.name, (1, self.n_features))
        if self._names is not None:
            self.column_names = [name for i, name in enumerate(self._names) if i != self._id]
            self.id_name = None if self._id is None else self._names[self._id]

    def _opened(self) -> BinaryIO:
        return open(self.path, "rb") if self._content is None else io.BytesIO(self._content)

    def _check_unchanged(self) -> None:
        if self._content is None:
            super()._check_unchanged()

    def _top(self) -> tuple[list[str], list[str], int]:
        """Fields of the first line and of the first row, and where the rows begin."""
        with self._opened() as file:
            begin = len(_BOM) if file.read(3) == _BOM else 0
            file.seek(begin)
            header = _fields(self.name, file.readline())
            if header and all(is_number(field) for field in header):
                return header, header, begin
            begin = file.tell()
            first = next((line for line in file if line.strip()), b"")
            return header, _fields(self.name, first), begin

    def _find_ids(self, first: list[str], id_column: str | None) -> int | None:
        if id_column is not None:
            if self._names is None or id_column not in self._names:
                raise ValueError(
                    f"[read] {self.name} has no column {id_column!r} for row ids; it has "
                    f"{', '.join(self._names or ['no names'])}."
                )
            return self._names.index(id_column)
        texts = [i for i, field in enumerate(first) if field.strip() and not is_number(field.replace("_", ""))]
        if self._names is None or len(first) != self._width:
            return None
        found = sorted({*texts, 0}) if self._has_index(self._names) else texts
        if len(found) > 1:
            raise ValueError(
                f"[read] {self.name} must hold numbers and at most one column of row ids; got text or ids in the "
                f"columns {', '.join(self._names[i] or 'without a name' for i in found)}. Name the ids by id_column, "
                "and encode or drop the others."
            )
        return found[0] if found else None

    @staticmethod
    def _has_index(names: list[str]) -> bool:
        """Whether the first column is an index as pandas writes it: the only one without a name."""
        return len(names) > 1 and not names[0] and all(names[1:])

    @cached_property
    def _index(self) -> tuple[int, list[int]]:
        """Number of rows, and where each block of them begins."""
        n, offsets, position = 0, [], self._begin
        step = rows_at_once(self.n_features)
        with self._opened() as file:
            file.seek(position)
            for line in file:
                if not line.isspace():
                    if n % step == 0:
                        offsets.append(position)
                    n += 1
                position += len(line)
        self._check_unchanged()
        return n, offsets

    def __len__(self) -> int:
        return self._index[0]

    @property
    def n_parts(self) -> int:
        """Blocks of lines."""
        return len(self._index[1])

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        step = rows_at_once(self.n_features)
        start = part * step
        wanted = min(step, len(self) - start)
        lines: list[bytes] = []
        with self._opened() as file:
            file.seek(self._index[1][part])
            for line in file:
                if not line.isspace():
                    lines.append(line if line.endswith(b"\n") else line + b"\n")
                    if len(lines) == wanted:
                        break
        yield self._parsed(start, lines)

    def _parsed(self, start: int, lines: list[bytes]) -> Chunk:
        try:
            rows, ids = parse_csv(b"".join(lines), self._width, self._id) or self._by_numpy(lines)
            if len(rows) != len(lines):
                raise ValueError("quoted fields go over several lines")
        except (ValueError, csv.Error) as error:
            raise ValueError(f"[read] {self.name} {self._fault() or f'is no table of numbers ({error})'}") from None
        return Chunk(start, rows, ids)

    def _fault(self) -> str | None:
        """Where the table stops being one, found by reading it again from the top."""
        with self._opened() as file:
            file.seek(len(_BOM) if file.read(3) == _BOM else 0)
            first: list[str] = []
            for i, line in enumerate(file, 1):
                if i == 1 or not line.isspace():
                    try:
                        fields = next(csv.reader([line.decode()]), [])
                    except (UnicodeDecodeError, csv.Error) as error:
                        return f"line {i} must be UTF-8 text with commas ({error})."
                    first = first or fields
                    fault = self._fault_in(fields, first) if i > 1 or self._names is None else None
                    if fault is not None:
                        return f"line {i}{fault}"
        return None

    def _fault_in(self, fields: list[str], first: list[str]) -> str | None:
        if len(fields) != len(first):
            return f" has {len(fields)} fields; the first line has {len(first)}."
        for column, field in enumerate(fields, 1):
            if column - 1 != self._id and not is_number(field):
                label = f"{column}" if self._names is None else f"{column} ({self._names[column - 1]})"
                return f", column {label} must be a number; got {field!r}."
        return None

    def _by_numpy(self, lines: list[bytes]) -> tuple[np.ndarray, np.ndarray | None]:
        columns = [i for i in range(self._width) if i != self._id]
        options: dict[str, Any] = {"delimiter": ",", "quotechar": '"', "comments": None, "ndmin": 2}
        texts = [line.decode() for line in lines]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            rows = np.loadtxt(texts, dtype=np.float32, usecols=columns, **options)
        fields = list(csv.reader(texts))
        if any(len(row) != self._width for row in fields):
            raise ValueError("rows of different lengths")
        return rows, None if self._id is None else np.array([row[self._id] for row in fields], dtype=object)


def is_number(field: str) -> bool:
    """Whether it reads as one."""
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _fields(name: str, line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode()]), [])
    except UnicodeDecodeError as error:
        raise ValueError(f"[read] {name} must be UTF-8 text; byte {error.start} is not.") from None
    except csv.Error as error:
        raise ValueError(f"[read] {name} must be a table of numbers; {error}.") from None

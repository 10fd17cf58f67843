"""Parquet, Arrow and Feather; the only file that imports pyarrow."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dsae.data._reader import Chunk, FileReader, check_shape, rows_at_once

_INDEX = "__index_level_0__"  # where pandas keeps an index that has no name
_STREAM = b"\xff\xff\xff\xff"  # what Arrow's stream format begins with; its file format begins with ARROW1
_GROUP_BYTES = 1 << 25
_VALUES_LOOKED_AT = 1 << 20
_MOST_ROWS_PER_BYTE = 1 << 17  # run lengths pack a page of equal values into a few bytes


def pyarrow(what: str) -> Any:
    """The package, or how to get it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError(f'{what} needs pyarrow: pip install "dsae[arrow]".') from None
    return pyarrow


class ArrowReader(FileReader):
    """Rows of a ``.parquet`` (a part is a row group) or of an Arrow file, ``.arrow`` or ``.feather`` (a record batch).

    A row group is read page by page; a record batch comes into memory whole.

    Parameters
    ----------
    path : str or Path
    kind : {"parquet", "arrow", "feather"}
    id_column : str, optional
        Column of row ids; by default the one of pandas' index, or the only one of text.
    """

    def __init__(self, path: str | Path, kind: str, id_column: str | None = None) -> None:
        super().__init__(path)
        self.format = kind
        self._pa = pyarrow(f".{kind}")
        if kind != "parquet":
            _check_format(self.name, self.path)
        with self._explained():
            self._file = _Parquet(self._pa, self.path) if kind == "parquet" else _Ipc(self._pa, self.path)
            if not 0 <= self._file.n_rows <= _MOST_ROWS_PER_BYTE * self._stamp[1]:
                raise ValueError(f"{self._file.n_rows} rows in {self._stamp[1]} bytes")
            schema = self._file.schema
            fields = {field.name: field.type for field in schema}
        if len(fields) != len(schema):
            raise ValueError(f"[read] {self.name} must name every column differently; got {', '.join(schema.names)}.")
        self._id = self._find_ids(fields, _index_of(schema), id_column)
        self.id_name = "" if self._id == _INDEX else self._id
        self.column_names = [name for name in fields if name != self._id]
        self.n_features = len(self.column_names)
        check_shape(self.name, (self._file.n_rows, self.n_features))

    def _find_ids(self, fields: dict[str, Any], index: list[str], id_column: str | None) -> str | None:
        if id_column is not None and id_column not in fields:
            raise ValueError(f"[read] {self.name} has no column {id_column!r} for row ids; it has {', '.join(fields)}.")
        others = {name: kind for name, kind in fields.items() if not self._is_number(kind) and name != id_column}
        if id_column is None:
            texts = [name for name, kind in others.items() if self._is_text(kind)]
            id_column = index[0] if index else texts[0] if len(texts) == 1 else None
            others.update({name: fields[name] for name in index})
            others.pop(id_column or "", None)
        if others:
            raise ValueError(
                f"[read] {self.name} must hold numbers and at most one column of row ids; got "
                f"{', '.join(f'{name} ({kind})' for name, kind in others.items())}. Name the ids by id_column, and "
                "encode or drop the others."
            )
        return id_column

    def _is_number(self, kind: Any) -> bool:
        types = self._pa.types
        return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)

    def _is_text(self, kind: Any) -> bool:
        types = self._pa.types
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def __len__(self) -> int:
        return self._file.n_rows

    @property
    def n_parts(self) -> int:
        """Row groups or record batches."""
        return self._file.n_parts

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        columns = [*(self.column_names or []), *([self._id] if ids and self._id is not None else [])]
        start = self._file.starts[part]
        with self._explained():
            for batch in self._file.batches(part, columns, rows_at_once(self.n_features)):
                if batch.num_rows:
                    batch.validate(full=True)
                    yield self._chunk(start, batch, ids)
                start += batch.num_rows

    def _chunk(self, start: int, batch: Any, ids: bool) -> Chunk:
        rows = self._rows(batch.select(self.column_names))
        if not ids or self._id is None:
            return Chunk(start, rows)
        return Chunk(start, rows, np.array(batch.column(self._id).to_pylist(), dtype=object))

    def _rows(self, batch: Any) -> np.ndarray:
        """One call where Arrow can: each call that lets other threads run may wait long for its turn again."""
        pa = self._pa
        try:
            return batch.to_tensor(null_to_nan=True, row_major=True).to_numpy()
        except (pa.ArrowException, AttributeError):  # booleans, decimals, pyarrow before 17
            rows = np.empty((self.n_features, batch.num_rows), np.float32)
        for row, column in zip(rows, batch.columns, strict=True):
            if pa.types.is_decimal(column.type):
                column = column.cast(pa.float64())
            row[:] = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        return rows.T

    def _explained(self) -> Any:
        return _Explained(self.name, self.format, self._pa)


def _check_format(name: str, path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(4) == _STREAM:
            raise ValueError(
                f"[read] {name} must be in Arrow's file format (IPC file, Feather); got its stream format, which has "
                "no index of record batches. Write it by pyarrow.ipc.new_file instead of new_stream."
            )


def _index_of(schema: Any) -> list[str]:
    """Columns that pandas wrote as its index; what is no name there is a range, which has no column."""
    try:
        listed = list(json.loads(schema.metadata[b"pandas"])["index_columns"])
    except (KeyError, TypeError, ValueError, RecursionError):
        listed = []
    return [name for name in schema.names if name == _INDEX or name in listed]


def _as_index(name: str, kind: str) -> dict[bytes, bytes]:
    """What makes pandas, and `_index_of`, take a column for the index."""
    column = {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": "object", "metadata": None}
    return {b"pandas": json.dumps({"index_columns": [name], "column_indexes": [], "columns": [column]}).encode()}


class _Explained:
    """Arrow's own errors as ours."""

    def __init__(self, name: str, kind: str, pa: Any) -> None:
        self._name, self._kind, self._pa = name, kind, pa

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        damaged = (self._pa.ArrowException, ValueError, KeyError, IndexError, OverflowError, MemoryError, TypeError)
        if isinstance(error, damaged) or (isinstance(error, OSError) and error.errno is None):
            short = " ".join(str(error).split())[:200]
            raise ValueError(
                f"[read] {self._name} must be a whole .{self._kind} file; it was cut short or is damaged ({short}). "
                "Write it again."
            ) from None


class _Parquet:
    """A file that is open only while it is read: a folder may hold more of them than a process may have open."""

    def __init__(self, pa: Any, path: Path) -> None:
        self._pa, self._path = pa, path
        with self._opened() as file:
            self._metadata = meta = file.metadata
            self.schema = file.schema_arrow
        sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        if min(sizes, default=0) < 0 or sum(sizes) != meta.num_rows:
            raise ValueError("row groups that do not add up")
        self.starts, self.n_rows, self.n_parts = _starts(sizes), meta.num_rows, len(sizes)

    def _opened(self, metadata: Any = None) -> Any:
        # Buffered: a column of a row group is read page by page, so that a row group may be larger than memory.
        options = {"buffer_size": 1 << 16, "pre_buffer": False, "memory_map": False}
        return self._pa.parquet.ParquetFile(self._path, metadata=metadata, **options)

    def batches(self, part: int, columns: Sequence[str], n_rows: int) -> Iterator[Any]:
        with self._opened(self._metadata) as file:
            yield from file.iter_batches(n_rows, row_groups=[part], columns=list(columns), use_threads=False)


class _Ipc:
    def __init__(self, pa: Any, path: Path) -> None:
        self._pa, self._path = pa, path
        with pa.OSFile(str(path)) as file:
            reader = pa.ipc.open_file(file)
            self.schema = reader.schema
            self.n_parts = reader.num_record_batches
            if self.n_parts > path.stat().st_size // 8:
                raise ValueError(f"{self.n_parts} record batches")
        sizes = self._sizes()
        self.starts, self.n_rows = _starts(sizes), sum(sizes)

    def _sizes(self) -> list[int]:
        """Rows of each batch, of which only one column is read for it."""
        options = self._pa.ipc.IpcReadOptions(included_fields=[0], use_threads=False)
        with self._pa.OSFile(str(self._path)) as file:
            reader = self._pa.ipc.open_file(file, options=options)
            return [reader.get_batch(i).num_rows for i in range(self.n_parts)]

    def batches(self, part: int, columns: Sequence[str], n_rows: int) -> Iterator[Any]:
        options = self._pa.ipc.IpcReadOptions(use_threads=False)
        with self._pa.OSFile(str(self._path)) as file:
            batch = self._pa.ipc.open_file(file, options=options).get_batch(part)
        for start in range(0, batch.num_rows, n_rows):
            yield batch.select(columns).slice(start, n_rows)


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(sizes).tolist()][: len(sizes)]


def parse_csv(content: bytes, n_columns: int, ids: int | None) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Lines of numbers, and of ids in one column; None where pyarrow is missing or refuses them."""
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError:
        return None
    names = [str(i) for i in range(n_columns)]
    types = {name: pa.string() if i == ids else pa.float32() for i, name in enumerate(names)}
    try:
        table = csv.read_csv(
            io.BytesIO(content),
            csv.ReadOptions(column_names=names, use_threads=False, block_size=len(content) + 1),
            csv.ParseOptions(),
            csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    rows = np.empty((n_columns - (ids is not None), table.num_rows), np.float32)
    for row, name in zip(rows, [name for i, name in enumerate(names) if i != ids], strict=True):
        row[:] = table.column(name).to_numpy()
    found = None if ids is None else np.array(table.column(str(ids)).to_pylist(), dtype=object)
    return rows.T, found


class ArrowWriter:
    """Chunks into a Parquet or Arrow file."""

    def __init__(self, file: BinaryIO, kind: str, column_names: Sequence[str], id_name: str | None) -> None:
        self._pa = pyarrow(f".{kind}")
        self._names, self._file, self._kind = list(column_names), file, kind
        self._id = _INDEX if id_name == "" else id_name
        self._writer: Any = None
        self._held: list[tuple[np.ndarray, np.ndarray | None]] = []
        if len({*column_names, self._id}) != len(column_names) + 1:
            raise ValueError(f"[write] columns must be named differently; got {', '.join(map(str, column_names))}.")

    def write(self, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Add rows; they are written as row groups of about 32 MiB."""
        self._held.append((rows, ids))
        if sum(piece.nbytes for piece, _ in self._held) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows = np.concatenate([piece for piece, _ in self._held])
        named = [ids for _, ids in self._held if ids is not None]
        ids = np.concatenate(named) if named else None
        self._held = []
        columns = {name: self._pa.array(column) for name, column in zip(self._names, rows.T.copy(), strict=True)}
        metadata = None
        if ids is not None and self._id is not None:
            columns = {self._id: self._pa.array(ids.tolist()), **columns}
            metadata = _as_index(self._id, str(columns[self._id].type))
        batch = self._pa.record_batch(columns).replace_schema_metadata(metadata)
        if self._writer is None:
            self._writer = self._begun(batch.schema, rows)
        self._writer.write_batch(batch)

    def _begun(self, schema: Any, rows: np.ndarray) -> Any:
        if self._kind != "parquet":
            return self._pa.ipc.new_file(self._file, schema)
        # A dictionary of numbers that hardly repeat makes a column half as long again, and as much slower to read.
        first = np.sort(rows[: max(64, _VALUES_LOOKED_AT // max(1, rows.shape[1]))], axis=0)
        changes = first[1:] != first[:-1]
        repeats = 2 * changes.sum(0) < len(changes)
        repeating = [name for name, often in zip(self._names, repeats, strict=True) if often]
        ids = [name for name in schema.names if name == self._id]
        return self._pa.parquet.ParquetWriter(self._file, schema, use_dictionary=[*ids, *repeating])

    def close(self) -> None:
        """Write what comes last."""
        if self._held:
            self._flush()
        if self._writer is not None:
            self._writer.close()

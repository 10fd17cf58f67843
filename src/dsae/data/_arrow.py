"""Parquet, Arrow and Feather by pyarrow: row groups and record batches, and what their columns are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from dsae.data._columns import PANDAS_INDEX, Choice, choose
from dsae.data._errors import DamagedError, from_library, library
from dsae.data._place import Place, Remote
from dsae.data._reader import Chunk, Reader, ReadOptions, rows_at_once
from dsae.data._shape import check_shape

_STREAM = b"\xff\xff\xff\xff"  # the first bytes of Arrow's stream format; its file format starts with ARROW1
_MOST_ROWS_PER_BYTE = 1 << 17  # run lengths pack a page of equal values into a few bytes
_SAMPLE_ROWS = 1 << 18  # of text, looked at for repeats when a file is opened; any large number does
_WIDE = ("float64", "int32", "int64", "uint32", "uint64")  # than float32


class ArrowReader(Reader):
    """Rows of a ``.parquet`` file, of which a part is a row group, or of an Arrow file, of which it is a record batch.

    A row group is read page by page; a record batch comes into memory whole. Arrow's stream format is one part.
    """

    def __init__(self, path: Place, options: ReadOptions, file: Any = None) -> None:
        super().__init__(path)
        self._file = opened(path) if file is None else file
        schema, n_rows = self._file.schema, self._file.n_rows
        if not 0 <= n_rows <= _MOST_ROWS_PER_BYTE * path.stat().st_size:
            raise DamagedError(f"{n_rows} rows in {path.stat().st_size} bytes")
        # Arrow finds columns by name.
        if len(set(schema.names)) != len(schema.names):
            raise ValueError(f"[read] {self.name} must name every column differently; got {', '.join(schema.names)}.")
        check_shape(self.name, (n_rows, len(schema.names)))
        self._choice = self._chosen(schema, options)
        self.id_name = "" if self._choice.ids == PANDAS_INDEX[2] else self._choice.ids
        self.label_name = self._choice.labels
        self.n_features, self.column_names = width_of(self._choice, self._first)
        check_shape(self.name, (n_rows, self.n_features))

    def _chosen(self, schema: Any, options: ReadOptions) -> Choice:
        return chosen(self.name, schema, self._first, options)

    def _first(self, columns: Sequence[str], n_rows: int) -> Any:
        """A table of the first rows."""
        import pyarrow as pa

        batches, n = [], 0
        for part in range(self._file.n_parts):
            for batch in self._batches(part, columns, 1 << 16):
                batches.append(batch)
                n += batch.num_rows
                if n >= n_rows:
                    return pa.Table.from_batches(batches)
        return pa.Table.from_batches(batches)

    def _batches(self, part: int, columns: Sequence[str], n_rows: int) -> Iterator[Any]:
        return sound(self._file.batches(part, columns, n_rows))

    def __len__(self) -> int:
        return self._file.n_rows

    @property
    def n_parts(self) -> int:
        """Row groups or record batches."""
        return self._file.n_parts

    @property
    def starts(self) -> Sequence[int]:
        """The first row of each."""
        return self._file.starts

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        start, choice = self._file.starts[part], self._choice
        named = [column for column in (choice.ids, choice.labels) if ids and column is not None]
        columns = list(dict.fromkeys([*choice.features, *named]))
        for batch in self._batches(part, columns, rows_at_once(self.n_features)):
            if batch.num_rows:
                yield chunk_of(self.name, start, batch, choice, self.n_features, ids)
            start += batch.num_rows


def sound(batches: Iterator[Any]) -> Iterator[Any]:
    """Record batches, checked."""
    for batch in from_library(batches):
        with library():
            batch.validate(full=True)
        yield batch


def chosen(name: str, schema: Any, first: Any, options: ReadOptions) -> Choice:
    """What each column of a schema is for; ``first`` gives the first rows of columns."""
    kinds = {field.name: kind_of(field.type) for field in schema}
    index = _index_of(schema)
    if len(index) > 1 and options.id_column is None:
        raise ValueError(
            f"[read] {name} must have at most one column of row ids; pandas' index has {', '.join(index)}. Name one by "
            "id_column, and leave out the others by exclude."
        )
    sample: dict[str, list[Any]] = {}
    for kind, n_rows in (("text", _SAMPLE_ROWS), ("whole", _SAMPLE_ROWS >> 6)):
        looked_at = [column for column in kinds if kinds[column] == kind and column not in index[:1]]
        if looked_at:
            table = first(looked_at, n_rows)
            sample |= {column: table.column(column).to_pylist() for column in looked_at}
    return choose(name, kinds, sample, index[0] if index else None, options)


def width_of(choice: Choice, first: Any) -> tuple[int, list[str] | None]:
    """Columns of the features, and their names; those of a list have none."""
    if not choice.is_vector:
        return len(choice.features), choice.features
    (column,) = first(choice.features, 1).columns
    lengths = (len(value) for value in column if value.is_valid)
    return next(lengths, 0), None


def chunk_of(name: str, start: int, batch: Any, choice: Choice, width: int, ids: bool) -> Chunk:
    """Rows, ids and labels of a record batch."""
    if choice.is_vector:
        rows = vectors(name, start, batch.column(choice.features[0]), width)
    else:
        rows = dense(batch.select(choice.features))
    columns = (choice.ids, choice.labels)
    chunk = Chunk(start, rows, *(None if not ids or c is None else texts_of(batch.column(c)) for c in columns))
    if choice.guessed is not None and chunk.ids is not None:
        choice.guessed.check(start, chunk.ids)
    return chunk


def kind_of(kind: Any) -> str:
    """What a column of this type can be."""
    from pyarrow import types

    if types.is_dictionary(kind):
        found = kind_of(kind.value_type)
        # A column is dictionary-encoded because its values repeat, which row ids do not.
        return "number" if found == "whole" else found
    if isinstance(kind, _extension()):
        return kind_of(kind.storage_type)
    if types.is_integer(kind):
        return "whole"
    # A column of nulls alone has the type null: its numbers are all missing.
    if types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind) or types.is_null(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return "vector" if lists and kind_of(kind.value_type) in ("number", "whole") else str(kind)


def _extension() -> Any:
    from pyarrow import BaseExtensionType

    return BaseExtensionType


def dense(batch: Any) -> np.ndarray:
    """Columns of numbers as rows, NaN where a value is missing.

    One call where Arrow can: each call that lets other threads run may wait long for its turn again.
    """
    import pyarrow as pa

    # Only a record batch can become a tensor.
    if isinstance(batch, pa.Table):
        (batch,) = batch.combine_chunks().to_batches()
    try:
        return batch.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    except (pa.ArrowException, AttributeError):  # booleans, decimals, dictionaries, pyarrow before 17
        columns = [_numbers(column) for column in batch.columns]
    rows = np.empty((len(columns), batch.num_rows), np.result_type(*{column.dtype for column in columns}))
    for row, column in zip(rows, columns, strict=True):
        row[:] = column
    return rows.T


def _numbers(column: Any) -> np.ndarray:
    """In double precision where a value may need it: whether float32 does is seen later."""
    import pyarrow as pa

    if isinstance(column.type, _extension()):
        column = column.storage if isinstance(column, pa.ExtensionArray) else column.cast(column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    wide = pa.types.is_decimal(column.type) or column.type in map(pa.type_for_alias, _WIDE)
    return column.cast(pa.float64() if wide else pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def vectors(name: str, start: int, column: Any, width: int) -> np.ndarray:
    """A column of lists as rows."""
    import pyarrow as pa
    from pyarrow import compute

    pc: Any = compute

    if isinstance(column.type, _extension()):
        column = column.storage
    fixed = pa.types.is_fixed_size_list(column.type)
    lengths = np.full(len(column), column.type.list_size) if fixed else pc.list_value_length(column).fill_null(-1)
    odd = np.flatnonzero((np.asarray(lengths) != width) | np.asarray(column.is_null()))
    if odd.size:
        got = "none" if column[odd[0]].as_py() is None else len(column[odd[0]])
        raise ValueError(
            f"[read] {name} must hold lists of {width} numbers, as in its first row; got {got} in row "
            f"{start + odd[0]}, counted from 0."
        )
    return _numbers(column.flatten()).reshape(-1, width)


def texts_of(column: Any) -> np.ndarray:
    """Ids or labels as they are."""
    with library():
        values = column.to_pylist()
    return np.fromiter(values, dtype=object, count=len(values))


def _index_of(schema: Any) -> list[str]:
    """Columns that pandas wrote as its index; what is no name there is a range, which has no column."""
    try:
        listed = list(json.loads(schema.metadata[b"pandas"])["index_columns"])
    except (KeyError, TypeError, ValueError, RecursionError):
        listed = []
    return [name for name in schema.names if name == PANDAS_INDEX[2] or name in listed]


def opened(path: Place) -> Any:
    """A file of Parquet or Arrow, as a schema, numbers of rows and parts, and batches."""
    with path.open() if isinstance(path, Remote) else open(path, "rb") as file:
        begin = bytes(file.read(4))
    if begin[:3] == b"PAR":
        return _Parquet(path)
    return _Stream(path) if begin == _STREAM else _Ipc(path)


class _Parquet:
    """A file that is open only while it is read: a folder may hold more of them than a process may have open."""

    def __init__(self, path: Place) -> None:
        self._path, self._metadata = path, None
        with library(), self._opened() as file:
            self._metadata = meta = file.metadata
            self.schema = file.schema_arrow
            sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        if min(sizes, default=0) < 0 or sum(sizes) != meta.num_rows:
            raise DamagedError("row groups that do not add up")
        self.starts, self.n_rows, self.n_parts = _starts(sizes), meta.num_rows, len(sizes)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        from pyarrow.parquet import ParquetFile

        if isinstance(self._path, Remote):
            # Few large requests: a store answers each of them late. A row group is in memory as it is packed.
            with self._path.open() as source, ParquetFile(source, metadata=self._metadata, pre_buffer=True) as file:
                yield file
            return
        # Buffered: a column of a row group is read page by page, so that a row group may be larger than memory.
        options = {"buffer_size": 1 << 16, "pre_buffer": False, "memory_map": False}
        with ParquetFile(self._path, metadata=self._metadata, **options) as file:
            yield file

    def batches(self, part: int, columns: Sequence[str], n_rows: int) -> Iterator[Any]:
        with self._opened() as file:
            yield from file.iter_batches(n_rows, row_groups=[part], columns=list(columns), use_threads=False)


class _Ipc:
    """Arrow's file format."""

    def __init__(self, path: Place) -> None:
        self._path = path
        with library(), self._file() as file:
            reader = self._reader(file)
            self.schema, self.n_parts = reader.schema, reader.num_record_batches
        if self.n_parts > path.stat().st_size // 8:
            raise DamagedError(f"{self.n_parts} record batches")
        sizes = self._sizes()
        self.starts, self.n_rows = _starts(sizes), sum(sizes)

    def _file(self) -> Any:
        import pyarrow as pa

        return self._path.open() if isinstance(self._path, Remote) else pa.OSFile(str(self._path))

    def _reader(self, file: Any, **options: Any) -> Any:
        import pyarrow as pa

        return pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(use_threads=False, **options))

    def _sizes(self) -> list[int]:
        """Rows of each batch, of which only one column is read for it."""
        with library(), self._file() as file:
            reader = self._reader(file, included_fields=[0])
            return [reader.get_batch(i).num_rows for i in range(self.n_parts)]

    def batches(self, part: int, columns: Sequence[str], n_rows: int) -> Iterator[Any]:
        with self._file() as file:
            batch = self._reader(file).get_batch(part)
        for start in range(0, batch.num_rows, n_rows):
            yield batch.select(columns).slice(start, n_rows)


class _Stream(_Ipc):
    """Arrow's stream format, as Hugging Face datasets keeps its files: one part."""

    def _reader(self, file: Any, **options: Any) -> Any:
        import pyarrow as pa

        return pa.ipc.open_stream(file, options=pa.ipc.IpcReadOptions(use_threads=False, **options))

    def __init__(self, path: Place) -> None:
        self._path, self.n_parts, self.starts = path, 1, [0]
        with library(), self._file() as file:
            reader = self._reader(file)
            self.schema, self.n_rows = reader.schema, sum(batch.num_rows for batch in reader)

    def batches(self, part: int, columns: Sequence[str], n_rows: int) -> Iterator[Any]:
        with self._file() as file:
            for batch in self._reader(file):
                for start in range(0, batch.num_rows, n_rows):
                    yield batch.select(columns).slice(start, n_rows)


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *accumulate(sizes)][: len(sizes)]

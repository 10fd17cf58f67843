"""Files of mixed tables: whole, in memory, with columns of any type."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dsae.config import FORMATS
from dsae.data._arrow import ArrowReader
from dsae.data._batch import Rows
from dsae.data._columns import Choice
from dsae.data._delimiter import MISSING
from dsae.data._folder import FolderReader
from dsae.data._open import open_reader
from dsae.data._place import place_of
from dsae.data._reader import MemoryReader, Reader, ReadOptions
from dsae.data._stream import StreamSource
from dsae.data._text import TextReader
from dsae.data._write import packed_target

if TYPE_CHECKING:
    import pyarrow as pa

_CSV_ROWS_AT_ONCE = 4096  # formatted at once; any such number does


class Converted(NamedTuple):
    """Rows of numbers that a table becomes, with the names that go with them."""

    rows: Rows
    column_names: list[str]
    ids: np.ndarray | None = None
    id_name: str | None = None
    labels: np.ndarray | None = None
    label_name: str | None = None


class TextTable(TextReader):
    """All columns of a file of text, each of the type that all its values have."""

    def _choose(self, sample: Sequence[bytes]) -> None:
        self._features = list(range(len(self._names)))
        self._booleans, self._id, self._label, self._guessed = [], None, None, None
        self.n_features, self.column_names = len(self._names), _different(self._names)

    def table(self) -> pa.Table:
        """All rows. Numbers, dates and text are told apart; ``NA`` and empty cells are missing."""
        records = [record for _, record in self._rows_of_text()]
        return self._parsed(0, records, None).rename_columns(self.column_names)

    def _conversion(self, wanted: Sequence[int] | None) -> Any:
        """Of the types that all values allow; ``TRUE`` stays text, which is written again as it was."""
        import pyarrow as pa
        import pyarrow.csv

        texts = [str(i) for i, name in enumerate(self.column_names or ()) if name in self._options.texts]
        return pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(texts, pa.string()),
            null_values=MISSING,
            strings_can_be_null=True,
            true_values=[],
            false_values=[],
            decimal_point=self._options.decimal,
        )


class ArrowTable(ArrowReader):
    """All columns of a Parquet or Arrow file."""

    def _chosen(self, schema: Any, options: ReadOptions) -> Choice:
        return Choice(list(schema.names), None, None, False)

    def table(self) -> pa.Table:
        """All rows."""
        return self._first(self._file.schema.names, len(self))


def _different(names: Sequence[str]) -> list[str]:
    """Names of columns; those that were there before get a number, as pandas gives them."""
    found: dict[str, None] = {}
    for name in names:
        unique, n = name, 1
        while unique in found:
            unique, n = f"{name}.{n}", n + 1
        found[unique] = None
    return list(found)


def read_tables(path: str | Path, **options: Any) -> list[tuple[Any, pa.Table]]:
    """The table in a file, or those in the files of a folder, in memory, with the readers that they come from.

    Parameters
    ----------
    path : str or Path
        Of text, Parquet or Arrow; ``-`` is standard input.
    **options
        ``delimiter, decimal, encoding`` of `open_rows`, and ``texts``, names of columns that are text whatever they
        look like.

    Raises
    ------
    ValueError
        If the format is none of tables, or the file is damaged.
    OSError
        If it cannot be read.
    """
    reader: Any = open_reader(path, ReadOptions(**options, whole=True))
    return [(file, file.table()) for file in reader.files or [reader]]


class TableReader(MemoryReader):
    """Rows of numbers made of a table; values that are missing there are NaN."""

    def __init__(self, source: Reader, table: pa.Table, made: Converted) -> None:
        self.path, self.name, self.format, self._stamp, self.table = (
            source.path,
            source.name,
            source.format,
            None,
            table,
        )
        self.rows, self.column_names = made.rows, made.column_names
        self.ids, self.id_name, self.labels, self.label_name = made.ids, made.id_name, made.labels, made.label_name
        self.n_rows, self.n_features = made.rows.shape


def table_source(
    path: str | Path,
    tables: Sequence[tuple[Reader, pa.Table]],
    convert: Callable[[pa.Table], Converted],
    missing: str = "error",
) -> StreamSource:
    """A source of the rows of numbers that ``convert`` makes of the tables that `read_tables` has read."""
    # By file, as a folder of codes has a file for each.
    readers = [TableReader(source, table, convert(table)) for source, table in tables]
    is_folder = str(path) != "-" and place_of(path).is_dir()
    return StreamSource(FolderReader(place_of(path), readers) if is_folder else readers[0], missing=missing)


def write_table(path: str | Path, tables: pa.Table | Iterable[pa.Table], format: str | None = None) -> None:
    """Write a table of columns of any type, by a sibling file and a rename.

    Parameters
    ----------
    path : str or Path
        Ends in csv, tsv, parquet, arrow or feather, text also compressed; ``-`` is standard output.
    tables : pyarrow.Table, or iterable of it
        Whole, or at least one piece of the same columns after another. The first is there before the file is opened.
    format : str, optional
        By default what ``path`` ends in, and csv for standard output.

    Raises
    ------
    ValueError
        If the format is none of tables.
    OSError
        If the file cannot be written; what was there before is left as it was.
    """
    pieces: Iterator[Any] = iter([tables] if hasattr(tables, "schema") else tables)
    first = next(pieces)
    with packed_target(path, format, ("csv", "tsv", "parquet", "arrow", "feather")) as (kind, file):
        if kind in ("csv", "tsv"):
            _write_text(file, first.column_names, chain([first], pieces), "," if kind == "csv" else "\t")
            return
        import pyarrow as pa
        import pyarrow.parquet

        open_writer: Any = pyarrow.parquet.ParquetWriter if kind == "parquet" else pa.ipc.new_file
        with open_writer(file, first.schema) as writer:
            for table in chain([first], pieces):
                writer.write_table(table)


def _write_text(file: Any, names: Sequence[str], tables: Iterable[pa.Table], delimiter: str) -> None:
    def write(lines: Any) -> None:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
        file.write(text.getvalue().encode())

    write([names])
    for table in tables:
        for start in range(0, table.num_rows, _CSV_ROWS_AT_ONCE):
            columns = table.slice(start, _CSV_ROWS_AT_ONCE).columns
            write(zip(*map(_written, columns), strict=True))


def _written(column: Any) -> list[Any]:
    """Values as text has them; float32 in its own shortest digits."""
    import pyarrow as pa

    if pa.types.is_floating(column.type) and not pa.types.is_float64(column.type):
        missing = column.is_null().to_pylist()
        values = column.to_numpy().astype(str).tolist()
        return ["" if empty else value for empty, value in zip(missing, values, strict=True)]
    return column.to_pylist()


TABLES = tuple(name for name, kind in FORMATS.items() if kind.table is not None)
"""Formats of mixed tables."""

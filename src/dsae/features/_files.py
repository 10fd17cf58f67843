"""Files of mixed tables: fitted, read for a model, and written in the shape they had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.data import Converted, StreamSource, read_tables, table_source
from dsae.features._filled import completed
from dsae.features._rows import TableRows
from dsae.features._schema import Schema
from dsae.features._values import plain

if TYPE_CHECKING:
    import pyarrow as pa

_OF_FILES = ("delimiter", "decimal", "encoding")
_OF_ROWS = ("id_column", "label_column")


def fit_table(path: str | Path, **options: Any) -> tuple[TableRows, StreamSource, bool]:
    """What the columns of a file or folder of tables are, and their rows in memory.

    Parameters
    ----------
    path : str or Path
        Of text, Parquet or Arrow.
    **options
        ``columns, exclude, id_column, label_column, delimiter, decimal, encoding`` of `dsae.data.open_rows`.

    Returns
    -------
    rows : TableRows
        Fitted.
    source : StreamSource
        Rows of numbers with the ids and labels of the table.
    has_empty : bool
        Whether any of them are not known; `StreamSource.with_missing` says what that means.

    Raises
    ------
    ValueError
        If the file is no table or has nothing to learn from; see `TableRows.fit`.
    OSError
        If it cannot be read.
    """
    import pyarrow as pa

    reading = {name: options.pop(name) for name in _OF_FILES if name in options}
    named = tuple(options[name] for name in _OF_ROWS if options.get(name) is not None)
    tables = read_tables(path, **reading, texts=named)
    # Permissive: a column may hold whole numbers in one file and fractions in another.
    rows = TableRows(**options).fit(pa.concat_tables([table for _, table in tables], promote_options="permissive"))
    has_empty = False

    def converted(table: pa.Table) -> Converted:
        nonlocal has_empty
        made = _converted(rows, table, {})
        has_empty |= bool(np.isnan(made.rows).any())
        return made

    source = table_source(path, tables, converted)
    return rows, source, has_empty


def open_table(path: str | Path, schema: Schema, *, missing: str = "error", **options: Any) -> StreamSource:
    """Rows of numbers of a file or folder of tables, as a model of such tables takes them.

    Parameters
    ----------
    path : str or Path
    schema : Schema
        Of the table that the model was fitted to.
    missing : {"error", "mask"}
        Whether empty cells are refused, or are values that are not known.
    **options
        ``id_column, label_column, delimiter, decimal, encoding`` of `dsae.data.open_rows`; the first two by default as
        in training.

    Raises
    ------
    ValueError
        If the file is no table or lacks a column.
    OSError
        If it cannot be read.
    """
    for name in options:
        if name not in (*_OF_FILES, *_OF_ROWS):
            raise ValueError(f"[read] {path}: the model has learned which columns to take; leave {name} out.")
    reading = {name: value for name, value in options.items() if name in _OF_FILES}
    rows, texts = TableRows.of(schema), _texts(schema)
    texts += [options[name] for name in _OF_ROWS if name in options]
    tables = read_tables(path, **reading, texts=tuple(texts))
    return table_source(path, tables, lambda table: _converted(rows, table, options), missing)


def _texts(schema: Schema) -> list[str]:
    """Columns that were text in training, and are now, if numbers should be all they hold."""
    return [column.name for column in schema.columns if column.type == "string" and column.kind != "left out"]


def _converted(rows: TableRows, table: pa.Table, options: dict[str, Any]) -> Converted:
    schema = rows.schema_
    ids, labels = (options.get(f"{kind[:-1]}_column") or schema.named(kind) for kind in ("ids", "labels"))
    for name in (options.get("id_column"), options.get("label_column")):
        if name is not None and name not in table.column_names:
            raise ValueError(f"[read] The table has no column {name!r}; it has {', '.join(table.column_names[:20])}.")
    names = schema.feature_names
    return Converted(
        rows.transform(table).astype(np.float32, copy=False), names, *_named(table, ids), *_named(table, labels)
    )


def _named(table: pa.Table, name: str | None) -> tuple[np.ndarray | None, str | None]:
    if name is None or name not in table.column_names:
        return None, None
    values = plain(table.column(name)).to_pylist()
    return np.fromiter(values, dtype=object, count=len(values)), name


def restored(schema: Schema, rows: np.ndarray, beside: pa.Table | None = None, keep_known: bool = False) -> pa.Table:
    """The table that rows of numbers mean, in the shape of the one that they were made of.

    Parameters
    ----------
    schema : Schema
    rows : ndarray, shape (n_rows, n_features)
    beside : pyarrow.Table, optional
        Its columns that are no features, ids and text among them, stay where they are.
    keep_known : bool
        Whether its values stay, and only those that are missing are taken from ``rows``.
    """
    import pyarrow as pa

    made = TableRows.of(schema).to_arrow(rows)
    if beside is None:
        return made
    columns: dict[str, Any] = {}
    for name in beside.column_names:
        column = beside.column(name)
        if name in made.column_names:
            column = completed(column, made.column(name)) if keep_known else made.column(name)
        columns[name] = column
    return pa.table(columns)

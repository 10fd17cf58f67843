"""An Arrow table in memory as rows, whatever its columns of numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dsae.data._arrow import dense, kind_of, vectors
from dsae.data._batch import Rows
from dsae.data._reader import check_known

NUMBERS = ("number", "whole")


def arrow_rows(verb: str, table: Any, columns: Sequence[str] | None = None) -> Rows:
    """Rows of a table: its columns of numbers, or its one column of lists of numbers.

    Parameters
    ----------
    verb : str
        Named in messages.
    table : pyarrow.Table or RecordBatch
    columns : sequence of str, optional
        The features, in this order; by default all columns.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_features)
        NaN where a value is missing.

    Raises
    ------
    ValueError
        If a column is missing or holds anything else, or lists are of different lengths.
    """
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    names = list(table.column_names if columns is None else columns)
    check_known("the table", names, table.column_names)
    kinds = {name: kind_of(table.schema.field(name).type) for name in names}
    odd = [f"{name!r} ({kind})" for name, kind in kinds.items() if kind not in NUMBERS]
    if [*kinds.values()] == ["vector"]:
        return _lists(verb, table.column(names[0]))
    if odd or not names:
        raise ValueError(
            f"[{verb}] A table must have columns of numbers, or one column of lists of them; got "
            f"{', '.join(odd) or 'no column'}. Name the features by columns, and the ids by id_column."
        )
    if not table.num_rows:
        return np.zeros((0, len(names)), np.float32)
    with np.errstate(over="ignore"):  # too large a value becomes infinity, which is refused with its row
        return np.ascontiguousarray(dense(table.select(names)), np.float32)


def _lists(verb: str, column: Any) -> np.ndarray:
    import pyarrow as pa

    # a column of a table is in pieces, and may be in none
    pieces = [piece for piece in column.chunks if len(piece)]
    if not pieces:
        width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 0
        return np.zeros((0, width), np.float32)
    first = next((value for value in pieces[0] if value.is_valid), None)
    width = 0 if first is None else len(first)
    with np.errstate(over="ignore"):
        found = [np.ascontiguousarray(vectors("the table", 0, piece, width), np.float32) for piece in pieces]
    return found[0] if len(found) == 1 else np.concatenate(found)

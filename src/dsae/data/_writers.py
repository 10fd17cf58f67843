"""What takes rows, with their ids where there are any, one chunk after another, and writes a file of them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.lib import format as npy

from dsae.data._batch import Rows
from dsae.data._columns import PANDAS_INDEX

_CSV_ROWS_AT_ONCE = 4096  # formatted at once; any such number does
_GROUP_BYTES = 1 << 25  # a row group: as large as a reader can hold several of
_TEXTS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
_FRAME = {"encoding-type": "dataframe", "encoding-version": "0.2.0"}


class Writer(Protocol):
    """Made of an open file, the number of rows, the names of columns, that of ids, and whether rows are CSR."""

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what comes last."""


def _kind(rows: Rows) -> str:
    """Of the numbers in a file: float64 for rows that are wider than float32."""
    # 32-bit integers do not fit into float32.
    return "<f8" if rows.dtype.itemsize > 4 or rows.dtype in (np.int32, np.uint32) else "<f4"


class NpyWriter:
    """Rows of an array, as wide as the first ones; names and ids have no place in it."""

    def __init__(self, file: BinaryIO, n_rows: int, names: Sequence[str], id_name: str | None, sparse: bool) -> None:
        self._file, self._shape, self._descr = file, (n_rows, len(names)), ""

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""
        if not self._descr:
            self._begin(_kind(rows))
        self._file.write(np.ascontiguousarray(rows, self._descr).data)

    def _begin(self, descr: str) -> None:
        self._descr = descr
        # Not numpy.save: it asks where the file stands, which a pipe cannot say.
        npy.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": self._shape})

    def close(self) -> None:
        """All is written, but perhaps for the header."""
        if not self._descr:
            self._begin("<f4")


class NpzWriter:
    """An archive of one array ``X``, or scipy's of a CSR matrix, which is in memory until the last row."""

    def __init__(self, file: BinaryIO, n_rows: int, names: Sequence[str], id_name: str | None, sparse: bool) -> None:
        self._file, self._pieces, self._array = file, [], None
        if not sparse:
            self._archive = zipfile.ZipFile(file, "w")
            # zip64, since its size is not known when it begins
            self._member: Any = self._archive.open("X.npy", "w", force_zip64=True)
            self._array = NpyWriter(self._member, n_rows, names, id_name, sparse)

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""
        if self._array is None:
            self._pieces.append(sp.csr_matrix(rows))
        else:
            self._array.write(rows)

    def close(self) -> None:
        """Write the matrix, or the directory of the archive."""
        if self._array is None:
            sp.save_npz(self._file, sp.vstack(self._pieces, format="csr"))
        else:
            self._array.close()
            self._member.close()
            self._archive.close()


class CsvWriter:
    """Lines of the shortest digits that read back as the same numbers; without names, no header."""

    _delimiter = ","

    def __init__(self, file: BinaryIO, n_rows: int, names: Sequence[str], id_name: str | None, sparse: bool) -> None:
        self._file, self._with_ids = file, id_name is not None
        header = [*names] if id_name is None else [id_name, *names]
        if any(header):
            self._write_lines([header])

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""
        for start in range(0, rows.shape[0], _CSV_ROWS_AT_ONCE):
            piece = slice(start, start + _CSV_ROWS_AT_ONCE)
            lines = rows[piece].astype(str).tolist()
            if ids is not None and self._with_ids:
                lines = [["" if i is None else i, *line] for i, line in zip(ids[piece], lines, strict=True)]
            self._write_lines(lines)

    def _write_lines(self, lines: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(lines)
        self._file.write(text.getvalue().encode())

    def close(self) -> None:
        """All is written."""


class TsvWriter(CsvWriter):
    """The same with tabs."""

    _delimiter = "\t"


class ArrowWriter:
    """Record batches of about 32 MiB; ids are the index, as pandas writes it."""

    def __init__(self, file: BinaryIO, n_rows: int, names: Sequence[str], id_name: str | None, sparse: bool) -> None:
        self._names, self._file = list(names), file
        self._id = PANDAS_INDEX[2] if id_name == "" else id_name
        self._writer: Any = None
        self._held: list[tuple[np.ndarray, np.ndarray | None]] = []
        if len({*names, self._id}) != len(names) + 1:
            raise ValueError(f"[write] columns must be named differently; got {', '.join(map(str, names))}.")

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""
        self._held.append((rows, ids))
        if sum(piece.nbytes for piece, _ in self._held) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        rows = np.concatenate([piece for piece, _ in self._held])
        named = [ids for _, ids in self._held if ids is not None]
        self._held = []
        # the copy makes columns contiguous, which Arrow takes as they are
        columns = {name: pa.array(column) for name, column in zip(self._names, rows.T.copy(), strict=True)}
        metadata = None
        if named and self._id is not None:
            columns = {self._id: pa.array(np.concatenate(named).tolist()), **columns}
            metadata = _as_index(self._id, str(columns[self._id].type))
        batch = pa.record_batch(columns).replace_schema_metadata(metadata)
        if self._writer is None:
            self._writer = self._begun(batch.schema)
        self._writer.write_batch(batch)

    def _begun(self, schema: Any) -> Any:
        import pyarrow as pa

        return pa.ipc.new_file(self._file, schema)

    def close(self) -> None:
        """Write what comes last."""
        if self._held:
            self._flush()
        if self._writer is not None:
            self._writer.close()


class ParquetWriter(ArrowWriter):
    """Row groups of about 32 MiB.

    Only ids get a dictionary: one of numbers that hardly repeat makes a column half as long again, in the file and in
    the reader's memory.
    """

    def _begun(self, schema: Any) -> Any:
        import pyarrow.parquet

        writer: Any = pyarrow.parquet.ParquetWriter
        return writer(self._file, schema, use_dictionary=[name for name in schema.names if name == self._id])


def _as_index(name: str, kind: str) -> dict[bytes, bytes]:
    """What makes pandas, and our reader, take a column for the index."""
    column = {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": "object", "metadata": None}
    return {b"pandas": json.dumps({"index_columns": [name], "column_indexes": [], "columns": [column]}).encode()}


class H5adWriter:
    """The X of an AnnData file."""

    def __init__(self, file: BinaryIO, n_rows: int, names: Sequence[str], id_name: str | None, sparse: bool) -> None:
        import h5py

        if id_name is not None and ("/" in id_name or id_name == "."):
            raise ValueError(f"[write] in .h5ad the column of ids has a name without '/'; got {id_name!r}.")
        for name in (*names, id_name or ""):
            if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
                raise ValueError(f"[write] .h5ad holds no name with NUL or half a surrogate pair; got {name!r}.")
        self._n, self._text = 0, h5py.string_dtype()
        self._file = h5py.File(file, "w")
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        self._X: Any = None
        self._shape = n_rows, len(names)
        self._obs = self._frame("obs", id_name or "_index", n_rows)
        self._frame("var", "_index", len(names))[:] = list(names)
        for empty in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            self._file.create_group(empty).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})

    def _begin(self, kind: str) -> None:
        self._X = self._file.create_dataset("X", self._shape, kind)
        self._X.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    def _frame(self, name: str, index: str, n: int) -> Any:
        group = self._file.create_group(name)
        group.attrs.update({**_FRAME, "_index": index, "column-order": np.array([], dtype="S1")})
        names = group.create_dataset(index, (n,), self._text)
        names.attrs.update(_TEXTS)
        return names

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows; those without an id are numbered."""
        span = slice(self._n, self._n + len(rows))
        if self._X is None:
            self._begin(_kind(rows))
        self._X[span] = rows  # pyright: ignore
        ids = np.arange(span.start, span.stop) if ids is None else ids
        self._obs[span] = ["" if i is None else str(i) for i in ids]
        self._n = span.stop

    def close(self) -> None:
        """Write what comes last."""
        if self._X is None:
            self._begin("<f4")
        self._file.close()


class ObsmWriter:
    """Rows into ``obsm`` of a copy of the AnnData file that they were made of."""

    def __init__(self, file: BinaryIO, n_rows: int, n_columns: int, key: str) -> None:
        import h5py

        self._file, self._n = h5py.File(file, "r+"), 0
        group = self._file.require_group("obsm")
        if key in group:
            del group[key]
        self._data = group.create_dataset(key, (n_rows, n_columns), np.float32)
        self._data.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        group.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""
        self._data[self._n : self._n + len(rows)] = rows
        self._n += len(rows)

    def close(self) -> None:
        """Write what comes last."""
        self._file.close()

"""AnnData in .h5ad and .zarr, the .h5 of 10x Genomics, and plain HDF5, read in spans of rows by h5py and zarr.

anndata itself lays these files out; its own backed reader brings everything but X into memory. h5py trusts a file's
structure: HDF5 files must come from somewhere you trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._arrays import gene_names, named
from dsae.data._batch import Rows
from dsae.data._errors import DamagedError, library
from dsae.data._hdf5 import Node, as_text, column, length, opened
from dsae.data._reader import SPANS_AT_ONCE, MemoryReader, Reader, ReadOptions, SpanReader, check_known, rows_at_once
from dsae.data._selected import selected
from dsae.data._shape import check_real, check_shape, shape_fields


class MatrixReader(SpanReader):
    """Rows of an array, or of a CSR matrix in a group of three arrays.

    Parameters
    ----------
    path : Path
    at : str
        Where the matrix is in the file.
    ids : str, optional
        Where the names of the rows are.
    labels : str, optional
    shape : tuple of int, optional
        Of the matrix, where the group does not say.
    """

    def __init__(
        self, path: Path, at: str, ids: str | None, labels: str | None, shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(path)
        self._at, self._ids_at, self._labels_at = at, ids, labels
        with opened(path) as file:
            X = file[at]
            self._sparse = not X.is_array
            self._shape = shape or (X.sizes("shape") if self._sparse else X.shape)
            check_shape(self.name, self._shape)
            self.n_rows, self.n_features = self._shape[0], int(np.prod(self._shape[1:]))
            check_real(self.name, (X["data"] if self._sparse else X).dtype)
            # A stored value takes two numbers, itself and its column.
            self._width = max(1, 2 * self._n_stored(X) // self.n_rows) if self._sparse else self.n_features
            block = 1 if self._sparse else X.block
            # whole packed blocks, so that each is unpacked once
            self._block_rows = max(1, SPANS_AT_ONCE * self._span // block) * block
            for names in (ids, labels):
                if names is not None and length(file[names]) != self.n_rows:
                    raise DamagedError(f"{length(file[names])} names for {self.n_rows} rows")
        self.fields = shape_fields(self._shape)

    def _n_stored(self, X: Node) -> int:
        """Values of a CSR matrix, whose parts fit together."""
        indices, indptr = X["indices"], X["indptr"]
        shapes = len(self._shape), X["data"].shape, indices.shape, indptr.shape
        if shapes != (2, indices.shape[:1], indices.shape[:1], (self.n_rows + 1,)) or {
            indices.dtype.kind,
            indptr.dtype.kind,
        } - {"i", "u"}:
            raise DamagedError("the parts of X do not fit together")
        return indices.shape[0]

    @property
    def _span(self) -> int:
        return rows_at_once(self._width)

    @property
    def _at_once(self) -> int:
        return self._block_rows

    def _block(self, start: int, stop: int, ids: bool) -> tuple[Rows, np.ndarray | None, np.ndarray | None]:
        with opened(self.path) as self._file:
            return super()._block(start, stop, ids)

    def _rows(self, start: int, stop: int) -> Rows:
        X = self._file[self._at]
        if not self._sparse:
            return X.read(start, stop).reshape(stop - start, -1)
        indptr = X["indptr"].read(start, stop + 1)
        low, high = int(indptr[0]), int(indptr[-1])
        if not 0 <= low <= high <= X["data"].shape[0]:
            raise DamagedError("rows that begin nowhere")
        parts = (X["data"].read(low, high), X["indices"].read(low, high), indptr - low)
        with library():
            rows = sp.csr_matrix(parts, shape=(stop - start, self.n_features))
            rows.check_format(full_check=True)
        rows.sum_duplicates()  # also sorts the columns, which writers need not do
        return rows

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        return None if self._ids_at is None else column(self._file[self._ids_at], start, stop)

    def _labels(self, start: int, stop: int) -> np.ndarray | None:
        return None if self._labels_at is None else column(self._file[self._labels_at], start, stop)


def open_anndata(path: Path, options: ReadOptions) -> Reader:
    """Observations of X, or of a layer, of ``obsm`` or of ``raw``, with their names and those of the variables."""
    name, (at, frame) = str(path), _place(options)
    with opened(path) as file:
        _check_place(name, file, at)
        ids = _index(file, "obs") if options.id_column is None else _column(name, file, options.id_column)
        labels = None if options.label_column is None else _column(name, file, options.label_column)
        X = file[at]
        encoding = X.attribute("encoding-type")
        if encoding == "dataframe":
            reader = _of_frame(path, X, file, ids, labels)
        # Columns cannot be read by spans of rows.
        elif encoding == "csc_matrix" and not X.is_array:
            parts = tuple(X[part].read() for part in ("data", "indices", "indptr"))
            with library():
                matrix: Any = sp.csc_matrix(parts, shape=X.sizes("shape"))
                matrix.check_format(full_check=True)
            reader = _in_memory(path, matrix, file, ids, labels)
        else:
            reader = MatrixReader(path, at, ids, labels)
        index = None if frame is None else _index(file, frame)
        if index is not None:
            names = [str(value) for value in column(file[index])]
            if len(names) != reader.n_features:
                raise DamagedError(f"{len(names)} names for {reader.n_features} columns")
            reader.column_names = names
    reader.id_name = _last(ids)
    reader.label_name = options.label_column
    return selected(reader, options)


def _place(options: ReadOptions) -> tuple[str, str | None]:
    """Where the rows are, and the frame that names their columns."""
    if options.raw + (options.layer is not None) + (options.obsm is not None) > 1:
        raise ValueError("[read] layer, obsm and raw exclude one another; give one.")
    if options.raw:
        return "raw/X", "raw/var"
    if options.layer is not None:
        return f"layers/{options.layer}", "var"
    return ("X", "var") if options.obsm is None else (f"obsm/{options.obsm}", None)


def _check_place(name: str, file: Node, at: str) -> None:
    if at in file:
        return
    group, _, key = at.rpartition("/")
    found = ", ".join(file[group].keys()) if group in file and group != "raw" else ""
    if at == "X":
        inside = {kind: file[group].keys() for kind, group in _GROUPS.items() if group in file}
        found = ", ".join(f"{kind}={key!r}" for kind, keys in inside.items() for key in keys)
    raise ValueError(f"[read] {name} has no {key if group == '' else at}; it has {found or 'none'}.")


_GROUPS = {"layer": "layers", "obsm": "obsm"}


def _of_frame(path: Path, frame: Node, file: Node, ids: str | None, labels: str | None) -> Reader:
    """A data frame in ``obsm``, whose columns are features."""
    order = frame.attribute("column-order")
    if np.ndim(order) != 1:
        raise DamagedError("a data frame without an order of its columns")
    names = [as_text(name) for name in order]
    check_shape(str(path), (1, len(names)))
    columns = [column(frame[name]) for name in names]
    if len({values.shape for values in columns}) > 1 or columns[0].ndim != 1:
        raise DamagedError("a data frame of columns of different lengths")
    for values in columns:
        check_real(str(path), values.dtype)
    reader = _in_memory(path, np.stack(columns, axis=1), file, ids, labels)
    reader.column_names = names
    return reader


def _in_memory(path: Path, X: Any, file: Node, ids: str | None, labels: str | None) -> MemoryReader:
    found = [None if at is None else column(file[at]) for at in (ids, labels)]
    for value in found:
        if value is not None and len(value) != X.shape[0]:
            raise DamagedError(f"{len(value)} names for {X.shape[0]} rows")
    return MemoryReader(path, X, None, found[0], None, found[1])


def _index(file: Node, frame: str) -> str | None:
    """Where the names of observations or variables are."""
    index = file[frame].attribute("_index") if frame in file else None
    return None if index is None else f"{frame}/{as_text(index)}"


def _column(name: str, file: Node, column: str) -> str:
    known = [key for key in file["obs"].keys() if key != "__categories"]  # noqa: SIM118
    check_known(name, [column], known)
    return f"obs/{column}"


def _last(at: str | None) -> str | None:
    name = None if at is None else at.rsplit("/", 1)[1]
    return "" if name == "_index" else name  # anndata's name for an index without one


def open_hdf5(path: Path, options: ReadOptions) -> Reader:
    """A data set of an HDF5 file, or the cells of a file that Cell Ranger has written."""
    with opened(path) as file:
        found = file.arrays()
        groups = [key.rpartition("/")[0] for key in found if key.endswith("barcodes")]
        group = next((group for group in groups if {f"{group}/{part}" for part in _TENX} <= found.keys()), None)
        if group is not None and options.key is None:
            return selected(_open_tenx(path, file, group), options)
        numbers = [key for key, item in found.items() if len(item.shape) > 1 and item.dtype.kind in "biuf"]
        key = named(str(path), numbers if options.key is None else found, options.key)
    return selected(MatrixReader(path, key, None, None), options)


_TENX = ("barcodes", "data", "indices", "indptr", "shape")


def _open_tenx(path: Path, file: Node, group: str) -> Reader:
    """Genes x cells by columns are cells x genes by rows."""
    root = file[group]
    names, ids = ("features/name", "features/id") if "features" in root else ("gene_names", "genes")
    shape = root["shape"].read()
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise DamagedError(f"a shape of {shape}")
    n_genes, n_cells = map(int, shape)
    reader = MatrixReader(path, group, f"{group}/barcodes", None, (n_cells, n_genes))
    named = [column(root[part]).tolist() for part in (names, ids)]
    if any(len(values) != n_genes for values in named):
        raise DamagedError(f"{', '.join(str(len(values)) for values in named)} names for {n_genes} genes")
    reader.column_names = gene_names(*named)
    reader.id_name = "barcode"
    return reader

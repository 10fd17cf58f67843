"""AnnData in .h5ad and .zarr, the .h5 of 10x Genomics, and plain HDF5, read in spans of rows by h5py and zarr.

anndata itself lays these files out; its own backed reader brings everything but X into memory. h5py trusts a file's
structure: HDF5 files must come from somewhere you trust.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._arrays import gene_names, named
from dsae.data._batch import Rows
from dsae.data._reader import (
    Chunk,
    MemoryReader,
    Reader,
    ReadOptions,
    SpanReader,
    check_known,
    check_real,
    check_shape,
    rows_at_once,
    selected,
    shape_fields,
)

_SPANS_AT_ONCE = 8
_CACHE_BYTES = 1 << 25  # of packed blocks that two rows share


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The root of an HDF5 file or of a zarr folder."""
    if path.is_dir():
        import zarr

        yield zarr.open_group(str(path), mode="r")
        return
    import h5py

    with h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES) as file:
        yield file


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
            self._sparse = not hasattr(X, "shape")
            self._shape = tuple(int(n) for n in (shape or (X.attrs["shape"] if self._sparse else X.shape)))
            check_shape(self.name, self._shape)
            self.n_rows, self.n_features = self._shape[0], int(np.prod(self._shape[1:]))
            parts = [X[part] for part in ("data", "indices", "indptr")] if self._sparse else [X]
            for part in parts:
                check_real(self.name, part.dtype)
            self._width = self.n_features
            if self._sparse:
                n = parts[0].shape[0]
                if parts[1].shape[0] != n or parts[2].shape[0] != self.n_rows + 1:
                    raise ValueError("the parts of X do not fit together")
                self._width = max(1, 2 * n // self.n_rows)
            block = 1 if self._sparse else (getattr(X, "chunks", None) or (1,))[0]
            spans = _SPANS_AT_ONCE * rows_at_once(self._width)
            self._rows_at_once = max(1, spans // block) * block
            for names in (ids, labels):
                if names is not None and length(file[names]) != self.n_rows:
                    raise ValueError(f"{length(file[names])} names for {self.n_rows} rows")
        self.fields = shape_fields(self._shape)

    @property
    def n_parts(self) -> int:
        """Groups of spans that are read at once."""
        return -(-self.n_rows // self._rows_at_once)

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        """A part is read by one call, so that packed blocks are unpacked once, and given out in spans."""
        first = part * self._rows_at_once
        last = min(first + self._rows_at_once, self.n_rows)
        with opened(self.path) as self._file:
            rows = self._rows(first, last)
            named = [self._ids(first, last), self._labels(first, last)] if ids else [None, None]
        step = rows_at_once(self._width)
        for start in range(0, last - first, step):
            span = slice(start, start + step)
            yield Chunk(first + start, rows[span], *(None if values is None else values[span] for values in named))

    def _rows(self, start: int, stop: int) -> Rows:
        X = self._file[self._at]
        if not self._sparse:
            return X[start:stop].reshape(stop - start, -1)
        indptr = X["indptr"][start : stop + 1]
        low, high = int(indptr[0]), int(indptr[-1])
        if not 0 <= low <= high <= X["data"].shape[0]:
            raise ValueError("rows that begin nowhere")
        parts = (X["data"][low:high], X["indices"][low:high], indptr - low)
        rows = sp.csr_matrix(parts, shape=(stop - start, self.n_features))
        rows.check_format(full_check=True)
        rows.sum_duplicates()
        return rows

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        return None if self._ids_at is None else values(self._file[self._ids_at], start, stop)

    def _labels(self, start: int, stop: int) -> np.ndarray | None:
        return None if self._labels_at is None else values(self._file[self._labels_at], start, stop)


def open_anndata(path: Path, options: ReadOptions) -> Reader:
    """Observations of X, or of a layer, of ``obsm`` or of ``raw``, with their names and those of the variables."""
    name, (at, frame) = str(path), _place(options)
    with opened(path) as file:
        _check_place(name, file, at)
        ids = _index(file, "obs") if options.id_column is None else _column(name, file, options.id_column)
        labels = None if options.label_column is None else _column(name, file, options.label_column)
        X = file[at]
        if X.attrs.get("encoding-type") == "dataframe":
            reader = _of_frame(path, X, file, ids, labels)
        elif _is_csc(X):
            parts = (X[part][:] for part in ("data", "indices", "indptr"))
            matrix: Any = sp.csc_matrix(tuple(parts), shape=tuple(int(n) for n in X.attrs["shape"]))
            matrix.check_format(full_check=True)
            reader = _in_memory(path, matrix, file, ids, labels)
        else:
            reader = MatrixReader(path, at, ids, labels)
        index = None if frame is None else _index(file, frame)
        if index is not None:
            names = [str(value) for value in values(file[index], 0, length(file[index]))]
            if len(names) != reader.n_features:
                raise ValueError(f"{len(names)} names for {reader.n_features} columns")
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


def _check_place(name: str, file: Any, at: str) -> None:
    if at in file:
        return
    group, _, key = at.rpartition("/")
    found = ", ".join(file[group]) if group in file and group != "raw" else ""
    if at == "X":
        found = ", ".join(f"{kind}={key!r}" for kind in ("layer", "obsm") for key in file.get(_GROUPS[kind], ()))
    raise ValueError(f"[read] {name} has no {key if group == '' else at}; it has {found or 'none'}.")


_GROUPS = {"layer": "layers", "obsm": "obsm"}


def _is_csc(X: Any) -> bool:
    return not hasattr(X, "shape") and X.attrs.get("encoding-type") == "csc_matrix"


def _of_frame(path: Path, frame: Any, file: Any, ids: str | None, labels: str | None) -> Reader:
    """A data frame in ``obsm``, whose columns are features."""
    names = [str(column) for column in frame.attrs["column-order"]]
    X = np.stack([np.asarray(values(frame[column], 0, length(frame[column])), np.float32) for column in names], axis=1)
    reader = _in_memory(path, X, file, ids, labels)
    reader.column_names = names
    return reader


def _in_memory(path: Path, X: Any, file: Any, ids: str | None, labels: str | None) -> MemoryReader:
    found = [None if at is None else values(file[at], 0, length(file[at])) for at in (ids, labels)]
    for value in found:
        if value is not None and len(value) != X.shape[0]:
            raise ValueError(f"{len(value)} names for {X.shape[0]} rows")
    return MemoryReader(path, X, None, found[0], None, found[1])


def _index(file: Any, frame: str) -> str | None:
    """Where the names of observations or variables are."""
    if frame not in file:
        return None
    attributes = file[frame].attrs
    return f"{frame}/{_text(attributes['_index'])}" if "_index" in attributes else None


def _column(name: str, file: Any, column: str) -> str:
    known = [key for key in file["obs"] if key != "__categories"]
    check_known(name, [column], known)
    return f"obs/{column}"


def _last(at: str | None) -> str | None:
    name = None if at is None else at.rsplit("/", 1)[1]
    return "" if name == "_index" else name


def length(data: Any) -> int:
    """Values of a column of a frame."""
    if hasattr(data, "shape"):
        return data.shape[0]
    return data["codes" if "codes" in data else "values"].shape[0]


def values(data: Any, start: int, stop: int) -> np.ndarray:
    """A column of a frame from ``start`` to ``stop``: an array, categories, or texts or numbers that may be missing."""
    if not hasattr(data, "shape"):
        if "codes" in data:
            codes = np.asarray(data["codes"][start:stop])
            categories = values(data["categories"], 0, length(data["categories"]))
            return np.array([None if code < 0 else categories[code] for code in codes], dtype=object)
        found, mask = values(data["values"], start, stop).astype(object), np.asarray(data["mask"][start:stop])
        found[mask.astype(bool)] = None
        return found
    array = data[start:stop]
    if array.dtype.kind in "OSUT":
        return np.array([_text(value) for value in array.tolist()], dtype=object)
    return array


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def open_hdf5(path: Path, options: ReadOptions) -> Reader:
    """A data set of an HDF5 file, or the cells of a file that Cell Ranger has written."""
    with opened(path) as file:
        found: list[str] = []
        file.visititems(lambda key, item: found.append(key) if hasattr(item, "shape") else None)
        groups = [key.rpartition("/")[0] for key in found if key.endswith("barcodes")]
        group = next((group for group in groups if {f"{group}/{part}" for part in _TENX} <= set(found)), None)
        if group is not None and options.key is None:
            return selected(_open_tenx(path, file, group), options)
        numbers = [key for key in found if len(file[key].shape) > 1 and file[key].dtype.kind in "biuf"]
        key = named(str(path), numbers if options.key is None else found, options.key)
    return selected(MatrixReader(path, key, None, None), options)


_TENX = ("barcodes", "data", "indices", "indptr", "shape")


def _open_tenx(path: Path, file: Any, group: str) -> Reader:
    """Genes x cells by columns are cells x genes by rows."""
    root = file[group]
    names, ids = ("features/name", "features/id") if "features" in root else ("gene_names", "genes")
    n_genes, n_cells = (int(n) for n in root["shape"][:])
    reader = MatrixReader(path, group, f"{group}/barcodes", None, (n_cells, n_genes))
    reader.column_names = gene_names(*(values(root[part], 0, n_genes).tolist() for part in (names, ids)))
    if len(reader.column_names) != n_genes:
        raise ValueError(f"{len(reader.column_names)} names for {n_genes} genes")
    reader.id_name = "barcode"
    return reader

"""AnnData files, by their layout on disk; h5py is imported here, in `_h5chunks` and in `_h5raw` alone.

Of anndata's own reader, everything but X comes into memory; here nothing does but the rows asked for.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.sparse as sp

from dsae.data._h5chunks import REFERENCE, check_filters, read
from dsae.data._h5raw import attribute_values, check_links, references, texts
from dsae.data._npy import check_real, check_sparse
from dsae.data._reader import MemoryReader, Reader, SpanReader, check_shape, rows_at_once

_MOST_INFLATION = 1100  # as for deflate
_MOST_EMPTY = 1 << 24  # a chunk is asked for whole, though little of it may be used
_DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    MemoryError,
    ValueError,
    struct.error,
    zlib.error,
)
_TEXT = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
_FRAME = {"encoding-type": "dataframe", "encoding-version": "0.2.0"}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError('.h5ad needs h5py: pip install "dsae[anndata]".') from None
    return h5py


def open_h5ad(path: str | Path) -> Reader:
    """The rows of X: observations, with their names as ids and the variables' names as columns.

    CSR and dense matrices are read in pieces; a CSC matrix has no rows to read, so it comes into memory as CSR.
    """
    name = str(path)
    with _opened(path) as file:
        _check_groups(file)
        X = file["X"]
        if _kind(X) == "csc_matrix":
            rows: Any = _whole(name, X)
            obs = _index(name, file, "obs", rows.shape[0])
            ids = None if obs is None else _strings(file[obs], 0, rows.shape[0])
            return MemoryReader(path, "h5ad", rows, _columns(name, file, rows.shape[1]), ids, _last(obs))
    return H5adScan(path)


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """The file; what h5py says of damage becomes a message of ours."""
    h5py = _h5py()
    try:
        # Without a cache, HDF5 does not take a chunk that is not packed to be as short as the file says.
        with h5py.File(path, "r", rdcc_nbytes=0) as file:
            yield file
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        if str(error).startswith("[read]"):
            raise
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"[read] {path} must be a whole .h5ad file; it was cut short or is damaged ({why}). Write it again."
        ) from None


class H5adScan(SpanReader):
    """Rows of X, dense or CSR, read in pieces."""

    format = "h5ad"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        with _opened(self.path) as file:
            X = file["X"]
            self._sparse = _kind(X) == "csr_matrix"
            shape = _shape(X) if self._sparse else X.shape
            check_shape(self.name, shape)
            self.n_rows, self.n_features = shape
            self._width = self.n_features
            if self._sparse:
                self._check_parts(X)
            else:
                _check_numbers(self.name, X)
            self.column_names = _columns(self.name, file, self.n_features)
            self._obs = _index(self.name, file, "obs", self.n_rows)
            self.id_name = _last(self._obs)

    def _check_parts(self, X: Any) -> None:
        for part in ("data", "indices", "indptr"):
            _check_numbers(self.name, X[part])
        n = X["data"].shape[0]
        if X["indptr"].shape != (self.n_rows + 1,) or X["indices"].shape != (n,) or self.n_features >= 2**31:
            raise ValueError("the parts of X do not fit together")
        self._width = max(1, 2 * n // self.n_rows)

    @property
    def _span(self) -> int:
        return rows_at_once(self._width)

    def _rows(self, start: int, stop: int) -> Any:
        with _opened(self.path) as file:
            X = file["X"]
            if not self._sparse:
                return read(X, start, stop)
            indptr = read(X["indptr"], start, stop + 1).astype(np.int64)
            first, last = int(indptr[0]), int(indptr[-1])
            if not 0 <= first <= last <= X["data"].shape[0]:
                raise ValueError("row pointers outside of the matrix")
            parts = (read(X["data"], first, last), read(X["indices"], first, last), indptr - first)
            check_sparse(stop - start, self.n_features, *parts, by_row=True)
            rows = sp.csr_matrix(_short(parts), shape=(stop - start, self.n_features))
            rows.sum_duplicates()
            return rows

    def _ids(self, start: int, stop: int) -> np.ndarray | None:
        if self._obs is None:
            return None
        with _opened(self.path) as file:
            return _strings(file[self._obs], start, stop)


def _short(parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    values, indices, indptr = parts
    return values, indices.astype(np.int32), indptr.astype(np.int32)


def _whole(name: str, X: Any) -> sp.csr_matrix:
    for part in ("data", "indices", "indptr"):
        _check_numbers(name, X[part])
    n_rows, n_columns = _shape(X)
    parts = tuple(read(X[part], 0, len(X[part])) for part in ("data", "indices", "indptr"))
    check_sparse(n_rows, n_columns, *parts, by_row=False)
    rows = sp.csr_matrix(sp.csc_matrix(parts, shape=(n_rows, n_columns)), dtype=np.float32)
    rows.sum_duplicates()
    return rows


def _check_numbers(name: str, data: Any) -> None:
    """Raise where it is not of real numbers, or promises more than what is stored for it."""
    check_real(name, data.dtype)
    check_filters(name, data)
    _check_size(data)


def _check_size(data: Any) -> None:
    nominal = data.dtype.itemsize * math.prod(data.shape)
    stored = _size(data) if data.chunks else data.id.get_storage_size()  # HDF5 might add up chunks for ever
    if stored > _size(data) or nominal > _MOST_INFLATION * stored + 1024 or data.is_virtual or data.external:
        raise ValueError(f"{data.name} promises {data.shape} of {stored} bytes")
    if not data.chunks:
        return
    n_chunks = math.prod(-(-n // chunk) for n, chunk in zip(data.shape, data.chunks, strict=True))
    if n_chunks > stored or data.dtype.itemsize * math.prod(data.chunks) > _MOST_INFLATION * stored + _MOST_EMPTY:
        raise ValueError(f"{data.name} promises chunks of {data.chunks} in {stored} bytes")


def _size(data: Any) -> int:
    return Path(data.file.filename).stat().st_size


def _check_texts(name: str, data: Any) -> None:
    check_filters(name, data)
    _check_size(data)
    if data.dtype.hasobject and _h5py().check_string_dtype(data.dtype) is None:
        raise ValueError(f"{data.name} is not of texts")


def _check_groups(file: Any) -> None:
    """Raise where addresses are not as `_h5raw` reads them, or HDF5 would not come back from looking for a name."""
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("addresses are not of 8 bytes")
    for name in ("/", "X", "obs", "var"):
        if name in file and not hasattr(file[name], "shape"):
            check_links(file[name])


def _index(name: str, file: Any, frame: str, n: int) -> str | None:
    """Where the names of ``n`` observations or variables are."""
    if frame not in file or "_index" not in file[frame].attrs:
        return None
    label = _text(file[frame], "_index")
    if "/" in label:
        raise ValueError(f"_index of /{frame} leads elsewhere")
    at = f"/{frame}/{label}"
    if not hasattr(file[at], "shape"):
        return None
    _check_texts(name, file[at])
    if file[at].shape != (n,):
        raise ValueError(f"{file[at].shape} names for {n} {'rows' if frame == 'obs' else 'columns'}")
    return at


def _columns(name: str, file: Any, n: int) -> list[str] | None:
    """The names of ``n`` variables."""
    at = _index(name, file, "var", n)
    return None if at is None else [str(value) for value in _strings(file[at], 0, n)]


def _last(at: str | None) -> str | None:
    name = None if at is None else at.rsplit("/", 1)[1]
    return "" if name == "_index" else name


def _strings(data: Any, start: int, stop: int) -> np.ndarray:
    """Names from ``start`` to ``stop``."""
    if data.dtype.hasobject:
        values: list[Any] = texts(data, data.name, references(data, start, stop))
    else:
        values = read(data, start, stop).tolist()
    return np.array([_decoded(value) for value in values], dtype=object)


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _text(obj: Any, name: str) -> str:
    """The attribute ``name``; one that is not in the object's header is left to HDF5, since sound files have such."""
    h5py, stored = _h5py(), obj.attrs.get_id(name)
    kind, what = h5py.check_string_dtype(stored.dtype), f"{name} of {obj.name}"
    if kind is None or stored.shape != ():
        raise ValueError(f"{what} is no text")
    if kind.length and kind.length > _size(obj):
        raise ValueError(f"{what} promises a text of {kind.length} bytes")
    values = [] if kind.length else attribute_values(obj, name)
    if not values:
        return str(_decoded(obj.attrs[name]))
    return _decoded(*texts(obj, what, np.frombuffer(values[0][:16], REFERENCE)))


def _kind(X: Any) -> str:
    return "array" if hasattr(X, "shape") else _text(X, "encoding-type")


def _shape(X: Any) -> tuple[int, int]:
    stored = X.attrs.get_id("shape")
    if stored.dtype.kind not in "iuf" or stored.shape != (2,):
        raise ValueError(f"shape of {X.name} is no two numbers")
    n_rows, n_columns = X.attrs["shape"]
    return int(n_rows), int(n_columns)


class H5adWriter:
    """Chunks into the X of an AnnData file."""

    def __init__(self, file: BinaryIO, n_rows: int, column_names: Sequence[str], id_name: str | None) -> None:
        h5py = _h5py()
        self._disk, self._n, self._text = _Disk(file), 0, h5py.string_dtype()
        self._file = h5py.File(self._disk, "w")
        try:
            self._lay_out((n_rows, len(column_names)), column_names, id_name)
        except BaseException:
            self._file.close()
            raise

    def _lay_out(self, shape: tuple[int, int], column_names: Sequence[str], id_name: str | None) -> None:
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        self._X = self._file.create_dataset("X", shape, np.float32)
        self._X.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        self._obs = self._frame("obs", "_index" if id_name is None else id_name, shape[0])
        self._frame("var", "_index", shape[1])[:] = list(column_names)
        for empty in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            self._file.create_group(empty).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})

    def _frame(self, name: str, index: str, n: int) -> Any:
        group = self._file.create_group(name)
        group.attrs.update({**_FRAME, "_index": index, "column-order": np.array([], dtype="S1")})
        names = group.create_dataset(index, (n,), self._text)
        names.attrs.update(_TEXT)
        return names

    def write(self, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Add rows; those without an id are numbered."""
        span = slice(self._n, self._n + len(rows))
        self._X[span] = rows
        ids = np.arange(span.start, span.stop) if ids is None else ids
        self._obs[span] = ["" if i is None else str(i) for i in ids]
        self._n = span.stop
        self._disk.check()

    def close(self) -> None:
        """Write what comes last."""
        self._file.close()
        self._disk.check()


class _Disk(io.RawIOBase):
    """A file that keeps its errors to itself until `check`: HDF5, told of one, ends the process with a crash."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: Exception | None = None

    def check(self) -> None:
        """Raise the first error there was."""
        if self._error is not None:
            raise self._error

    def _try(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except (OSError, ValueError) as error:  # ValueError where the file is closed
            self._error = self._error or error
            return None

    def write(self, data: Any, /) -> int:
        self._try(self._file.write, data)
        return len(data)

    def readinto(self, buffer: Any, /) -> int:
        return self._try(self._file.readinto, buffer) or 0  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._try(self._file.seek, offset, whence) or 0

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        return self._try(self._file.truncate, size) or 0

    def flush(self) -> None:
        self._try(self._file.flush)

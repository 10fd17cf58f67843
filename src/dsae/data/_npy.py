"""Arrays that numpy has saved: .npy, and .npz as an archive of them or as scipy's CSR matrix."""

from __future__ import annotations

import contextlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.lib import format as npy

from dsae.data._reader import Chunk, FileReader, MemoryReader, Reader, SpanReader, check_shape, rows_at_once

# Deflate makes at most 1032 bytes of one; whoever promises more than this lies.
_MOST_INFLATION = 1100
try:
    from lzma import LZMAError
except ImportError:  # a Python built without it; zipfile then refuses such members itself
    LZMAError = zipfile.BadZipFile
_DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    RuntimeError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
)


class Header(NamedTuple):
    """What an array's header says."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def n_bytes(self) -> int:
        """Of the numbers that must follow."""
        n = self.dtype.itemsize
        for length in self.shape:
            n *= length
        return n


def read_header(name: str, file: BinaryIO | Any, n_bytes: int) -> Header:
    """The header of an array in ``n_bytes`` from where ``file`` stands; ``file`` then stands at its numbers.

    Raises
    ------
    ValueError
        If there is none, it is not of real numbers, or the numbers are not all there.
    """
    with explained(name, ".npy array"):
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        header = Header(*(npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file))
        check_real(name, header.dtype)
        if min(header.shape, default=0) < 0 or header.n_bytes > n_bytes:
            raise ValueError(f"its header promises {header.shape} numbers in {n_bytes} bytes")
    return header


def check_real(name: str, dtype: np.dtype) -> None:
    """Raise unless ``dtype`` is of real numbers."""
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if dtype.kind not in "biuf":
        raise _ExplainedError(f"[read] {name} must hold real numbers; got dtype {dtype}.")


class _ExplainedError(ValueError):
    """Already explained."""


@contextlib.contextmanager
def explained(name: str, what: str) -> Iterator[None]:
    """Say which file it was, and what to do, where numpy, scipy or zipfile refuse one."""
    try:
        yield
    except _ExplainedError as error:
        raise ValueError(str(error)) from None
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and (error.errno is not None or str(error).startswith("[read]")):
            raise  # of the system, or ours; bz2 has no other name for damage
        if any(sign in str(error) for sign in ("allow_pickle", "Object arrays", "Python objects")):
            raise ValueError(
                f"[read] {name} is no {what} or holds Python objects; only plain numbers are read. "
                "Save them with numpy.save(path, X.astype('float32'))."
            ) from None
        raise ValueError(
            f"[read] {name} must be a whole {what}; it was cut short or is damaged ({error}). Write it again."
        ) from None


class NpyReader(SpanReader):
    """Rows of an array in a file; read, not mapped: a mapped file that shrinks under us would end the process.

    Parameters
    ----------
    path : str or Path
    begin, n_bytes : int
        Where in the file the array is; by default it is all of it.
    format : str
    """

    def __init__(self, path: str | Path, begin: int = 0, n_bytes: int | None = None, kind: str = "npy") -> None:
        super().__init__(path)
        self.format = kind
        end = self._stamp[1] if n_bytes is None else begin + n_bytes
        with open(self.path, "rb") as file:
            file.seek(begin)
            self._header = read_header(self.name, file, end - begin)
            self._data = file.tell()
        check_shape(self.name, self._header.shape)
        self.n_rows, self.n_features = self._header.shape
        if self._header.n_bytes > end - self._data:
            raise ValueError(f"[read] {self.name} must be a whole .npy array; it was cut short. Write it again.")

    def _rows(self, start: int, stop: int) -> np.ndarray:
        with open(self.path, "rb", buffering=0) as file:
            if not self._header.fortran:
                return self._numbers(file, start * self.n_features, (stop - start) * self.n_features).reshape(
                    stop - start, self.n_features
                )
            rows = np.empty((stop - start, self.n_features), self._header.dtype)
            for column in range(self.n_features):
                rows[:, column] = self._numbers(file, column * self.n_rows + start, stop - start)
            return rows

    def _numbers(self, file: Any, first: int, n: int) -> np.ndarray:
        dtype = self._header.dtype
        file.seek(self._data + first * dtype.itemsize)
        numbers = np.fromfile(file, dtype, n)
        if numbers.size != n:
            raise OSError(f"[read] {self.name} ended before its last row; it was cut short while it was read.")
        return numbers


class ZippedScan(FileReader):
    """Rows of a compressed array in an archive: one part, inflated on the way."""

    format = "npz"

    def __init__(self, path: str | Path, member: str) -> None:
        super().__init__(path)
        self._member = member
        with self._opened() as (_, header):
            pass
        check_shape(self.name, header.shape)
        if header.fortran and header.shape[1] > 1:
            raise ValueError(
                f"[read] {self.name} must hold rows one after another (C order) to be read in pieces; got columns "
                "one after another. Save numpy.ascontiguousarray(X)."
            )
        self._n_rows, self.n_features = header.shape

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, Header]]:
        with (
            explained(self.name, ".npz archive"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self._member) as file,
        ):
            yield file, read_header(self.name, file, archive.getinfo(self._member).file_size)

    def __len__(self) -> int:
        return self._n_rows

    @property
    def n_parts(self) -> int:
        """One: what is compressed is read from its beginning."""
        return 1

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        step = rows_at_once(self.n_features)
        with self._opened() as (file, header):
            for start in range(0, self._n_rows, step):
                n = min(step, self._n_rows - start) * self.n_features
                content = file.read(n * header.dtype.itemsize)
                yield Chunk(start, np.frombuffer(content, header.dtype, n).reshape(-1, self.n_features))


def open_npz(path: str | Path, key: str = "") -> Reader:
    """The rows of an archive: stored ones as those of a ``.npy``, compressed ones in order, CSR in memory."""
    name = str(path)
    with explained(name, ".npz archive"), zipfile.ZipFile(path) as archive:
        check_members(archive)
        members = [info.filename.removesuffix(".npy") for info in archive.infolist()]
        if not key and {"format", "shape"} <= set(members):
            return MemoryReader(path, "npz", read_sparse(name, archive))
        info = archive.getinfo(f"{choose(name, members, key)}.npy")
        begin = _content(archive, info) if info.compress_type == zipfile.ZIP_STORED else None
    if begin is None:
        return ZippedScan(path, info.filename)
    return NpyReader(path, begin, info.file_size, "npz")


def check_members(archive: zipfile.ZipFile) -> None:
    """Raise where a member promises more than its bytes can hold."""
    for info in archive.infolist():
        if info.file_size > _MOST_INFLATION * info.compress_size + 1024:
            raise ValueError(f"{info.filename} promises {info.file_size} bytes of {info.compress_size}")


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin."""
    with archive.open(info):  # compares the member's own header with the archive's directory
        pass
    file: Any = archive.fp
    file.seek(info.header_offset + 26)
    n_name, n_extra = np.frombuffer(file.read(4), "<u2").tolist()
    begin = info.header_offset + 30 + n_name + n_extra
    if begin + info.file_size > archive.start_dir:
        raise ValueError(f"{info.filename} reaches into the archive's directory")
    return begin


def choose(name: str, keys: list[str], key: str) -> str:
    """The array asked for, the only one, or X."""
    if key:
        if key in keys:
            return key
        raise _ExplainedError(f"[read] {name} has no array {key!r}; it has {', '.join(keys)}.")
    if len(keys) == 1:
        return keys[0]
    if "X" in keys:
        return "X"
    raise _ExplainedError(
        f"[read] {name} must hold one array, or one called X; got {', '.join(keys) or 'none'}. "
        f"Name one of several as {name}:KEY."
    )


def read_array(name: str, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """A member whole; memory is asked for when its size is known to be true."""
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as file:
        header = read_header(name, file, info.file_size)
        content = file.read(header.n_bytes)
    if len(content) < header.n_bytes:
        raise ValueError(f"{info.filename} ends early")
    flat = np.frombuffer(content, header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def read_sparse(name: str, archive: zipfile.ZipFile, dtype: Any = np.float32) -> sp.csr_matrix:
    """The matrix that `scipy.sparse.save_npz` wrote, CSR or CSC, as CSR."""
    kind = _format(archive)
    if kind not in ("csr", "csc"):
        raise _ExplainedError(
            f"[read] {name} must hold a CSR matrix; got sparse format {kind!r}. Save X.tocsr() instead."
        )
    shape, values, indices, indptr = (read_array(name, archive, key) for key in ("shape", "data", "indices", "indptr"))
    with np.errstate(all="ignore"):
        parts = (values.astype(dtype), indices, indptr)
    if shape.size != 2 or not {shape.dtype.kind, indices.dtype.kind, indptr.dtype.kind} <= set("iu"):
        raise ValueError("shape, indices and indptr must be integers")
    n_rows, n_columns = (int(n) for n in shape.ravel())
    check_sparse(n_rows, n_columns, *parts, by_row=kind == "csr")
    make = sp.csr_matrix if kind == "csr" else sp.csc_matrix
    rows = sp.csr_matrix(make(parts, shape=(n_rows, n_columns)))
    rows.sum_duplicates()
    return rows


def _format(archive: zipfile.ZipFile) -> str:
    with archive.open("format.npy") as file:
        npy.read_magic(file)
        _, _, dtype = npy.read_array_header_1_0(file)
        if dtype.kind not in "SU" or dtype.itemsize > 64:
            return "unknown"
        content = np.frombuffer(file.read(dtype.itemsize), dtype)[0]
    return content.decode("ascii", "replace") if isinstance(content, bytes) else str(content)


def check_sparse(
    n_rows: int, n_columns: int, values: np.ndarray, indices: np.ndarray, indptr: np.ndarray, *, by_row: bool
) -> None:
    """Raise unless the arrays are a matrix; scipy's C code follows indices without looking.

    The sizes of a matrix are trusted as far as its arrays bear them out: as many rows as ``indptr`` says, and columns
    that an index of 32 bits can name.
    """
    major, minor = (n_rows, n_columns) if by_row else (n_columns, n_rows)
    if min(n_rows, n_columns) < 0 or major + 1 != indptr.size or minor >= 2**31:
        raise ValueError(f"a shape of {(n_rows, n_columns)} with {indptr.size} row pointers")
    if not by_row and n_rows > 1 << 24 and n_rows > 64 * (values.size + indptr.size):
        raise ValueError(f"{n_rows} rows for {values.size} values")
    if not (values.ndim == indices.ndim == indptr.ndim == 1 and values.size == indices.size):
        raise ValueError("values and indices of different lengths")
    if indptr[0] != 0 or indptr[-1] != values.size or (np.diff(indptr) < 0).any():
        raise ValueError("row pointers that do not rise from 0 to the number of values")
    if indices.size and not (indices.min() >= 0 and indices.max() < minor):
        raise ValueError("indices outside of the shape")

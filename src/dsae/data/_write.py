"""Rows into files, whole or in pieces; a file is replaced when all of it is written, or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.lib import format as npy

from dsae.data._arrow import ArrowWriter
from dsae.data._check import Rows
from dsae.data._h5ad import H5adWriter
from dsae.data._market import MarketWriter

KINDS = ("npy", "npz", "csv", "parquet", "arrow", "feather", "mtx", "h5ad")
TO_STDOUT = ("npy", "npz", "csv")
_CSV_ROWS_AT_ONCE = 4096


class Writer(Protocol):
    """What takes rows, with their ids where there are any, one chunk after another."""

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what comes last."""


@contextlib.contextmanager
def writing(
    path: str | Path,
    n_rows: int,
    column_names: Sequence[str],
    id_name: str | None = None,
    kind: str | None = None,
    sparse: bool = False,
) -> Iterator[Writer]:
    """A writer to a file of ``n_rows`` rows; the file takes its name when the last row is written.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard output, for ``npy, npz, csv``.
    n_rows : int
    column_names : sequence of str
        ``.npy``, ``.npz`` and ``.mtx`` have no place for them.
    id_name : str, optional
        What the column of row ids is called, where rows have ids, and ``""`` if it has no name; the same three have no
        place for them either. ``.parquet``, ``.arrow`` and ``.feather`` say that it is the index, as pandas does; a
        ``.csv`` cannot, so ids that are numbers are read back only by ``open_rows(path, id_column)``, or without a
        name.
    kind : str, optional
        One of ``KINDS``; by default what ``path`` ends in, and csv for standard output.
    sparse : bool
        Whether an ``.npz`` is to hold a CSR matrix, as `scipy.sparse.save_npz` writes it; what is written may be CSR.

    Raises
    ------
    ValueError
        If the kind is unknown, or is to hold a CSR matrix or names that it cannot; later, if rows have not as many
        columns as names, or are more or fewer than ``n_rows``.
    OSError
        If the file cannot be written; what was there before is left as it was.
    """
    kind = kind or ("csv" if str(path) == "-" else kind_of("write", path))
    if sparse and kind not in ("npz", "mtx"):
        raise ValueError(f"[write] {path}: a sparse matrix is written as .npz or .mtx; got .{kind}.")
    _check_names(path, kind, column_names, id_name)
    with _target(path, kind) as (file, kind):
        if sparse and kind == "npz":
            writer: Writer = _CsrWriter(file)
        elif kind in ("parquet", "arrow", "feather"):
            writer = ArrowWriter(file, kind, column_names, id_name)
        elif kind == "mtx":
            writer = MarketWriter(file, n_rows, len(column_names))
        elif kind == "h5ad":
            writer = H5adWriter(file, n_rows, column_names, id_name or None)
        elif kind == "csv":
            writer = _CsvWriter(file, column_names, id_name)
        else:
            writer = (_NpzWriter if kind == "npz" else _NpyWriter)(file, (n_rows, len(column_names)))
        checked = _Checked(path, writer, (n_rows, len(column_names)))
        try:
            yield checked
            checked.close()
        except BaseException:
            with contextlib.suppress(Exception):
                writer.close()
            raise


def write_rows(
    path: str | Path, array: Rows, column_names: Sequence[str] | None = None, kind: str | None = None
) -> None:
    """Write rows to a file of the kinds that `read_rows` knows, by a sibling file and a rename.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard output.
    array : ndarray or csr_matrix, shape (n_samples, n_columns)
        A CSR matrix goes to ``.npz``, as `scipy.sparse.save_npz` writes it, and to ``.mtx``.
    column_names : sequence of str, optional
        By default a ``.csv`` has no header, and other kinds number their columns.
    kind : str, optional
        By default what ``path`` ends in, and csv for standard output.

    Raises
    ------
    ValueError
        If the kind is unknown or cannot hold the array, or the array is not 2-D with a column for each name.
    OSError
        If the file cannot be written; what was there before is left as it was.
    """
    kind = kind or ("csv" if str(path) == "-" else kind_of("write", path))
    array = array if sp.issparse(array) else np.asarray(array)
    _check_table(path, array.shape, None if column_names is None else len(column_names))
    if sp.issparse(array):
        names = column_names if column_names is not None else [""] * array.shape[1]
        with writing(path, array.shape[0], names, kind=kind, sparse=True) as writer:
            writer.write(array)
        return
    if column_names is None and kind == "csv":
        with _target(path, kind) as (file, _):
            _write_lines(file, array)
        return
    names = column_names if column_names is not None else [f"x{i}" for i in range(array.shape[1])]
    with writing(path, array.shape[0], names, kind=kind) as writer:
        writer.write(array)


def is_kind(path: str | Path) -> bool:
    """Whether ``path`` ends in one of the kinds."""
    return Path(path).suffix.lower().removeprefix(".") in KINDS


def kind_of(verb: str, path: str | Path) -> str:
    """What ``path`` ends in.

    Raises
    ------
    ValueError
        If it is none of the kinds.
    """
    ending = Path(path).suffix
    if not is_kind(path):
        known = ", ".join(f".{kind}" for kind in KINDS)
        raise ValueError(f"[{verb}] {path} must end in {known}; got {ending or 'no ending'!r}.")
    return ending.lower().removeprefix(".")


@contextlib.contextmanager
def _target(path: str | Path, kind: str) -> Iterator[tuple[BinaryIO, str]]:
    if str(path) == "-":
        if kind not in TO_STDOUT:
            raise ValueError(f"[write] standard output takes {', '.join(TO_STDOUT)}; got {kind}. Name a file.")
        yield sys.stdout.buffer, kind
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise ValueError(f"[write] {path} exists and is not a file; choose another path.")
    with _replacing(path, target) as file:
        yield file, kind


@contextlib.contextmanager
def _replacing(path: str | Path, target: Path) -> Iterator[BinaryIO]:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w+b") as file:
            yield file
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError) or str(error).startswith("[read]"):
            raise
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(
                f"[write] {path} cannot be written: {target.parent} does not exist; make it first."
            ) from None
        raise OSError(f"[write] {path} cannot be written: {error.strerror or error}.") from None


class _Checked:
    """A writer that is given as many rows as its file promises, of as many columns as it has names."""

    def __init__(self, path: str | Path, writer: Writer, shape: tuple[int, int]) -> None:
        self._path, self._writer, self._shape, self._n = path, writer, shape, 0

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        shape = np.shape(rows)
        _check_table(self._path, shape, self._shape[1])
        self._n += shape[0]
        self._check_count(self._n <= self._shape[0])
        self._writer.write(rows, ids)

    def close(self) -> None:
        self._check_count(self._n == self._shape[0])
        self._writer.close()

    def _check_count(self, fits: bool) -> None:
        if not fits:
            raise ValueError(f"[write] {self._path} must get {self._shape[0]} rows; got {self._n}.")


def _check_names(path: str | Path, kind: str, column_names: Sequence[str], id_name: str | None) -> None:
    if kind not in ("npy", "npz", "mtx") and id_name is not None and id_name in column_names:
        raise ValueError(f"[write] {path}: ids need a column of their own; {id_name!r} is one of the others.")
    if kind != "h5ad":
        return
    if id_name is not None and ("/" in id_name or id_name == "."):
        raise ValueError(f"[write] {path}: in .h5ad the column of ids has a name without '/'; got {id_name!r}.")
    for name in (*column_names, id_name or ""):
        if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ValueError(f"[write] {path}: .h5ad holds no name with NUL or half a surrogate pair; got {name!r}.")


def _check_table(path: str | Path, shape: tuple[int, ...], n_names: int | None) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"[write] {path} must be given 2-D rows, [n_samples, n_columns]; got {len(shape)}-D with shape {shape}. "
            "Write X.reshape(1, -1) for one sample."
        )
    if n_names not in (None, shape[1]):
        raise ValueError(
            f"[write] {path} must have a name for each column; got {n_names} names for rows of shape {shape}. Give "
            f"{shape[1]} column names."
        )


class _NpyWriter:
    def __init__(self, file: BinaryIO, shape: tuple[int, int]) -> None:
        self._file = file
        # Not numpy.save: it asks where the file stands, which a pipe cannot say.
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def write(self, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
        self._file.write(np.ascontiguousarray(rows, "<f4").data)

    def close(self) -> None:
        """All is written."""


class _NpzWriter(_NpyWriter):
    def __init__(self, file: BinaryIO, shape: tuple[int, int]) -> None:
        self._archive = zipfile.ZipFile(file, "w")
        member: Any = self._archive.open("X.npy", "w", force_zip64=True)
        super().__init__(member, shape)

    def close(self) -> None:
        self._file.close()
        self._archive.close()


class _CsrWriter:
    """Chunks of CSR, in memory until the last; scipy writes a matrix at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._pieces = file, []

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        self._pieces.append(sp.csr_matrix(rows))

    def close(self) -> None:
        sp.save_npz(self._file, sp.vstack(self._pieces, format="csr"))


class _CsvWriter:
    def __init__(self, file: BinaryIO, column_names: Sequence[str], id_name: str | None) -> None:
        self._file, self._with_ids = file, id_name is not None
        _write_lines(file, np.array([column_names if id_name is None else [id_name, *column_names]], object))

    def write(self, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
        _write_lines(self._file, rows, ids if self._with_ids else None)

    def close(self) -> None:
        """All is written."""


def _write_lines(file: BinaryIO, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
    for start in range(0, rows.shape[0], _CSV_ROWS_AT_ONCE):
        # As text numpy gives the shortest digits that read back as the same float32.
        fields = rows[start : start + _CSV_ROWS_AT_ONCE].astype(str).tolist()
        if ids is not None:
            fields = [
                ["" if i is None else i, *row]
                for i, row in zip(ids[start : start + _CSV_ROWS_AT_ONCE], fields, strict=True)
            ]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(fields)
        file.write(text.getvalue().encode())

"""Write rows to files, at once or in chunks; an existing file is replaced atomically."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.sparse as sp

from dsae.config import FORMATS, WRITTEN, Format, format_of
from dsae.data._batch import Rows
from dsae.data._packages import check_package, resolved
from dsae.data._place import Remote, place_of
from dsae.data._writers import ObsmWriter, Writer

_TEXTS = ("csv", "tsv")
CODES = "X_dsae"  # scanpy's and scvi-tools' custom: X_pca, X_scVI
"""Where in ``obsm`` of AnnData codes are written."""


@contextlib.contextmanager
def writing(
    path: str | Path,
    n_rows: int,
    column_names: Sequence[str],
    id_name: str | None = None,
    format: str | None = None,
    sparse: bool = False,
    beside: str | Path | None = None,
) -> Iterator[Writer]:
    """A writer to a file of ``n_rows`` rows; the file takes its name when the last row is written.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard output, for ``npy, npz, csv, tsv``.
    n_rows : int
    column_names : sequence of str
        ``.npy`` and ``.npz`` have no place for them.
    id_name : str, optional
        What the column of row ids is called, where rows have ids, and ``""`` if it has no name; the same two have no
        place for them either. ``.parquet``, ``.arrow`` and ``.feather`` say that it is the index, as pandas does; a
        ``.csv`` cannot, so ids that are numbers are read back only by ``open_rows(path, id_column)``, or without a
        name.
    format : str, optional
        npy, npz, csv, tsv, parquet, arrow, feather or h5ad; by default what ``path`` ends in (``.csv.gz``, too), and
        csv for standard output.
    sparse : bool
        Whether an ``.npz`` is to hold a CSR matrix, as `scipy.sparse.save_npz` writes it.
    beside : str or Path, optional
        An ``.h5ad`` that the rows were made of: the file is a copy of it, with the rows in ``obsm["X_dsae"]``.

    Raises
    ------
    ValueError
        If the format is unknown or not written, or is to hold a CSR matrix or names that it cannot; later, if rows
        have not as many columns as names, or are more or fewer than ``n_rows``.
    OSError
        If the file cannot be written; what was there before is left as it was.
    ImportError
        If the package for the format is missing.
    """
    kind = _written(path, format)
    if sparse and not kind.sparse:
        able = ", ".join(f".{name}" for name in WRITTEN if FORMATS[name].sparse)
        raise ValueError(f"[write] {path}: a sparse matrix is written as {able}; got .{kind.name}.")
    if kind.name not in ("npy", "npz") and id_name is not None and id_name in column_names:
        raise ValueError(f"[write] {path}: ids need a column of their own; {id_name!r} is one of the others.")
    if kind.name not in _TEXTS:
        check_package(kind)
    shape, of_caller = (n_rows, len(column_names)), None
    try:
        with _target(path, kind, beside) as plain, _packed(path, plain) as file:
            if beside is None:
                writer: Writer = resolved(kind.writer or "")(file, n_rows, column_names, id_name, sparse)
            else:
                writer = ObsmWriter(file, *shape, CODES)
            checked = _Checked(path, writer, shape)
            try:
                try:
                    yield checked
                except BaseException as error:
                    of_caller = error  # reading the rows to be written may fail with an OSError of its own
                    raise
                checked.close()
            except BaseException:
                with contextlib.suppress(Exception):
                    writer.close()
                raise
    except OSError as error:
        if error is of_caller:
            raise
        raise _unwritten(path, error) from None


@contextlib.contextmanager
def packed_target(path: str | Path, format: str | None, able: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
    """The format and the open file of what is written whole, compressed by its ending, in one of the formats ``able``.

    Raises
    ------
    ValueError
        If the format is another.
    OSError
        If the file cannot be written; what was there before is left as it was.
    """
    kind = _written(path, format)
    if kind.name not in able:
        raise ValueError(f"[write] {path}: such a table is written as {', '.join(able)}; got {kind.name}.")
    check_package(kind)
    try:
        with _target(path, kind, None) as plain, _packed(path, plain) as file:
            yield kind.name, file
    except OSError as error:
        raise _unwritten(path, error) from None


def write_rows(
    path: str | Path, array: Rows, column_names: Sequence[str] | None = None, format: str | None = None
) -> None:
    """Write rows to a file, by a sibling file and a rename.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard output.
    array : ndarray or csr_matrix, shape (n_samples, n_columns)
        A CSR matrix goes to ``.npz``, as `scipy.sparse.save_npz` writes it.
    column_names : sequence of str, optional
        By default a ``.csv`` has no header, and other formats number their columns.
    format : str, optional
        By default what ``path`` ends in, and csv for standard output.

    Raises
    ------
    ValueError
        If the format is unknown or cannot hold the array, or the array is not 2-D with a column for each name.
    OSError
        If the file cannot be written; what was there before is left as it was.
    """
    kind = _written(path, format)
    array = array if sp.issparse(array) else np.asarray(array)
    _check_table(path, array.shape, None if column_names is None else len(column_names))
    names: Sequence[str] = column_names or []
    if column_names is None:
        names = [""] * array.shape[1] if kind.name in _TEXTS else [f"x{i}" for i in range(array.shape[1])]
    with writing(path, array.shape[0], names, format=kind.name, sparse=sp.issparse(array)) as writer:
        writer.write(array)


def is_written(path: str | Path) -> bool:
    """Whether ``path`` ends as a file that can be written."""
    kind = format_of(path)
    return kind is not None and kind.writer is not None


def _written(path: str | Path, format: str | None) -> Format:
    kind = FORMATS.get(format or "csv") if format is not None or str(path) == "-" else format_of(path)
    written = ", ".join(FORMATS[name].endings[0] for name in WRITTEN)
    if kind is None or kind.writer is None:
        got = format or _ending(path) or "no ending"
        raise ValueError(f"[write] {path} must end in {written}; got {got!r}.")
    if format is None and str(path) != "-" and kind.endings[0] not in (_ending(path), _ending(Path(str(path)).stem)):
        raise ValueError(f"[write] {path} must end in {written}; got {kind.name} as {_ending(path)!r}.")
    return kind


def _ending(path: str | Path) -> str:
    return Path(str(path)).suffix.lower()


def _packed(path: str | Path, file: BinaryIO) -> contextlib.AbstractContextManager[Any]:
    """An open file, compressed according to the ending of its name."""
    if _ending(path) == ".gz":
        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)  # no time and no name: equal rows make equal files
    packer = {".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}.get(_ending(path))
    return contextlib.nullcontext(file) if packer is None else packer(file, "wb")


@contextlib.contextmanager
def _target(path: str | Path, kind: Format, beside: str | Path | None) -> Iterator[BinaryIO]:
    if str(path) == "-":
        if not kind.pipe:
            able = ", ".join(name for name in WRITTEN if FORMATS[name].pipe)
            raise ValueError(f"[write] standard output takes {able}; got {kind.name}. Name a file.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    place = place_of(path)
    if isinstance(place, Remote):
        with tempfile.TemporaryDirectory(prefix="dsae-") as folder:
            copy = Path(folder, place.name)
            if beside is not None:
                shutil.copyfile(beside, copy)
            with open(copy, "w+b" if beside is None else "r+b") as file:
                yield file
            place.put(copy)
        return
    target = Path(os.path.realpath(path))  # through a link, which stays one
    if target.exists() and not target.is_file():
        raise ValueError(f"[write] {path} exists and is not a file; choose another path.")
    # Beside the target, where a rename stays within one file system, and hidden from readers of the folder.
    # Processes of several machines may have one number.
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        if beside is not None:
            shutil.copyfile(beside, temporary)
        with open(temporary, "w+b" if beside is None else "r+b") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _unwritten(path: str | Path, error: OSError) -> OSError:
    if str(path) == "-":
        return error  # the reading end of a pipe was closed, which is not our failure
    if isinstance(error, FileNotFoundError):
        folder = Path(os.path.realpath(path)).parent
        return FileNotFoundError(f"[write] {path} cannot be written: {folder} does not exist; make it first.")
    return OSError(f"[write] {path} cannot be written: {error.strerror or error}.")


class _Checked:
    """Checks that a writer gets as many rows and columns as it was opened for."""

    def __init__(self, path: str | Path, writer: Writer, shape: tuple[int, int]) -> None:
        self._path, self._writer, self._shape, self._n = path, writer, shape, 0

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        shape = np.shape(rows)
        _check_table(self._path, shape, self._shape[1])
        self._n += shape[0]
        self._check_count(self._n <= self._shape[0])
        try:
            self._writer.write(rows, ids)
        except OSError as error:
            raise _unwritten(self._path, error) from None

    def close(self) -> None:
        self._check_count(self._n == self._shape[0])
        self._writer.close()

    def _check_count(self, fits: bool) -> None:
        if not fits:
            raise ValueError(f"[write] {self._path} must get {self._shape[0]} rows; got {self._n}.")


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

"""Rows in files: .npy, .npz (dense or scipy's CSR) and .csv; read with care, written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows

KINDS = ("npy", "npz", "csv")
_CSV_ROWS_AT_ONCE = 4096


def read_rows(path: str | Path, dtype: Any = np.float32) -> tuple[Rows, list[str] | None]:
    """Rows of numbers from a file, and the names of its columns where it has them.

    Parameters
    ----------
    path : str or Path
        ``.npy``; ``.npz`` as `numpy.savez` writes it (its only array, the one called ``X``, or the one named
        by ``file.npz:name``) or as `scipy.sparse.save_npz` writes it; ``.csv`` with commas, whose first line
        is a header if any of its fields is no number. ``-`` reads standard input, any of these.
    dtype : dtype, default float32
        What the numbers are converted to.

    Returns
    -------
    rows : ndarray or csr_matrix, shape (n_samples, n_features)
        Of as many dimensions as the file has; `check_rows` asks for two.
    column_names : list of str or None

    Raises
    ------
    ValueError
        If the file is of another kind, was cut short, or holds anything but numbers.
    OSError
        If it is missing or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_rows(f"{folder}/x.csv", np.eye(2, dtype=np.float32), ["left", "right"])
    >>> rows, names = read_rows(f"{folder}/x.csv")
    >>> rows.tolist(), names
    ([[1.0, 0.0], [0.0, 1.0]], ['left', 'right'])
    """
    if str(path) == "-":
        return _read_stdin(dtype)
    base, _, key = str(path).partition(".npz:")
    file = Path(f"{base}.npz") if key else Path(path)
    kind = _kind("read", file)
    try:
        if kind == "csv":
            with open(file, encoding="utf-8-sig", newline="") as text:
                return _read_csv(str(file), text, dtype)
        if kind == "npy":
            return _read_npy(str(file), file, dtype), None
        with open(file, "rb") as archive:
            return _read_npz(str(file), archive, key, dtype), None
    except FileNotFoundError:
        raise FileNotFoundError(f"[read] {file} does not exist; check the path.") from None
    except OSError as error:
        raise OSError(f"[read] {file} cannot be read: {error.strerror or error}.") from None


def _kind(verb: str, path: Path) -> str:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ValueError(f"[{verb}] {path} must end in .npy, .npz or .csv; got {path.suffix or 'no ending'!r}.")
    return kind


def _read_stdin(dtype: Any) -> tuple[Rows, list[str] | None]:
    content = io.BytesIO(sys.stdin.buffer.read())
    start = content.getvalue()[:6]
    if start == b"\x93NUMPY":
        return _read_npy("standard input", content, dtype), None
    if start[:2] == b"PK":
        return _read_npz("standard input", content, "", dtype), None
    return _read_csv("standard input", io.TextIOWrapper(content, "utf-8-sig", newline=""), dtype)


def _read_npy(name: str, file: Path | BinaryIO, dtype: Any) -> np.ndarray:
    with _explained(name, ".npy array"):
        # Mapped, a header that promises more than the file holds is refused before memory is asked for.
        array = np.load(file, mmap_mode="r" if isinstance(file, Path) else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of arrays")
    return _numbers(name, array, dtype)


def _read_npz(name: str, file: BinaryIO, key: str, dtype: Any) -> Rows:
    with _explained(name, ".npz archive"):
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
    with archive:
        if not key and {"format", "shape"} <= set(archive.files):
            return _read_sparse(name, archive, dtype)
        key = _choose(name, archive.files, key)
        with _explained(name, ".npz archive"):
            array = archive[key]
        return _numbers(name, array, dtype)


@contextlib.contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    """Say which file it was, and what to do, where numpy, scipy or zipfile refuse one."""
    try:
        yield
    except (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if any(sign in str(error) for sign in ("allow_pickle", "Object arrays", "Python objects")):
            raise ValueError(
                f"[read] {name} is no {what} or holds Python objects; only plain numbers are read. "
                "Save them with numpy.save(path, X.astype('float32'))."
            ) from None
        raise ValueError(
            f"[read] {name} must be a whole {what}; it was cut short or is damaged ({error}). Write it again."
        ) from None


def _choose(name: str, keys: list[str], key: str) -> str:
    if key:
        if key in keys:
            return key
        raise ValueError(f"[read] {name} has no array {key!r}; it has {', '.join(keys)}.")
    if len(keys) == 1:
        return keys[0]
    if "X" in keys:
        return "X"
    raise ValueError(
        f"[read] {name} must hold one array, or one called X; got {', '.join(keys) or 'none'}. "
        f"Name one of several as {name}:KEY."
    )


def _read_sparse(name: str, archive: Any, dtype: Any) -> sp.csr_matrix:
    with _explained(name, ".npz archive"):
        parts = {key: archive[key] for key in ("format", "shape", "data", "indices", "indptr") if key in archive.files}
    kind = bytes(parts["format"].item()).decode("ascii", "replace") if parts["format"].dtype.kind == "S" else "unknown"
    if kind not in ("csr", "csc") or len(parts) < 5:
        raise ValueError(f"[read] {name} must hold a CSR matrix; got sparse format {kind!r}. Save X.tocsr() instead.")
    values = _numbers(name, parts["data"], dtype)
    with _explained(name, "sparse .npz matrix"):
        make = sp.csr_matrix if kind == "csr" else sp.csc_matrix
        matrix = make((values, parts["indices"], parts["indptr"]), shape=tuple(int(n) for n in parts["shape"]))
        # scipy's C code follows indices without looking, so that a damaged file would read beyond the arrays.
        matrix.check_format(full_check=True)
    rows = sp.csr_matrix(matrix)
    rows.sum_duplicates()
    return rows


def _numbers(name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"[read] {name} must hold real numbers; got dtype {array.dtype}.")
    with np.errstate(over="ignore"):
        return np.array(array, dtype=dtype, order="C")


def _read_csv(name: str, text: TextIO, dtype: Any) -> tuple[np.ndarray, list[str] | None]:
    try:
        header = next(csv.reader(text), [])
        named = any(not _is_number(field) for field in header)
        if not named:
            text.seek(0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            rows = np.loadtxt(text, dtype=dtype, delimiter=",", quotechar='"', comments=None, ndmin=2)
    except UnicodeDecodeError as error:
        raise ValueError(f"[read] {name} must be UTF-8 text; byte {error.start} is not.") from None
    except (ValueError, csv.Error) as error:
        text.seek(0)
        raise ValueError(f"[read] {name} {_first_fault(text) or f'is no table of numbers ({error})'}") from None
    if not rows.size:
        raise ValueError(f"[read] {name} holds no rows.")
    if named and len(header) != rows.shape[1]:
        raise ValueError(f"[read] {name} names {len(header)} columns, but its rows have {rows.shape[1]} fields.")
    return rows, [field.strip() for field in header] if named else None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _first_fault(text: TextIO) -> str | None:
    """Where a table stops being one; numpy counts rows without the header and knows no column names."""
    reader = csv.reader(text)
    try:
        header = next(reader, [])
        for fields in reader:
            if fields and len(fields) != len(header):
                return f"line {reader.line_num} has {len(fields)} fields; the first line has {len(header)}."
            for column, (title, field) in enumerate(zip(header, fields, strict=False), 1):
                if not _is_number(field):
                    label = f"{column}" if _is_number(title) else f"{column} ({title.strip()})"
                    return f"line {reader.line_num}, column {label} must be a number; got {field!r}."
    except csv.Error as error:
        return f"line {reader.line_num} is not CSV ({error})."
    return None


def write_rows(
    path: str | Path, array: Rows, column_names: Sequence[str] | None = None, kind: str | None = None
) -> None:
    """Write rows to a file of the same kinds as `read_rows`, by a sibling file and a rename.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard output.
    array : ndarray or csr_matrix, shape (n_samples, n_columns)
        A CSR matrix goes to ``.npz`` only, as `scipy.sparse.save_npz` writes it.
    column_names : sequence of str, optional
        The header of a ``.csv``; the other kinds hold no names.
    kind : {"npy", "npz", "csv"}, optional
        By default what ``path`` ends in, and csv for standard output.

    Raises
    ------
    ValueError
        If the kind is unknown or cannot hold the array.
    OSError
        If the file cannot be written; what was there before is left as it was.
    """
    to_stdout = str(path) == "-"
    target = Path(os.path.realpath(path))
    kind = kind or ("csv" if to_stdout else _kind("write", Path(path)))
    if sp.issparse(array) and kind != "npz":
        raise ValueError(f"[write] {path}: a sparse matrix is written as .npz; got .{kind}.")
    if to_stdout:
        _write(sys.stdout.buffer, kind, array, column_names)
        sys.stdout.buffer.flush()
        return
    if target.exists() and not target.is_file():
        raise ValueError(f"[write] {path} exists and is not a file; choose another path.")
    try:
        with _replacing(target) as file:
            _write(file, kind, array, column_names)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"[write] {path} cannot be written: {target.parent} does not exist; make it first."
        ) from None
    except OSError as error:
        raise OSError(f"[write] {path} cannot be written: {error.strerror or error}.") from None


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(file: BinaryIO, kind: str, array: Rows, column_names: Sequence[str] | None) -> None:
    if kind == "npz":
        sp.save_npz(file, array) if sp.issparse(array) else np.savez(file, X=np.asarray(array))
    elif kind == "csv":
        _write_csv(file, np.asarray(array), column_names)
    else:
        # Not numpy.save: it asks where the file stands, which a pipe cannot say.
        array = np.ascontiguousarray(array)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _write_csv(file: BinaryIO, array: np.ndarray, column_names: Sequence[str] | None) -> None:
    if column_names is not None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(column_names)
        file.write(line.getvalue().encode())
    for start in range(0, array.shape[0], _CSV_ROWS_AT_ONCE):
        # As text numpy gives the shortest digits that read back as the same float32.
        fields = array[start : start + _CSV_ROWS_AT_ONCE].astype(str)
        file.write("".join(",".join(row) + "\n" for row in fields).encode())

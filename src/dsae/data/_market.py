"""Matrix Market files; their entries come in any order, so a file is read whole, as a sparse matrix.

Read here, since scipy's reader crashes on files that lie about their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.data._check import Rows
from dsae.data._reader import MemoryReader, check_shape

_HEADER = 64
_LINES_AT_ONCE = 1 << 16
_MOST_ROWS_PER_BYTE = 64  # rows without entries cost the file nothing, and us a row pointer
_WIDTHS = {"real": 3, "double": 3, "integer": 3, "unsigned-integer": 3, "pattern": 2}


def open_market(path: str | Path) -> MemoryReader:
    """The rows of a ``.mtx``: CSR where it lists entries, an array where it lists all numbers."""
    name = str(path)
    with open(path, "rb") as file:
        try:
            kind = _kind(file, Path(path).stat().st_size)
            check_shape(name, kind.shape)
            rows = _coordinates(file, kind) if kind.coordinate else _array(file, kind)
        except ValueError as error:
            if str(error).startswith("[read]"):
                raise
            raise ValueError(
                f"[read] {name} must be a whole Matrix Market file; it was cut short or is damaged "
                f"({' '.join(str(error).split())}). Write it again."
            ) from None
    return MemoryReader(path, "mtx", rows)


class _Kind(NamedTuple):
    coordinate: bool
    width: int
    symmetry: str
    shape: tuple[int, int]
    n: int


def _kind(file: BinaryIO, n_bytes: int) -> _Kind:
    """What the header says; sizes that are more than the file can hold are refused."""
    banner = file.readline(200).decode("ascii", "replace").lower().split()
    if banner[:2] != ["%%matrixmarket", "matrix"] or len(banner) != 5:
        raise ValueError("it does not begin with %%MatrixMarket matrix")
    layout, field, symmetry = banner[2:]
    if (
        layout not in ("coordinate", "array")
        or field not in _WIDTHS
        or symmetry not in (("general", "symmetric", "skew-symmetric") if layout == "coordinate" else ("general",))
    ):
        raise ValueError(f"{layout} {field} {symmetry} is not read; a general matrix of real numbers is")
    line = b"%"
    while line.startswith(b"%") or line.isspace():
        line = file.readline(1 << 16)
    sizes = line.decode("ascii", "replace").split()
    if len(sizes) != 2 + (layout == "coordinate") or not all(size.isdigit() and len(size) < 18 for size in sizes):
        raise ValueError(f"its sizes read {' '.join(sizes)[:80]!r}")
    n_rows, n_columns, n = (*map(int, sizes), 0)[:3]
    n = n if layout == "coordinate" else n_rows * n_columns
    least = 4 if layout == "coordinate" else 2
    if n_rows > _MOST_ROWS_PER_BYTE * n_bytes + (1 << 20) or least * n > n_bytes + 1 or n_columns >= 2**31:
        raise ValueError(f"it promises {' '.join(sizes)} in {n_bytes} bytes")
    width = _WIDTHS[field] if layout == "coordinate" else 1
    return _Kind(layout == "coordinate", width, symmetry, (n_rows, n_columns), n)


def _blocks(file: BinaryIO, kind: _Kind) -> Iterator[np.ndarray]:
    n = 0
    while lines := list(islice(file, _LINES_AT_ONCE)):
        texts = [line.decode("ascii") for line in lines if not line.isspace()]
        if texts:
            block = np.loadtxt(texts, dtype=np.float64, comments=None, ndmin=2)
            n += len(block)
            if block.shape[1] != kind.width or n > kind.n:
                raise ValueError(f"lines of {block.shape[1]} numbers, {n} or more of {kind.n}")
            yield block
    if n != kind.n:
        raise ValueError(f"it promises {kind.n} entries and has {n}")


def _array(file: BinaryIO, kind: _Kind) -> np.ndarray:
    columns = [block.ravel() for block in _blocks(file, kind)]
    return _float32(np.concatenate(columns)).reshape(kind.shape, order="F")


def _coordinates(file: BinaryIO, kind: _Kind) -> sp.csr_matrix:
    pieces = [_entries(block, kind) for block in _blocks(file, kind)]
    if not pieces:
        return sp.csr_matrix(kind.shape, dtype=np.float32)
    at, to, values = (np.concatenate(part) for part in zip(*pieces, strict=True))
    if kind.symmetry != "general":
        across = at != to
        sign = -1 if kind.symmetry == "skew-symmetric" else 1
        at, to = np.append(at, to[across]), np.append(to, at[across])
        values = np.append(values, sign * values[across])
    return sp.csr_matrix(sp.coo_matrix((values, (at, to)), shape=kind.shape))


def _entries(block: np.ndarray, kind: _Kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places = block[:, :2]
    if not np.isfinite(places).all():
        raise ValueError("entries that are nowhere")
    most = min(kind.shape) if kind.symmetry != "general" else kind.shape
    if not ((places >= 1) & (places <= most) & (places % 1 == 0)).all():
        raise ValueError("entries outside of the matrix")
    values = block[:, 2] if kind.width == 3 else np.ones(len(block))
    return places[:, 0].astype(np.int64) - 1, places[:, 1].astype(np.int32) - 1, _float32(values)


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return values.astype(np.float32)


class MarketWriter:
    """Chunks into a Matrix Market file, by their entries that are not zero."""

    def __init__(self, file: BinaryIO, n_rows: int, n_columns: int) -> None:
        self._file, self._shape, self._n, self._nnz = file, (n_rows, n_columns), 0, 0
        self._file.write(self._header())

    def _header(self) -> bytes:
        banner = "%%MatrixMarket matrix coordinate real general\n"
        sizes = f"{self._shape[0]} {self._shape[1]} {self._nnz}"
        return f"{banner}{sizes:<{_HEADER}}\n".encode()

    def write(self, rows: Rows, ids: np.ndarray | None = None) -> None:
        """Add rows, an array or CSR; the format has no place for ids."""
        entries = sp.coo_matrix(rows)
        at, columns = (entries.row + self._n + 1).tolist(), (entries.col + 1).tolist()
        lines = zip(at, columns, entries.data.astype(str), strict=True)
        self._file.write("".join(f"{row} {column} {value}\n" for row, column, value in lines).encode())
        self._n, self._nnz = self._n + rows.shape[0], self._nnz + entries.nnz

    def close(self) -> None:
        """Say in the header how many entries there are."""
        self._file.seek(0)
        self._file.write(self._header())

"""Matrix Market files; their entries come in any order, so a file is read whole, as a sparse matrix."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import scipy.sparse as sp

from dsae.data._scan import MemoryScan

_HEADER = 64
_MOST_ROWS_PER_BYTE = 64  # rows without entries cost the file nothing, and us a row pointer


def open_market(path: str | Path) -> MemoryScan:
    """The rows of a ``.mtx``: CSR where it lists entries, an array where it lists all numbers."""
    from scipy.io import mmread

    name = str(path)
    _check_promise(name, Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix = mmread(path, spmatrix=True)
    except (ValueError, OverflowError, TypeError, MemoryError, RuntimeError) as error:
        raise ValueError(_damaged(name, f"{error}")) from None
    if np.iscomplexobj(matrix):
        raise ValueError(f"[read] {name} must hold real numbers; got complex ones.")
    with np.errstate(over="ignore"):
        rows = sp.csr_matrix(matrix, dtype=np.float32) if sp.issparse(matrix) else np.asarray(matrix, np.float32)
    return MemoryScan(path, "mtx", rows)


def _check_promise(name: str, path: Path) -> None:
    """Raise where the sizes in the header are more than the file can hold."""
    n_bytes = path.stat().st_size
    with open(path, "rb") as file:
        banner = file.readline(200).decode("ascii", "replace").lower().split()
        if banner[:2] != ["%%matrixmarket", "matrix"] or len(banner) < 5:
            raise ValueError(_damaged(name, "it does not begin with %%MatrixMarket matrix"))
        line = b"%"
        while line.startswith(b"%") or (line and line.isspace()):
            line = file.readline(1 << 16)
    sizes = line.decode("ascii", "replace").split()
    if len(sizes) < 2 or not all(size.isdigit() and len(size) < 18 for size in sizes):
        raise ValueError(_damaged(name, f"its sizes read {' '.join(sizes)[:80]!r}"))
    n_rows, n_columns, *n_entries = map(int, sizes)
    listed = n_entries[0] if banner[2] == "coordinate" and n_entries else n_rows * n_columns
    least = 4 if banner[2] == "coordinate" else 1
    if banner[2] == "array" and banner[4] != "general":
        least = 1 / 2
    if n_rows > _MOST_ROWS_PER_BYTE * n_bytes + (1 << 20) or least * listed > n_bytes or n_columns >= 2**31:
        raise ValueError(_damaged(name, f"it promises {' '.join(sizes)} in {n_bytes} bytes"))


def _damaged(name: str, why: str) -> str:
    return (
        f"[read] {name} must be a whole Matrix Market file; it was cut short or is damaged ({' '.join(why.split())}). "
        "Write it again."
    )


class MarketWriter:
    """Chunks into a Matrix Market file, by their entries that are not zero."""

    def __init__(self, file: BinaryIO, n_rows: int, n_columns: int) -> None:
        self._file, self._shape, self._n, self._nnz = file, (n_rows, n_columns), 0, 0
        self._file.write(self._header())

    def _header(self) -> bytes:
        banner = "%%MatrixMarket matrix coordinate real general\n"
        sizes = f"{self._shape[0]} {self._shape[1]} {self._nnz}"
        return f"{banner}{sizes:<{_HEADER}}\n".encode()

    def write(self, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Add rows; the format has no place for ids."""
        at, columns = np.nonzero(rows)
        lines = zip((at + self._n + 1).tolist(), (columns + 1).tolist(), rows[at, columns].astype(str), strict=True)
        self._file.write("".join(f"{row} {column} {value}\n" for row, column, value in lines).encode())
        self._n, self._nnz = self._n + len(rows), self._nnz + at.size

    def close(self) -> None:
        """Say in the header how many entries there are."""
        self._file.seek(0)
        self._file.write(self._header())

"""Arrays and matrices by numpy, scipy, scikit-learn and safetensors."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Rows
from dsae.data._errors import DamagedError, from_library, library
from dsae.data._reader import SPANS_AT_ONCE, MemoryReader, Reader, ReadOptions, SpanReader
from dsae.data._shape import check_real, check_shape, shape_fields
from dsae.data._text import opened_text

_MOST_INFLATION = 1100  # deflate makes at most 1032 bytes of one
_LEAST_ROWS_PROMISED = 1 << 24  # empty rows take no bytes, so any file may promise as many
_TENX = ("matrix.mtx", "features.tsv", "genes.tsv", "barcodes.tsv")


class NpyReader(SpanReader):
    """Rows of an ``.npy`` array.

    Spans of rows are read: a file that shrinks while it is mapped ends the process (SIGBUS). Only columns, whose spans
    lie all over the file, are mapped, each span by itself.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        array = self._mapped()
        check_shape(self.name, array.shape)
        check_real(self.name, array.dtype)
        self.n_rows, self.n_features = len(array), int(np.prod(array.shape[1:]))
        self.fields = shape_fields(array.shape)
        # A span of columns takes few bytes of each, and the system maps 64 KiB around every one that is touched.
        self._by_rows = bool(array.flags.c_contiguous)
        self._spans = 1 if self._by_rows else SPANS_AT_ONCE
        self._dtype, self._begin = array.dtype, array.offset  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _at_once(self) -> int:
        return self._spans * self._span

    def _mapped(self) -> np.ndarray:
        with library():
            return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def _rows(self, start: int, stop: int) -> Rows:
        if not self._by_rows:
            return np.array(self._mapped()[start:stop], order="C").reshape(stop - start, -1)
        row = self.n_features * self._dtype.itemsize
        numbers = np.fromfile(
            self.path, self._dtype, (stop - start) * self.n_features, offset=self._begin + start * row
        )
        if numbers.size < (stop - start) * self.n_features:
            raise DamagedError("it ends early")
        return numbers.reshape(stop - start, -1)


def open_npz(path: Path, options: ReadOptions) -> Reader:
    """The only array of an archive, or ``X``, or the one named; or scipy's sparse matrix."""
    with open(path, "rb") as file:
        with library():
            archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DamagedError("it is no archive")
        with archive:
            sparse = options.key is None and {"format", "shape"} <= set(archive.files)
            key = "" if sparse else named(str(path), archive.files, options.key)
            with library():
                rows = sp.load_npz(path) if sparse else archive[key]
    return MemoryReader(path, checked(rows) if sparse else rows)


def named(name: str, keys: Iterable[str], key: str | None) -> str:
    """Which of several arrays is meant.

    Raises
    ------
    ValueError
        If ``key`` is none of them, or there are several and none is called ``X``.
    """
    keys = list(keys)
    if key is not None and key not in keys:
        raise ValueError(f"[read] {name} has no array {key!r}; it has {', '.join(keys)}.")
    found = key if key is not None else keys[0] if len(keys) == 1 else "X" if "X" in keys else None
    if found is None:
        raise ValueError(
            f"[read] {name} must hold one array, or one called X; got {', '.join(keys) or 'none'}. Name one of several "
            f"as {name}:KEY."
        )
    return found


def checked(matrix: Any) -> Any:
    """A sparse matrix, its indices found sound."""
    if matrix.format in ("csr", "csc"):
        with library():
            matrix.check_format(full_check=True)
    return matrix


def read_market(path: Path) -> Rows:
    """A Matrix Market file, packed or not."""
    import scipy.io

    with library():
        n_rows, n_columns, n_entries, layout, field, _ = scipy.io.mminfo(str(path))
    size = path.stat().st_size * (_MOST_INFLATION if path.suffix != ".mtx" else 1)
    # Bytes that the entries take at least: a row, a blank, a column and the end of a line.
    least = n_entries if layout == "array" else 4 * n_entries
    if max(least, max(n_rows, n_columns) - _LEAST_ROWS_PROMISED) > size or max(n_rows, n_columns) >= 2**31:
        raise DamagedError(f"it promises {n_rows} {n_columns} {n_entries} in {path.stat().st_size} bytes")
    if field == "complex":
        raise ValueError(f"[read] {path} must hold real numbers; got complex ones.")
    with library():
        return scipy.io.mmread(str(path), spmatrix=True)


def open_market(path: Path, options: ReadOptions) -> Reader:
    """Rows of a Matrix Market file."""
    return MemoryReader(path, read_market(path))


class SvmlightReader(MemoryReader):
    """Rows and labels of a file in the format of SVMlight and LIBSVM.

    Such a file does not say how wide rows are, nor whether indices begin at 0 or 1: the smallest and the largest of
    them do, and those of all files of a folder together.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        from sklearn.datasets import load_svmlight_file

        read: Any = load_svmlight_file
        with opened_text(path) as file, library():
            self._raw, labels = read(file, dtype=np.float64, zero_based=True)
        checked(self._raw)
        with np.errstate(over="ignore"):
            few = self._raw.astype(np.float32)
        # Double precision is kept only where float32 loses something, for `exact` to see.
        self._raw = few if np.array_equal(few.data, self._raw.data) else self._raw
        self._given, self._low = options.n_features, int(self._raw.indices.min()) if self._raw.nnz else 1
        rows = self._shifted(path, *self._frame([self]))  # by this file alone; `align` does it again for a folder
        super().__init__(path, rows, labels=labels, label_name="label")

    def align(self, files: Sequence[Reader]) -> None:
        """Take the first index and the width of all files of a folder."""
        rows = self._shifted(self.path, *self._frame(files))
        self.rows, self.n_features = rows, rows.shape[1]

    def _frame(self, files: Sequence[Any]) -> tuple[int, int]:
        """The first index, and the number of columns."""
        begin = min(1, *(file._low for file in files))
        return begin, self._given or max(1, *(file._raw.shape[1] - begin for file in files))

    def _shifted(self, path: Path, begin: int, width: int) -> Rows:
        raw = self._raw
        if raw.nnz and raw.indices.max() - begin >= width:
            raise ValueError(
                f"[read] {path} must have indices of {width} features, as n_features says; got "
                f"{raw.indices.max() - begin + 1}."
            )
        return sp.csr_matrix((raw.data, raw.indices - begin, raw.indptr), (raw.shape[0], width))


class SafetensorsReader(SpanReader):
    """Rows of a tensor in a ``.safetensors`` file."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path)
        with library(), self._opened() as file:
            parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            found = {key: (tuple(part.get_shape()), part.get_dtype()) for key, part in parts.items()}
        # A bias or a scale beside the rows is no candidate.
        tables = [key for key, (shape, _) in found.items() if len(shape) > 1]
        self._key = named(self.name, tables if options.key is None else found, options.key)
        shape, kind = found[self._key]
        self._bfloat = kind == "BF16"
        check_shape(self.name, shape)
        self.n_rows, self.n_features, self.fields = shape[0], int(np.prod(shape[1:])), shape_fields(shape)

    def _opened(self) -> Any:
        import safetensors

        return safetensors.safe_open(self.path, framework="numpy")

    def _rows(self, start: int, stop: int) -> Rows:
        with library(), self._opened() as file:
            rows = file.get_slice(self._key)[start:stop]
        return rows.reshape(stop - start, -1)


def open_safetensors(path: Path, options: ReadOptions) -> Reader:
    """Rows of a tensor; numpy knows no bfloat16, so such a tensor comes into memory."""
    reader = SafetensorsReader(path, options)
    if not reader._bfloat:
        return reader
    import safetensors

    with library():
        (found,) = (part for key, part in safetensors.deserialize(path.read_bytes()) if key == reader._key)
    halves = np.frombuffer(found["data"], "<u2").astype("<u4") << 16  # a bfloat16 is the upper half of a float32
    return MemoryReader(path, halves.view("<f4").reshape(found["shape"]))


def open_tenx(path: Path, options: ReadOptions) -> Reader:
    """A folder of 10x Genomics: a matrix of genes x cells, whose cells become rows with their barcodes as ids."""
    files: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        if (kind := _tenx_kind(file)) in files and kind in _TENX:
            raise ValueError(
                f"[read] {path} must hold one sample of 10x Genomics; got {files[kind].name} and {file.name}. Move "
                "each sample to a folder of its own."
            )
        files[kind] = file
    matrix = read_market(files["matrix.mtx"])
    genes = _lines(files["features.tsv"] if "features.tsv" in files else files["genes.tsv"])
    barcodes = [line[0] for line in _lines(files["barcodes.tsv"])]
    if matrix.shape != (len(genes), len(barcodes)):
        raise DamagedError(f"{len(genes)} features and {len(barcodes)} barcodes for a matrix of {matrix.shape}")
    names = gene_names([line[1] if len(line) > 1 else line[0] for line in genes], [line[0] for line in genes])
    ids = np.array(barcodes, dtype=object)
    return MemoryReader(path, sp.csr_matrix(matrix.T), names, ids, "barcode")


def is_tenx(path: Path) -> bool:
    """Whether a folder is one that Cell Ranger writes."""
    names = {_tenx_kind(file) for file in path.iterdir()}
    return {"matrix.mtx", "barcodes.tsv"} <= names and bool({"features.tsv", "genes.tsv"} & names)


def _tenx_kind(file: Path) -> str:
    """``matrix.mtx`` of ``sample1_matrix.mtx.gz``."""
    return file.name.lower().removesuffix(".gz").rsplit("_", 1)[-1]


def gene_names(names: list[str], ids: list[str]) -> list[str]:
    """Names of genes; for those that several have, their ids."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    return [name if seen[name] == 1 else key for name, key in zip(names, ids, strict=True)]


def _lines(path: Path) -> list[list[str]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\r\n").split("\t") for line in from_library(file)]

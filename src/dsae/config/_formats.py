"""File formats: one record each, the source for reading, writing, the command line and messages.

A new format is a file in `dsae.data` and a line here. Nothing heavy is imported before a file is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COLUMNS = frozenset({"id_column", "label_column", "columns", "exclude"})
_TEXT = _COLUMNS | {"delimiter", "decimal", "encoding"}
_ANNDATA = _COLUMNS | {"layer", "obsm", "raw"}
_KEY = frozenset({"key"})


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes
    ----------
    name : str
    endings : tuple of str
        The first is the one that is written, of text compressed, too.
    reader : str
        Module of `dsae.data` and function in it, from a path and options to a reader.
    takes : frozenset of str
        Options of `dsae.data.open_rows` that it understands; ``key`` is what comes behind a colon.
    writer : str, optional
        Module of `dsae.data` and class in it, from an open file, the number of rows, names of columns and of ids, and
        whether rows are CSR.
    needs, extra : str, optional
        Package beyond those of dsae, and the extra that brings it.
    sparse : bool
        Whether it can be written as CSR.
    pipe : bool
        Whether it can be written to standard output.
    table : str, optional
        Module of `dsae.data` and class in it that reads all columns of a mixed table.
    magic : bytes, optional
        The first bytes of such a file, by which standard input is recognised.
    """

    name: str
    endings: tuple[str, ...]
    reader: str
    takes: frozenset[str] = frozenset()
    writer: str | None = None
    needs: str | None = None
    extra: str | None = None
    sparse: bool = False
    pipe: bool = False
    table: str | None = None
    magic: bytes | None = None


def _packed(*endings: str) -> tuple[str, ...]:
    return tuple(f"{ending}{packed}" for packed in ("", ".gz", ".bz2", ".xz") for ending in endings)


def _text(name: str, endings: tuple[str, ...], writer: str) -> Format:
    how: dict = {"writer": f"_writers:{writer}", "needs": "pyarrow", "extra": "tables", "pipe": True}
    how["table"] = "_tables:TextTable"
    return Format(name, _packed(*endings), "_text:TextReader", _TEXT, **how)


def _arrow(name: str, endings: tuple[str, ...], magic: bytes | None, writer: str = "ArrowWriter") -> Format:
    how: dict = {"writer": f"_writers:{writer}", "needs": "pyarrow", "extra": "tables", "magic": magic}
    how["table"] = "_tables:ArrowTable"
    return Format(name, endings, "_modalities:open_arrow", _COLUMNS, **how)


_TABLE = (
    Format("npy", (".npy",), "_arrays:NpyReader", writer="_writers:NpyWriter", pipe=True, magic=b"\x93NUMPY"),
    Format("npz", (".npz",), "_arrays:open_npz", _KEY, "_writers:NpzWriter", sparse=True, pipe=True, magic=b"PK"),
    _text("csv", (".csv", ".txt", ".dat"), "CsvWriter"),
    _text("tsv", (".tsv",), "TsvWriter"),
    _arrow("parquet", (".parquet", ".pq"), b"PAR1", "ParquetWriter"),
    _arrow("arrow", (".arrow", ".ipc"), b"ARROW1"),
    _arrow("feather", (".feather",), None),  # begins as arrow does, which standard input is taken for
    # Scipy unpacks gz and bz2, but not xz.
    Format("mtx", _packed(".mtx")[:3], "_arrays:open_market", magic=b"%%MatrixMarket"),
    Format("svmlight", _packed(".svm", ".libsvm", ".svmlight"), "_arrays:SvmlightReader", frozenset({"n_features"})),
    Format(
        "h5ad",
        (".h5ad",),
        "_anndata:open_anndata",
        _ANNDATA,
        "_writers:H5adWriter",
        needs="h5py",
        extra="anndata",
        magic=b"\x89HDF",
    ),
    Format("zarr", (".zarr",), "_anndata:open_anndata", _ANNDATA, needs="zarr", extra="anndata"),
    Format(
        "hdf5", (".h5", ".hdf5"), "_anndata:open_hdf5", _KEY | {"columns", "exclude"}, needs="h5py", extra="anndata"
    ),
    Format("safetensors", (".safetensors",), "_arrays:open_safetensors", _KEY, needs="safetensors"),
    Format("pt", (".pt", ".pth"), "_torch:open_pt", _KEY, needs="torch", extra="train"),
)
FORMATS = {found.name: found for found in _TABLE}
"""Formats of files by name."""
WRITTEN = tuple(found.name for found in _TABLE if found.writer is not None)
"""Formats that can be written."""
ENDINGS = tuple(ending for found in _TABLE for ending in found.endings if ending.count(".") == 1)
"""What names of files end in, before that of a compression."""


def format_of(path: Any) -> Format | None:
    """The format that the name of a file ends in, of a string or whatever has a ``name``; the longest ending counts."""
    name = (Path(path) if isinstance(path, str) else path).name.lower()
    found = [(len(end), kind) for kind in _TABLE for end in kind.endings if name.endswith(end)]
    return max(found, key=lambda pair: pair[0])[1] if found else None

"""Rows from standard input, which says by its first bytes what it is."""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np

from dsae.data._check import Rows
from dsae.data._csv import CsvReader
from dsae.data._npy import check_members, choose, explained, read_array, read_header, read_sparse
from dsae.data._reader import MemoryReader, Reader

_NAME = "standard input"


def read_stdin(id_column: str | None = None) -> Reader:
    """All of it, in memory: ``.npy``, ``.npz`` or ``.csv``."""
    content = sys.stdin.buffer.read()
    if id_column is not None and content[:2] in (b"\x93N", b"PK"):
        raise ValueError(f"[read] {_NAME} has no columns to name; leave id_column={id_column!r} out.")
    if content[:6] == b"\x93NUMPY":
        return MemoryReader(_NAME, "npy", _array(content))
    if content[:2] == b"PK":
        return MemoryReader(_NAME, "npz", _archive(content))
    return CsvReader(_NAME, id_column, content)


def _array(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    header = read_header(_NAME, file, len(content))
    with explained(_NAME, ".npy array"):
        numbers = np.frombuffer(content, header.dtype, header.n_bytes // header.dtype.itemsize, file.tell())
    return numbers.reshape(header.shape, order="F" if header.fortran else "C")


def _archive(content: bytes) -> Rows:
    with explained(_NAME, ".npz archive"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_members(archive)
        members = [info.filename.removesuffix(".npy") for info in archive.infolist()]
        if {"format", "shape"} <= set(members):
            return read_sparse(_NAME, archive)
        return read_array(_NAME, archive, choose(_NAME, members, ""))

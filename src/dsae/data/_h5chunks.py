"""Rows of an HDF5 dataset that is in chunks, taken from the file as they are and unpacked here.

HDF5 reads on behind a chunk that unpacks to too few bytes, and believes whatever nbit and scaleoffset are set to.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
_UNSAFE = {4: "szip", 5: "nbit", 6: "scaleoffset"}
_MOST_LZF = 88  # bytes that lzf makes of one
_SUM_BYTES = 4
_ABSENT = ("storage is not allocated", "address isn't defined")  # what HDF5 2, or 1, says of a chunk that is not there
_Bytes = bytes | memoryview


def check_filters(name: str, data: Any) -> None:
    """Raise unless it is packed by what is undone here or, if it is not of texts, by a plugin that HDF5 has."""
    import h5py

    for kind, *_ in _filters(data.id.get_create_plist()):
        plugin = kind not in _UNSAFE and not data.dtype.hasobject and h5py.h5z.filter_avail(kind)
        if kind not in _UNDO and not plugin:
            raise ValueError(
                f"[read] {name} must be compressed by gzip or lzf, or not at all; {data.name} is by "
                f"{_UNSAFE.get(kind, f'filter {kind} of HDF5')}. Write it again with compression='gzip'."
            )


def read(data: Any, start: int, stop: int) -> np.ndarray:
    """Rows from ``start`` to ``stop``, of texts of variable length the references; by HDF5 where it unpacks nothing."""
    texts = data.dtype.hasobject
    if data.id.get_offset() and not texts:  # in one piece; this is known sooner than how it is packed
        return data[start:stop]
    plan = data.id.get_create_plist()
    filters = _filters(plan)
    if not (texts or filters) or not all(kind in _UNDO for kind, *_ in filters):
        return data[start:stop]
    chunks, (size, elements) = plan.get_chunk(), _elements(data)
    n_bytes = math.prod(chunks) * size
    undo = [_UNDO[kind](n_bytes, settings) for kind, _, settings, _ in filters]
    rows = np.full((stop - start, *data.shape[1:]), *((0, REFERENCE) if texts else (data.fillvalue, data.dtype)))
    # Of a chunk that is not packed HDF5 reads as much as the file says, however long the buffer.
    packed = np.empty(_most_packed(n_bytes) if filters else min(os.path.getsize(data.file.filename), 2**32), np.uint8)
    grid = map(range, (start // chunks[0] * chunks[0], *[0] * (data.ndim - 1)), (stop, *data.shape[1:]), chunks)
    for at in itertools.product(*grid):
        try:
            skipped, part = data.id.read_direct_chunk(at, out=packed)
        except (RuntimeError, OSError) as error:
            if any(words in str(error) for words in _ABSENT):
                continue
            raise
        part = _unpacked(skipped, part, undo)
        if len(part) != n_bytes:
            raise ValueError(f"{data.name} has a chunk of {len(part)} bytes, not {n_bytes}")
        _place(rows, start, elements(part).reshape(chunks), at)
    return rows


def _filters(plan: Any) -> list[tuple]:
    """Number, flags, settings and name of each, in the order in which they were applied."""
    return [plan.get_filter(place) for place in range(plan.get_nfilters())]


def _place(rows: np.ndarray, start: int, part: np.ndarray, at: tuple[int, ...]) -> None:
    """Put what begins at ``at`` into the rows from ``start`` on; a chunk may go on behind them."""
    begin = max(start, at[0])
    part = part[begin - at[0] :]
    place = rows[tuple(map(slice, (begin - start, *at[1:]), rows.shape))]
    both = tuple(map(slice, map(min, part.shape, place.shape)))
    place[both] = part[both]


def _elements(data: Any) -> tuple[int, Callable[[_Bytes], np.ndarray]]:
    """Bytes of an element, and what makes elements of bytes; HDF5 converts those that numpy has otherwise."""
    from h5py import h5t

    if data.dtype.hasobject:
        return REFERENCE.itemsize, functools.partial(np.frombuffer, dtype=REFERENCE)
    stored, wanted = data.id.get_type(), h5t.py_create(data.dtype)
    size, longest = stored.get_size(), max(stored.get_size(), data.dtype.itemsize)

    def convert(part: _Bytes) -> np.ndarray:
        n = len(part) // size
        elements = np.zeros(n * longest, np.uint8)
        elements[: len(part)] = np.frombuffer(part, np.uint8)
        h5t.convert(stored, wanted, n, elements)
        return elements[: n * data.dtype.itemsize].view(data.dtype)

    return size, functools.partial(np.frombuffer, dtype=data.dtype) if stored.equal(wanted) else convert


def _most_packed(n_bytes: int) -> int:
    """Filters make little more of what they cannot pack."""
    return n_bytes + n_bytes // 64 + 64


def _unpacked(skipped: int, part: _Bytes, undo: list[Callable[[_Bytes], _Bytes]]) -> _Bytes:
    """A chunk before its filters, except those that were skipped for it."""
    for place in reversed(range(len(undo))):
        if not skipped >> place & 1:
            part = undo[place](part)
    return part


def _gzip(n_bytes: int, settings: tuple[int, ...]) -> Callable[[_Bytes], _Bytes]:
    return lambda part: zlib.decompressobj().decompress(part, n_bytes + _SUM_BYTES)


def _shuffle(n_bytes: int, settings: tuple[int, ...]) -> Callable[[_Bytes], _Bytes]:
    def undo(part: _Bytes) -> _Bytes:
        planes = np.frombuffer(part, np.uint8).reshape(settings[0], -1)
        # To stack takes a third of the time, but an array for each byte of an element.
        return (np.stack(list(planes), axis=1) if len(planes) <= 16 else planes.T).ravel().data

    return undo


def _fletcher32(n_bytes: int, settings: tuple[int, ...]) -> Callable[[_Bytes], _Bytes]:
    """The sums at the end are compared, then dropped: of 16-bit words, and of their sums so far, modulo 2**16 - 1."""

    def undo(part: _Bytes) -> _Bytes:
        part, stored = part[:-_SUM_BYTES], np.frombuffer(part[-_SUM_BYTES:], "<u2")
        first = second = 0
        for at in range(0, len(part), 1 << 20):
            piece = bytes(part[at : at + (1 << 20)])
            words = np.frombuffer(piece + b"\0" * (len(piece) % 2), ">u2").astype(np.int64)
            second += first * len(words) + int(words @ np.arange(len(words), 0, -1))
            first += int(words.sum())
        if (stored % 65535).tolist() != [first % 65535, second % 65535]:
            raise ValueError("a chunk's sums are not those that were stored")
        return part

    return undo


class _Lzf:
    """Undone by HDF5, in a file in memory of which only the packed bytes are not ours.

    A mark is packed behind them to see where they end. The filter begins again, up to 88 times, with a longer buffer
    where one was too short; so it gets the longest.
    """

    def __init__(self, n_bytes: int, settings: tuple[int, ...]) -> None:
        import h5py

        most = min(_MOST_LZF * _most_packed(n_bytes), 2**32 - 1)
        file = h5py.File(os.urandom(8).hex(), "w", driver="core", backing_store=False)
        self._data = file.create_dataset("part", (most,), np.uint8, chunks=(most,), compression="lzf")
        self._n_bytes = n_bytes

    def __call__(self, part: _Bytes) -> _Bytes:
        mark = os.urandom(8)
        self._data.id.write_direct_chunk((0,), bytes(part) + b"\7" + mark)
        found = self._data[: self._n_bytes + len(mark)]
        if found[self._n_bytes :].tobytes() != mark:
            raise ValueError(f"a chunk unpacks to other than {self._n_bytes} bytes")
        return found[: self._n_bytes].data


_UNDO = {1: _gzip, 2: _shuffle, 3: _fletcher32, 32000: _Lzf}

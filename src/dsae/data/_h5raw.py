"""Texts and attributes of an HDF5 file as they are on disk, read without HDF5.

A text of variable length is a reference to an object in a heap. HDF5 asks for as much memory as the reference says,
and clears it, before it looks whether the file has the text, and runs for ever on some damaged heaps.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dsae.data._h5chunks import REFERENCE, read

_UNDEFINED = 2**64 - 1
_OBJECT = struct.Struct("<H6xQ")
_Block = Callable[[int, int], bytes]
_ATTRIBUTE, _CONTINUATION, _SYMBOLS, _SHARED = 0x0C, 0x10, 0x11, 2
_NOTHING_FREE = 1


def references(data: Any, start: int, stop: int) -> np.ndarray:
    """Those of a dataset of texts, from ``start`` to ``stop``."""
    if data.chunks:
        return read(data, start, stop)
    at = data.id.get_offset()
    if at is None and data.id.get_storage_size():
        raise ValueError(f"{data.name} holds its texts in its header")
    if at is None:
        return np.zeros(stop - start, REFERENCE)
    with _blocks(data) as block:
        at += start * REFERENCE.itemsize - _base(data)
        return np.frombuffer(block(at, (stop - start) * REFERENCE.itemsize), REFERENCE)


def texts(obj: Any, name: str, found: np.ndarray) -> list[bytes]:
    """The texts that references in the file of ``obj`` lead to, each up to its first zero, as HDF5 ends them."""
    length, heap, index = (found[part].tolist() for part in ("length", "heap", "index"))
    if sum(length) > os.path.getsize(obj.file.filename):
        raise ValueError(f"{name} promises texts of {sum(length)} bytes")
    there = np.flatnonzero((found["length"] > 0) & (found["heap"] > 0) & (found["heap"] < _UNDEFINED))
    by_heap = there[np.argsort(found["heap"][there], kind="stable")].tolist()
    values = [b""] * len(found)
    with _blocks(obj) as block:
        for at, places in itertools.groupby(by_heap, heap.__getitem__):
            content = _heap(block, at)
            objects = dict(_objects(content))
            for i in places:
                begin, size = objects.get(index[i], (0, 0))
                if length[i] > size:
                    raise ValueError(f"{name} refers to a text that is not there")
                values[i] = content[begin : begin + length[i]].split(b"\0", 1)[0]
    return values


@contextlib.contextmanager
def _blocks(obj: Any) -> Iterator[_Block]:
    """What gives bytes of the file by address and number, together no more than it has: what runs in circles, ends."""
    with open(obj.file.filename, "rb") as file:
        base, end = _base(obj), os.fstat(file.fileno()).st_size
        left = end

        def block(at: int, size: int) -> bytes:
            nonlocal left
            left -= size
            if left < 0 or not base <= base + at <= base + at + size <= end:
                raise ValueError(f"a block of {size} bytes at {at}")
            file.seek(base + at)
            return file.read(size)

        yield block


def _base(obj: Any) -> int:
    """Where addresses begin in the file."""
    return obj.file.id.get_create_plist().get_userblock()


def _heap(block: _Block, at: int) -> bytes:
    """Objects of a global heap collection, section III.E of HDF5's file format."""
    head = block(at, 16)
    if head[:5] != b"GCOL\1":
        raise ValueError(f"no heap of texts at {at}")
    return block(at + 16, int.from_bytes(head[8:], "little") - 16)


def _objects(heap: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Indices of a heap's objects, with where they begin and their size; index 0 is of what is free, at the end."""
    at = 0
    while at + _OBJECT.size <= len(heap):
        index, size = _OBJECT.unpack_from(heap, at)
        at += _OBJECT.size
        if index == 0 or at + size > len(heap):
            return
        yield index, (at, size)
        at += -(-size // 8) * 8


def attribute_values(obj: Any, name: str) -> list[bytes]:
    """The values called ``name`` in the header of an object.

    None if there are no attributes in it: newer files have them elsewhere when there are more than eight, or one is
    longer than 64 KiB.
    """
    with _blocks(obj) as block:
        found = [(flags, *_attribute(body)) for kind, flags, body in _header(block, obj) if kind == _ATTRIBUTE]
    if any(flags & _SHARED for flags, *_ in found):
        raise ValueError("attributes that objects share are not read")
    return [value for _, key, value in found if key == name.encode()]


def check_links(group: Any) -> None:
    """Raise where what is free between the names of a group's links runs in a circle: HDF5 takes memory on its way."""
    with _blocks(group) as block:
        for kind, _, body in _header(block, group):
            if kind == _SYMBOLS:
                free, names = struct.unpack("<16xQQ", block(int.from_bytes(body[8:16], "little"), 32))
                while free != _NOTHING_FREE:
                    free = int.from_bytes(block(names + free, 16)[:8], "little")


def _header(block: _Block, obj: Any) -> Iterator[tuple[int, int, bytes]]:
    """Kinds, flags and bodies of the messages in an object's header: section IV.A of HDF5's file format."""
    import h5py

    # h5o.get_info says where it is too, but first adds up what indices take, which may run in a circle.
    low, high = h5py.h5g.get_objinfo(obj.id).objno
    at = low | high << 32
    head, margin, first, size = _layout(block(at, 34))
    places = [(at + first, size)]
    for start, size in places:
        for kind, flags, body in _messages(block(start, size), head):
            if kind == _CONTINUATION:
                start, size = struct.unpack_from("<QQ", body)
                places.append((start + margin, size - 2 * margin))
            yield kind, flags, body


def _layout(prefix: bytes) -> tuple[struct.Struct, int, int, int]:
    """How messages begin, the bytes before and after those of further blocks, begin and size of the first block."""
    if not prefix.startswith(b"OHDR"):
        return struct.Struct("<HHB3x"), 0, 16, int.from_bytes(prefix[8:12], "little")
    flags = prefix[5]
    at = 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
    first = at + (1 << (flags & 3))
    return struct.Struct("<BHB2x" if flags & 4 else "<BHB"), 4, first, int.from_bytes(prefix[at:first], "little")


def _messages(block: bytes, head: struct.Struct) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + head.size <= len(block):
        kind, size, flags = head.unpack_from(block, at)
        at += head.size + size
        yield kind, flags, block[at - size : at]


def _attribute(body: bytes) -> tuple[bytes, bytes]:
    """Name and value; type and shape lie between them. In version 1 all are of whole 8 bytes."""
    version, *sizes = struct.unpack_from("<BxHHH", body)
    at, unit = 9 if version == 3 else 8, 8 if version == 1 else 1
    name = body[at : at + sizes[0]].split(b"\0")[0]
    return name, body[at + sum(-(-size // unit) * unit for size in sizes) :]

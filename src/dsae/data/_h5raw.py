"""Texts in an HDF5 file as they are on disk, read without HDF5.

A text of variable length is a reference of 16 bytes, which begins with the text's length. HDF5 asks for that much
memory, and clears it, before it looks whether the file has the text.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

_ATTRIBUTE, _CONTINUATION, _SHARED = 0x0C, 0x10, 2


def promised(references: bytes) -> int:
    """The sum of the lengths."""
    return int(np.frombuffer(references, "<u4")[::4].sum(dtype=np.int64))


def dataset_references(data: Any) -> Iterator[bytes]:
    """The references of a dataset of texts, in pieces."""
    if data.chunks is None:
        at = data.id.get_offset()
        if at is not None:
            with open(data.file.filename, "rb") as file:
                file.seek(at)
                yield file.read(16 * data.size)
        elif data.id.get_storage_size():
            raise ValueError(f"{data.name} holds its texts in its header")
        return
    filters, n_bytes = data.id.get_create_plist(), 16 * math.prod(data.chunks)
    for i in range(data.id.get_num_chunks()):
        skipped, part = data.id.read_direct_chunk(data.id.get_chunk_info(i).chunk_offset)
        for place in reversed(range(filters.get_nfilters())):
            if not skipped >> place & 1:
                part = _unfiltered(part, filters.get_filter(place)[0], n_bytes)
        if len(part) != n_bytes:  # HDF5 would read on behind it
            raise ValueError(f"{data.name} has a chunk of {len(part)} bytes, not {n_bytes}")
        yield part


def _unfiltered(part: bytes, kind: int, n_bytes: int) -> bytes:
    """A chunk before HDF5's filter: 1 is deflate, 2 shuffle."""
    if kind == 1:
        return zlib.decompressobj().decompress(part, n_bytes)
    if kind == 2:
        return np.frombuffer(part, np.uint8).reshape(16, -1).T.tobytes()
    raise ValueError(f"names compressed by filter {kind} of HDF5 are not read, only by gzip")


def attribute_values(obj: Any, info: Any, name: str) -> list[bytes]:
    """The values called ``name`` in the header of an object, of which ``info`` is what `h5py.h5o.get_info` says.

    None if there are no attributes in it: newer files have them elsewhere when there are more than eight, or one is
    longer than 64 KiB.
    """
    with open(obj.file.filename, "rb") as file:
        base = obj.file.id.get_create_plist().get_userblock()
        found = [_attribute(body) for body in _attributes(file, base, info.addr, info.hdr.nchunks)]
    return [value for key, value in found if key == name.encode()]


def _attributes(file: BinaryIO, base: int, at: int, n_blocks: int) -> Iterator[bytes]:
    """Attributes in the header at ``at``: section IV.A of HDF5's file format."""
    file.seek(base + at)
    head, margin, first, size = _layout(file.read(34))
    blocks = [(at + first, size)]
    for start, size in blocks:
        for kind, flags, body in _messages(_block(file, base + start, size), head):
            if kind == _CONTINUATION and len(blocks) < n_blocks:
                start, size = struct.unpack_from("<QQ", body)
                blocks.append((start + margin, size - 2 * margin))
            if kind == _ATTRIBUTE and flags & _SHARED:
                raise ValueError("attributes that objects share are not read")
            if kind == _ATTRIBUTE:
                yield body


def _layout(prefix: bytes) -> tuple[struct.Struct, int, int, int]:
    """How messages begin, the bytes before and after those of further blocks, begin and size of the first block."""
    if not prefix.startswith(b"OHDR"):
        return struct.Struct("<HHB3x"), 0, 16, int.from_bytes(prefix[8:12], "little")
    flags = prefix[5]
    at = 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
    first = at + (1 << (flags & 3))
    return struct.Struct("<BHB2x" if flags & 4 else "<BHB"), 4, first, int.from_bytes(prefix[at:first], "little")


def _block(file: BinaryIO, at: int, size: int) -> bytes:
    if not 0 <= at <= at + size <= os.fstat(file.fileno()).st_size:
        raise ValueError(f"a header of {size} bytes at {at}")
    file.seek(at)
    return file.read(size)


def _messages(block: bytes, head: struct.Struct) -> Iterator[tuple[int, int, bytes]]:
    """Kinds, flags and bodies."""
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

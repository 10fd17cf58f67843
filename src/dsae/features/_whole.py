"""Whether sound files end before their data do: libsndfile reads what is there of these formats, and says nothing."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO, Literal

from dsae.features._items import BadItemError

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what tools write that do not know how long a file will be


def check_whole(item: Any) -> None:
    """Raise for a wav, AIFF or AU file, a path or its content, that is shorter than its header says.

    Raises
    ------
    BadItemError
    """
    with io.BytesIO(item) if isinstance(item, bytes) else open(item, "rb") as file:
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            _check_chunks(file, size, "wav", b"data", "little")
        elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            _check_chunks(file, size, "AIFF", b"SSND", "big")
        elif head[:4] in (b".snd", b"dns."):
            order: Literal["big", "little"] = "big" if head[:4] == b".snd" else "little"
            at = int.from_bytes(head[4:8], order)
            _check(size, "AU", at, int.from_bytes(head[8:12], order))


def _check_chunks(file: BinaryIO, size: int, form: str, wanted: bytes, order: Literal["big", "little"]) -> None:
    at = 12
    while at + 8 <= size:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], order)
        if chunk[:4] == wanted:
            _check(size, form, at + 8, length)
            return
        at += 8 + length + length % 2
    raise BadItemError(f"must be a whole {form} file; it ends before any sound")


def _check(size: int, form: str, at: int, length: int) -> None:
    """Of ``length`` bytes of sound from ``at``, all must be in a file of ``size`` bytes."""
    if length not in _UNKNOWN_SIZES and at + length > size:
        there = max(0, size - at)
        raise BadItemError(
            f"must be a whole {form} file; it is truncated: {there} of {length} bytes of sound are there"
        )

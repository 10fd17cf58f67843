"""Files of data that a page can read where it may read nothing: scripts of one call each."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsae.config import plain

_KINDS = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "i1": np.int8, "i4": np.int32, "f4": np.float32}
_ALIGNED = 8  # bytes: what every typed array of JavaScript can start at
_DROPPED = 10  # bits of float32's 24: what is left is right to four digits, and zeros are what gzip likes
_LEVEL = 6


def packed(content: Mapping[str, Any]) -> bytes:
    """Nested dicts and lists with arrays in them as bytes; see `unpacked`.

    Arrays of floats are rounded to 14 bits of mantissa, unsigned ones stored in the smallest type that holds them.
    """
    arrays: list[np.ndarray] = []
    size = 0

    def placed(value: Any) -> Any:
        nonlocal size
        if isinstance(value, np.ndarray) and value.dtype != object:
            kind, array = _stored(value.ravel())
            entry = {"$": kind, "at": size, "n": array.size}
            arrays.append(array)
            size += array.nbytes + -array.nbytes % _ALIGNED
            return entry
        if isinstance(value, Mapping):
            return {str(key): placed(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [placed(entry) for entry in value]
        return plain(value)

    head = json.dumps(placed(content), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    head += b" " * (-(4 + len(head)) % _ALIGNED)
    pieces = [len(head).to_bytes(4, "little"), head]
    for array in arrays:
        pieces += [array.tobytes(), b"\0" * (-array.nbytes % _ALIGNED)]
    return b"".join(pieces)


def unpacked(data: bytes) -> Any:
    """What `packed` was given, as the page sees it."""
    n = 4 + int.from_bytes(data[:4], "little")

    def revived(entry: dict[str, Any]) -> Any:
        if "$" not in entry:
            return entry
        return np.frombuffer(data, np.dtype(_KINDS[entry["$"]]).newbyteorder("<"), entry["n"], n + entry["at"])

    return json.loads(data[4:n], object_hook=revived)


def call(name: str, content: Mapping[str, Any]) -> str:
    """The text of a file: one call of the page's function ``D``."""
    return f'D({json.dumps(name)},"{encoded(content)}")\n'


def encoded(content: Mapping[str, Any]) -> str:
    """A shard as base64 of gzip, the same bytes every time."""
    return base64.b64encode(gzip.compress(packed(content), _LEVEL, mtime=0)).decode()


def read_shard(folder: str | Path, name: str) -> Any:
    """What a shard of an explorer holds, as its page sees it; see ``docs/design/explorer.md``.

    Parameters
    ----------
    folder : str or Path
        That `dsae.explore` wrote, with one file in it or many.
    name : str
        Such as ``"index"`` or ``"latents/0"``.

    Returns
    -------
    dict
        With numpy arrays.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it is no shard.

    Examples
    --------
    >>> read_shard("explorer", "columns")["n_on"]                                       # doctest: +SKIP
    """
    path = Path(folder, "data", *f"{name}.js".split("/"))
    page = Path(folder, "index.html")
    inside = None if path.exists() or not page.exists() else _inside(page, name)
    try:
        text = path.read_text("ascii").partition(",")[2][1:-3] if inside is None else inside
        return unpacked(gzip.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, EOFError, KeyError, gzip.BadGzipFile) as error:
        raise ValueError(f"[read_shard] {path} must be a shard that dsae explore has written; {error}.") from None


def _inside(page: Path, name: str) -> str | None:
    """A shard of a single file; None if it is not there."""
    found = re.search(rf'<script type="text/plain" data-shard="{re.escape(name)}">([^<]*)<', page.read_text("utf-8"))
    return None if found is None else found[1].strip()


def lists(counts: Sequence[int] | np.ndarray, **entries: np.ndarray) -> dict[str, np.ndarray]:
    """Lists of different lengths, one after another, with where each begins."""
    return {"ptr": pointers(counts), **entries}


def pointers(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where lists of these lengths begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.uint32)


def rounded(values: np.ndarray) -> np.ndarray:
    """Float32 with 14 bits of mantissa, to the nearest; NaN and infinity stay."""
    bits = np.array(values, np.float32).view(np.uint32)
    finite = (bits & 0x7F800000) != 0x7F800000
    near = (bits + (1 << (_DROPPED - 1))) & np.uint32(0xFFFFFFFF << _DROPPED & 0xFFFFFFFF)
    return np.where(finite, near, bits).view(np.float32)


def _stored(values: np.ndarray) -> tuple[str, np.ndarray]:
    if values.dtype.kind == "f":
        kind, values = "f4", rounded(values)
    elif values.dtype == np.int8:
        kind = "i1"
    elif values.dtype.kind == "i" and values.size and values.min() < 0:
        kind = "i4"
    else:  # numbers of rows, latents and features are never negative
        top = int(values.max()) if values.size else 0
        kind = "u1" if top < 1 << 8 else "u2" if top < 1 << 16 else "u4"
    return kind, np.ascontiguousarray(values, np.dtype(_KINDS[kind]).newbyteorder("<"))

"""Named arrays in one file, laid out as safetensors does; read without trust, and without mapping the file.

A mapped file that another process cuts short would end this one with a bus error.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_KINDS = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U16": "<u2", "U8": "|u1"}
_NAMES = {np.dtype(code): name for name, code in _KINDS.items()}
_LONGEST_HEADER = 100_000_000


class Slot(NamedTuple):
    """Where an array lies, and what it is."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays of float32, float64, int32, int64, uint16 or uint8, and wait until they are on the disk."""
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))  # so that every array lies aligned
    header, end = {}, 0
    for name, array in arrays.items():
        offsets = [end, end := end + array.nbytes]
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(np.shape(tensors[name])), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            if array.size:
                file.write(array.data.cast("B"))
        file.flush()
        os.fsync(file.fileno())


class TensorFile:
    """The arrays of one file, each read when it is asked for; a context manager.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    slots : dict of str to Slot

    Raises
    ------
    ValueError
        If the file is not what it claims to be; nothing is allocated before that is known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = open(path, "rb", buffering=0)  # noqa: SIM115
        try:
            self.slots, self._start = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> np.ndarray:
        """One array."""
        kind, shape, begin, _ = self.slots[name]
        count = math.prod(shape)
        self._file.seek(self._start + begin)
        array = np.fromfile(self._file, np.dtype(_KINDS[kind]), count)
        if array.size < count:
            raise self._fault(f"{name} ends early")
        return array.reshape(shape)

    def _read_header(self) -> tuple[dict[str, Slot], int]:
        size = os.fstat(self._file.fileno()).st_size
        length = int.from_bytes(self._file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise self._fault("its header ends early")
        text = self._file.read(length)
        try:
            header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            raise self._fault(f"its header is not valid JSON: {error}") from None
        if not isinstance(header, dict):
            raise self._fault("its header is not a mapping")
        header.pop("__metadata__", None)
        slots = {name: self._slot(name, entry) for name, entry in header.items()}
        end = 0
        for slot in sorted(slots.values(), key=lambda slot: (slot.begin, slot.end)):
            if slot.begin != end:
                raise self._fault("its tensors overlap or leave a hole")
            end = slot.end
        if 8 + length + end != size:
            raise self._fault(f"it should have {8 + length + end} bytes and has {size}")
        return slots, 8 + length

    def _slot(self, name: str, entry: Any) -> Slot:
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise self._fault(f"{name} is not described by dtype, shape and data_offsets")
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not (isinstance(kind, str) and kind in _KINDS):
            raise self._fault(f"{name} has the unknown dtype {kind!r}")
        if not (_counts(shape) and len(shape) <= 8 and _counts(offsets) and len(offsets) == 2):
            raise self._fault(f"shape and data_offsets of {name} are not lists of counts")
        if offsets[1] - offsets[0] != math.prod(shape) * np.dtype(_KINDS[kind]).itemsize:
            raise self._fault(f"{name} has not as many bytes as its shape asks for")
        return Slot(kind, tuple(shape), *offsets)

    def _fault(self, reason: str) -> ValueError:
        return ValueError(f"{self.path} is cut short or damaged ({reason}).")


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name appears twice")
    return found

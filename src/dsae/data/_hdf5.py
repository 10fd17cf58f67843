"""Groups and arrays of an HDF5 file or a zarr folder, whose libraries raise many kinds of error if it is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dsae.data._errors import DamagedError, library

_CACHE_BYTES = 1 << 25  # of packed blocks that two rows share


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Node]:
    """The root of an HDF5 file or of a zarr folder."""
    if path.is_dir():
        import zarr

        with library():
            root = zarr.open_group(str(path), mode="r")
        yield Node(root)
        return
    import h5py

    with library():
        file = h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)
    with file:
        yield Node(file)


class Node:
    """A group, or an array in one."""

    def __init__(self, item: Any) -> None:
        self._item = item
        with library():
            self.is_array = hasattr(item, "shape")

    def __contains__(self, key: str) -> bool:
        with library():
            return key in self._item

    def __getitem__(self, key: str) -> Node:
        with library():
            return Node(self._item[key])

    def keys(self) -> list[str]:
        """What a group holds."""
        with library():
            return list(self._item)

    def arrays(self) -> dict[str, Node]:
        """All arrays below a group of HDF5, by their paths."""
        found: dict[str, Any] = {}
        with library():
            self._item.visititems(lambda key, item: found.update({key: item}) if hasattr(item, "shape") else None)
        return {key: Node(item) for key, item in found.items()}

    def attribute(self, key: str) -> Any:
        """An attribute, None where there is none."""
        with library():
            return self._item.attrs.get(key)

    def sizes(self, key: str) -> tuple[int, ...]:
        """An attribute of whole numbers, such as a shape."""
        with library():
            return tuple(int(n) for n in self._item.attrs[key])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an array."""
        self._check_array()
        with library():
            return tuple(self._item.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of an array."""
        self._check_array()
        with library():
            return self._item.dtype

    @property
    def block(self) -> int:
        """Rows of an array that are packed together."""
        return (getattr(self._item, "chunks", None) or (1,))[0]

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """An array, or rows of it."""
        if not self.shape:
            raise DamagedError("a single value in place of an array")
        with library():
            return np.asarray(self._item[start:stop])

    def _check_array(self) -> None:
        if not self.is_array:
            raise DamagedError("a group in place of an array")


def length(data: Node) -> int:
    """Values of a column of a frame."""
    array = data if data.is_array else data["codes" if "codes" in data else "values"]
    if not array.shape:
        raise DamagedError("a single value in place of a column")
    return array.shape[0]


def column(data: Node, start: int = 0, stop: int | None = None) -> np.ndarray:
    """A column of a frame from ``start`` to ``stop``: an array, categories, or texts or numbers that may be missing."""
    if data.is_array:
        array = data.read(start, stop)
        return as_texts(array) if array.dtype.kind in "OSUT" else array
    if "codes" in data:
        codes, categories = data["codes"].read(start, stop), column(data["categories"])
        if codes.ndim != 1 or codes.dtype.kind not in "iu" or (codes.size and codes.max() >= len(categories)):
            raise DamagedError("codes beyond their categories")
        return np.fromiter((None if code < 0 else categories[code] for code in codes), dtype=object, count=len(codes))
    found, mask = column(data["values"], start, stop).astype(object), data["mask"].read(start, stop)
    if found.shape != mask.shape:
        raise DamagedError(f"a mask of {mask.shape} for values of {found.shape}")
    found[mask.astype(bool)] = None
    return found


def as_texts(array: np.ndarray) -> np.ndarray:
    """Bytes and texts as texts."""
    return np.fromiter(map(as_text, array.tolist()), dtype=object, count=len(array))


def as_text(value: Any) -> str:
    """Bytes or a text as a text."""
    # A name with a damaged letter still names its row.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

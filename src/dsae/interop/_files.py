"""Files of other libraries, which nobody has checked: settings and tensors are taken one by one, and none is left."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from dsae.config import listed
from dsae.store import parse_json, read_text

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_WHOLE = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}
_MISSING = object()


class Settings:
    """The settings of a JSON file.

    Parameters
    ----------
    path : Path
        For messages.
    content : mapping, optional
        By default what the file holds.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """

    def __init__(self, path: Path, content: Any = None) -> None:
        self.path = path
        if content is None:
            if not path.is_file():
                raise ValueError(f"{path} is missing; the folder was not copied whole.")
            content = parse_json(path, read_text(path))
        if not isinstance(content, dict):
            raise ValueError(f"{path} must hold a mapping; got {type(content).__name__}.")
        self.left = dict(content)

    def take(self, name: str, default: Any = _MISSING) -> Any:
        """A value; without a default it must be there."""
        if name not in self.left and default is _MISSING:
            raise ValueError(f"{self.path} lacks {name}.")
        return self.left.pop(name, default)

    def whole(self, name: str, default: Any = _MISSING) -> int:
        """A whole number of at least 1."""
        value = self.take(name, default)
        if type(value) is not int or value < 1:
            raise ValueError(f"{self.path}: {name} must be a whole number of at least 1; got {_short(value)}.")
        return value

    def flag(self, name: str, default: Any = _MISSING) -> bool:
        """True or false; null is the default."""
        value = self.take(name, default)
        value = default if value is None and default is not _MISSING else value
        if type(value) is not bool:
            raise ValueError(f"{self.path}: {name} must be true or false; got {_short(value)}.")
        return value

    def text(self, name: str, default: Any = _MISSING) -> str:
        """A text; null is the default."""
        value = self.take(name, default)
        value = default if value is None and default is not _MISSING else value
        if not isinstance(value, str):
            raise ValueError(f"{self.path}: {name} must be a text; got {_short(value)}.")
        return value

    def inner(self, name: str, default: Any = _MISSING) -> Settings:
        """Settings within these."""
        value = self.take(name, default)
        if not isinstance(value, dict):
            raise ValueError(f"{self.path}: {name} must be a mapping; got {_short(value)}.")
        return Settings(self.path, value)

    def drop(self, names: Collection[str]) -> None:
        """Leave out settings that change nothing of what a model computes."""
        self.left = {name: value for name, value in self.left.items() if name not in names}

    def end(self) -> None:
        """Refuse what was not taken: it may change what the model computes."""
        if self.left:
            raise ValueError(
                f"{self.path} has the setting {listed(map(_short, self.left))}, which dsae does not know and which may "
                "change what the model computes. Remove it from the file if it does not."
            )


class Tensors:
    """The tensors of a file.

    Parameters
    ----------
    path : Path
        For messages.
    arrays : mapping of str to ndarray
    sizes : mapping of str to int
        Those that are known of the model's dimensions, by name; others are learned from the first tensor that has them.
    """

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray], **sizes: int) -> None:
        self.path, self.left, self.sizes = path, dict(arrays), dict(sizes)

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str, *dimensions: str) -> np.ndarray:
        """Floating-point numbers of finite value, of a shape that is given by the names of dimensions."""
        if name not in self.left:
            there = f"it has {listed(sorted(self.left))}" if self.left else "it has no others"
            raise ValueError(f"{self.path} lacks the tensor {name}; {there}.")
        array = self.left.pop(name)
        sizes = dict(zip(dimensions, array.shape, strict=False)) | self.sizes
        if array.shape != tuple(sizes.get(dimension, 0) for dimension in dimensions) or 0 in array.shape:
            shape = ", ".join(f"{dimension} {self.sizes.get(dimension, '> 0')}" for dimension in dimensions)
            raise ValueError(f"{self.path}: {name} must have the shape ({shape}); got {array.shape}.")
        self.sizes = sizes
        if array.dtype.kind != "f":
            raise ValueError(f"{self.path}: {name} must hold floating-point numbers; got {array.dtype}.")
        return array

    def whole(self, name: str) -> int:
        """A single whole number of at least 1."""
        array = self.left.pop(name, np.zeros(0, np.int32))
        if array.dtype.kind not in "iu" or array.size != 1 or array.item() < 1:
            raise ValueError(
                f"{self.path}: {name} must hold a whole number of at least 1; got {array.ravel()[:3].tolist()}."
            )
        return int(array.item())

    def drop(self, *names: str) -> None:
        """Leave out tensors that change nothing of what a model computes."""
        for name in names:
            self.left.pop(name, None)

    def end(self) -> None:
        """Refuse what was not taken: it may change what the model computes."""
        if self.left:
            raise ValueError(
                f"{self.path} has the tensor {listed(map(_short, sorted(self.left)))}, which dsae does not know and "
                "which may change what the model computes."
            )


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file; half floats of both kinds become float32.

    Raises
    ------
    ValueError
        If it is not there, none, or has numbers of another kind.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; the folder was not copied whole.")
    try:
        entries = deserialize(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or corrupt ({error}).") from None
    return {name: _array(path, name, entry) for name, entry in entries}


def _array(path: Path, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    kind, data, shape = entry["dtype"], entry["data"], entry["shape"]
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    known = _FLOATS | _WHOLE
    if kind not in known:
        raise ValueError(f"{path}: {name} must be one of {listed((*known, 'BF16'))}; got {kind}.")
    array = np.frombuffer(data, known[kind]).reshape(shape)
    return array.astype(np.float32) if kind == "F16" else array


def tensors_to_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """A safetensors file of float32 arrays, as torch's readers want it."""
    return save({name: np.ascontiguousarray(a, np.float32) for name, a in tensors.items()}, {"format": "pt"})


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

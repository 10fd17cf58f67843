"""A tree of arrays and JSON as one safetensors file: no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

State = dict[str, Any]
_KINDS = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U16": "<u2", "U8": "|u1"}
_TREE = "tree"  # the metadata entry for everything that is not an array


def tensors_to_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file of arrays."""
    return save({name: np.asarray(array, order="C") for name, array in tensors.items()}, dict(metadata or {}) or None)


def tensors_from_bytes(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file; they may be changed.

    Raises
    ------
    ValueError
        If it is none, names ``path``, or has arrays of another dtype than dsae writes.
    """
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or corrupt ({error}).") from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _KINDS:
            raise ValueError(f"{path}: {name} must be one of {', '.join(_KINDS)}; got {entry['dtype']}.")
        array = np.frombuffer(entry["data"], _KINDS[entry["dtype"]]).reshape(entry["shape"])
        arrays[name] = array if array.flags.writeable else array.copy()  # some versions give bytes, others a bytearray
    return arrays


def state_to_bytes(state: Mapping[str, Any]) -> bytes:
    """Serialise nested dicts of arrays and JSON values."""
    arrays: dict[str, np.ndarray] = {}
    rest = _without_arrays(state, "", arrays)
    return tensors_to_bytes(arrays, {_TREE: json.dumps(rest)})


def state_from_bytes(data: bytes, path: Path) -> State:
    """The reverse of `state_to_bytes`.

    Raises
    ------
    ValueError
        If the file is damaged, an array has no place in the tree, or holds NaN or infinity.
    """
    arrays = tensors_from_bytes(data, path)
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        state = json.loads(header["__metadata__"][_TREE])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} has no valid tree in its metadata ({error!r}).") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} must hold a mapping; got {type(state).__name__}.")
    for name, array in arrays.items():
        if not np.isfinite(array).all():  # training would go on from NaN without a word
            raise ValueError(f"{path}: {name} must be finite.")
        _put(state, name, array, path)
    return state


def _without_arrays(tree: Mapping[str, Any], path: str, arrays: dict[str, np.ndarray]) -> State:
    rest = {}
    for key, value in tree.items():
        if isinstance(value, np.ndarray):
            arrays[f"{path}{key}"] = value
        else:
            rest[key] = _without_arrays(value, f"{path}{key}/", arrays) if isinstance(value, Mapping) else value
    return rest


def _put(state: State, name: str, array: np.ndarray, path: Path) -> None:
    *parents, last = name.split("/")
    for parent in parents:
        state = state.get(parent)  # type: ignore[assignment]
        if not isinstance(state, dict):
            raise ValueError(f"{path}: {name} has no place in the tree.")
    if last in state:
        raise ValueError(f"{path}: {name} is there twice.")
    state[last] = array

"""A tree of arrays and JSON as two files: no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsae.store._tensors import TensorFile, write_tensors

State = dict[str, Any]
_LONGEST_TEXT = 1 << 28


def files(stem: str) -> tuple[str, str]:
    """Names of the two: what JSON holds, and the arrays by their path in the tree."""
    return f"{stem}.json", f"{stem}.safetensors"


def write_state(folder: Path, stem: str, state: Mapping[str, Any]) -> None:
    """Write dicts of arrays and of what JSON can hold, nested as they are."""
    text, tensors = files(stem)
    arrays: dict[str, np.ndarray] = {}
    rest = _without_arrays(state, "", arrays)
    write_text(folder / text, json.dumps(rest) + "\n")
    write_tensors(folder / tensors, arrays)


def read_state(folder: Path, stem: str) -> State:
    """The reverse of `write_state`.

    Raises
    ------
    ValueError
        If a file is damaged, an array has no place in the tree, or holds NaN or infinity.
    """
    text, tensors = files(stem)
    state = read_json(folder / text)
    if not isinstance(state, dict):
        raise ValueError(f"{folder / text} must hold a mapping; got {type(state).__name__}.")
    with TensorFile(folder / tensors) as file:
        for name in file.slots:
            array = file.read(name)
            if not np.isfinite(array).all():
                raise ValueError(f"{folder / tensors}: {name} must be finite.")
            _put(state, name, array, folder / tensors)
    return state


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return parse_json(path, read_text(path))


def read_text(path: Path) -> str:
    """What a text file holds.

    Raises
    ------
    ValueError
        If it is not UTF-8, or longer than any that is written here: a file may claim more than the disk holds.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LONGEST_TEXT:
                raise ValueError(f"{path} has {size} bytes of text; it is damaged.")
            return file.read(size).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; it is damaged.") from None


def parse_json(path: Path, text: str) -> Any:
    """What ``text``, from the file ``path``, holds."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); it was cut short or damaged.") from None


def write_text(path: Path, text: str) -> None:
    """Write ``text``, and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


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
            raise ValueError(f"{path}: {name} has no place; the two files do not belong together.")
    if last in state:
        raise ValueError(f"{path}: {name} is there twice; the two files do not belong together.")
    state[last] = array

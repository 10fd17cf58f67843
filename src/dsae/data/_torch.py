"""Tensors that torch has saved: the one file of the numpy half that imports torch, when such a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsae.data._arrays import named
from dsae.data._errors import library
from dsae.data._kinds import as_numbers
from dsae.data._reader import MemoryReader, Reader, ReadOptions


def open_pt(path: Path, options: ReadOptions) -> Reader:
    """A tensor, or the one of a dict that is named; code in the file is not run."""
    import torch

    with library():
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, (list, tuple)):
        found = {str(i): value for i, value in enumerate(found)}
    if isinstance(found, Mapping):
        tensors = {str(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}
        tables = [key for key, value in tensors.items() if value.ndim > 1]
        found = tensors[named(str(path), tables if options.key is None else tensors, options.key)]
    if not isinstance(found, torch.Tensor):
        raise ValueError(f"[read] {path} must hold a tensor, or a dict of them; got {type(found).__name__}.")
    return MemoryReader(path, as_numbers("read", found))

"""Trees of state dicts: dicts of tensors and of what JSON can hold, as arrays where they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_arrays(state: Any) -> Any:
    """A tree of state dicts with numpy arrays in place of tensors, not copied where they are on the CPU."""
    if isinstance(state, Mapping):
        return {str(key): as_arrays(value) for key, value in state.items()}
    return state.detach().cpu().numpy() if isinstance(state, Tensor) else state


def as_tensors(state: Any) -> Any:
    """The reverse of `as_arrays`; the tensors share the arrays' memory."""
    if isinstance(state, Mapping):
        return {key: as_tensors(value) for key, value in state.items()}
    return torch.from_numpy(state) if isinstance(state, np.ndarray) else state


def restored(saved: Any, like: Tensor, what: str) -> Tensor:
    """A copy of ``saved`` on the device of ``like``.

    Raises
    ------
    ValueError
        If it is no tensor of the same shape and dtype.
    """
    got = (saved.dtype, tuple(saved.shape)) if isinstance(saved, Tensor) else type(saved).__name__
    if got != (like.dtype, tuple(like.shape)):
        raise ValueError(f"{what} must be {like.dtype} of shape {tuple(like.shape)}; got {got}")
    return saved.to(like.device, copy=True)

"""Which layers run as a dense matrix product, and how."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dsae import ops
from dsae.topology import Topology

# Above this density a dense matrix product beats the sparse kernels; docs/design/kernels.md says why.
DENSE_ABOVE = 0.5
# But not in layers of so few possible weights, unless they are full: of 32 x 256 the kernels took half to two thirds.
SMALL = 1 << 15
BLOCKS_DENSE_ABOVE = 0.9  # the same of layers with blocks; docs/design/blocks.md
# On other devices one always does, as long as such a matrix (1 GiB in float32) is worth its memory.
DENSE_BELOW = 1 << 28


def executor_of(topology: Topology, device: torch.device) -> str:
    """``"dense"`` where a matrix product on scattered values is faster, else ``"sparse"``.

    `torch.export` gets dense ones: a graph for any number of rows, which every backend computes.
    """
    if ops.exported():
        return "dense"
    above = DENSE_ABOVE if topology.block_size == 1 else BLOCKS_DENSE_ABOVE
    if topology.is_full or (topology.density > above and topology.size > SMALL):
        return "dense"
    return "dense" if device.type != "cpu" and topology.size <= DENSE_BELOW else "sparse"


def dense_affine(
    weight: Tensor, bias: Tensor | None, x: Tensor | ops.Panels, tape: ops.Tape | None
) -> Tensor | ops.Panels:
    """``x weight^T + bias`` for rows or panels, noted on the tape as the sparse product is."""
    if isinstance(x, ops.Panels):
        y, like = _panel_affine(weight, bias, x.tensor), partial(ops.Panels, n_rows=x.n_rows)
    else:
        y, like = F.linear(x, weight, bias), _itself
    if tape is not None and tape.recording and y.requires_grad:
        tape.x = like(ops.tensor_of(x).detach())
        y.register_hook(lambda dy: setattr(tape, "dy", like(dy)))
    return like(y)


def no_autocast(device_type: str) -> contextlib.AbstractContextManager[Any]:
    """Lets a layer compute in the dtype of its weights."""
    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


def _itself(t: Tensor) -> Tensor:
    return t


def _panel_affine(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return weight @ x if bias is None else weight @ x + bias[:, None]

"""The verbs in plain torch, any device and dtype: oracle, fallback and GPU path."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dsae.kernels import lanes_for
from dsae.topology import Topology

_EDGES_AT_ONCE = 1 << 14


def pack(rows: Tensor, lanes: int | None = None) -> Tensor:
    """Rows ``[b, f]`` as panels ``[p, f, lanes]``; the lanes left over are zero."""
    n_rows, width = rows.shape
    lanes = lanes or lanes_for(n_rows)
    n_panels = -(-n_rows // lanes)
    padded = rows.new_zeros(n_panels * lanes, width)
    padded[:n_rows] = rows
    return padded.view(n_panels, lanes, width).transpose(1, 2).contiguous()


def unpack(panels: Tensor, n_rows: int) -> Tensor:
    """The first ``n_rows`` samples of panels as rows ``[n_rows, f]``."""
    return panels.transpose(1, 2).reshape(-1, panels.shape[1])[:n_rows].contiguous()


def _edges(topology: Topology, device: torch.device) -> Iterator[tuple[slice, Tensor, Tensor]]:
    for start in range(0, topology.nnz, _EDGES_AT_ONCE):
        chunk = slice(start, start + _EDGES_AT_ONCE)
        yield (
            chunk,
            torch.tensor(topology.rows[chunk], device=device),
            torch.tensor(topology.indices[chunk], device=device),
        )


def sum_samples(panels: Tensor) -> Tensor:
    """Every feature's sum over all samples, ``[f]``."""
    return panels.sum((0, 2))


def spmm(values: Tensor, bias: Tensor | None, x: Tensor, topology: Topology) -> Tensor:
    """``W x + bias`` for panels ``x``."""
    y = x.new_zeros(x.shape[0], topology.shape[0], x.shape[2])
    for chunk, rows, cols in _edges(topology, x.device):
        y.index_add_(1, rows, values[chunk, None] * x[:, cols])
    return y if bias is None else y + bias[:, None]


def spmm_transposed(values: Tensor, dy: Tensor, topology: Topology) -> Tensor:
    """``W^T dy``."""
    dx = dy.new_zeros(dy.shape[0], topology.shape[1], dy.shape[2])
    for chunk, rows, cols in _edges(topology, dy.device):
        dx.index_add_(1, cols, values[chunk, None] * dy[:, rows])
    return dx


def sddmm(dy: Tensor, x: Tensor, topology: Topology) -> Tensor:
    """``<dy, x>`` at the live edges, ``[nnz]``."""
    dw = x.new_empty(topology.nnz)
    for chunk, rows, cols in _edges(topology, x.device):
        dw[chunk] = (dy[:, rows] * x[:, cols]).sum((0, 2))
    return dw


def backward(values: Tensor, dy: Tensor, x: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
    """`sddmm` and `spmm_transposed`, ``[nnz]`` and ``[p, f, lanes]``."""
    return sddmm(dy, x, topology), spmm_transposed(values, dy, topology)

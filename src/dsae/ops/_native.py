"""The verbs on the compiled kernels; float32 CPU tensors only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dsae import kernels
from dsae.topology import Topology


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def pack(rows: Tensor, lanes: int | None = None) -> Tensor:
    """Rows ``[b, f]`` as panels ``[p, f, lanes]``."""
    panels = kernels.empty_panels(rows.shape[0], rows.shape[1], lanes)
    kernels.pack(_array(rows), panels)
    return torch.from_numpy(panels)


def unpack(panels: Tensor, n_rows: int) -> Tensor:
    """The first ``n_rows`` samples of panels as rows ``[n_rows, f]``."""
    rows = torch.empty(n_rows, panels.shape[1])
    kernels.unpack(_array(panels), rows.numpy())
    return rows


def spmm(values: Tensor, bias: Tensor | None, x: Tensor, topology: Topology) -> Tensor:
    """``W x + bias`` for panels ``x``."""
    y = torch.empty(x.shape[0], topology.shape[0], x.shape[2])
    bias_array = None if bias is None else _array(bias)
    kernels.spmm(topology.indptr, topology.indices, _array(values), bias_array, _array(x), y.numpy())
    return y


def spmm_transposed(values: Tensor, dy: Tensor, topology: Topology) -> Tensor:
    """``W^T dy``: the same product on the cached transpose, its values refreshed."""
    transposed, slots = topology.transpose
    moved = torch.empty_like(values)
    kernels.gather(_array(values), slots, moved.numpy())
    return spmm(moved, None, dy, transposed)


def sddmm(dy: Tensor, x: Tensor, topology: Topology) -> Tensor:
    """``<dy, x>`` at the live edges, ``[nnz]``."""
    dw = torch.empty(topology.nnz)
    kernels.sddmm(topology.indptr, topology.indices, _array(dy), _array(x), dw.numpy())
    return dw

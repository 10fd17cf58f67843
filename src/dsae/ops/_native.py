"""The verbs on the compiled kernels; float32 CPU tensors only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsae import kernels
from dsae.ops._rows import SparseRows
from dsae.topology import Topology

if TYPE_CHECKING:
    from dsae.ops._adam import AdamParameter

# Of the inputs of a product with one row, so that threads can share it; sums do not depend on how many there are.
_SHIFT_PARTS = 16


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor as the kernels take them, copied only if they are not contiguous."""
    tensor = tensor.detach() if tensor.requires_grad else tensor
    return (tensor if tensor.is_contiguous() else tensor.contiguous()).numpy()


def empty(*shape: int) -> Tensor:
    """Uninitialised, aligned to a cache line, in huge pages if large, so that gathers do not miss the page table."""
    return torch.from_numpy(kernels.aligned(shape))


def pack(rows: Tensor, lanes: int | None = None) -> Tensor:
    """Rows ``[b, f]`` as panels ``[p, f, lanes]``."""
    panels = kernels.empty_panels(rows.shape[0], rows.shape[1], lanes)
    kernels.pack(array(rows), panels)
    return torch.from_numpy(panels)


def unpack(panels: Tensor, n_rows: int) -> Tensor:
    """The first ``n_rows`` samples of panels as rows ``[n_rows, f]``."""
    rows = kernels.aligned((n_rows, panels.shape[1]))
    kernels.unpack(array(panels), rows)
    return torch.from_numpy(rows)


def sum_samples(panels: Tensor) -> Tensor:
    """Every feature's sum over all samples, ``[f]``."""
    sums = kernels.aligned((panels.shape[1],))
    kernels.sum_samples(array(panels), sums)
    return torch.from_numpy(sums)


def spmm(values: Tensor, bias: Tensor | None, x: Tensor, topology: Topology) -> Tensor:
    """``W x + bias`` for panels ``x``."""
    y = kernels.aligned((x.shape[0], topology.shape[0], x.shape[2]))
    operands = array(values), None if bias is None else array(bias), array(x), y
    if topology.block_size == 1:
        kernels.spmm(topology.indptr, topology.indices, *operands)
    else:
        kernels.block_spmm(topology.indptr, topology.indices, topology.block_size, *operands)
    return torch.from_numpy(y)


def bf16_pack(panels: Tensor) -> Tensor:
    """Panels rounded to bfloat16, uint16 ``[p, f, lanes]`` in the kernels' order."""
    lines = kernels.aligned((*panels.shape[:2], panels.shape[2] // 2)).view(np.uint16)
    kernels.bf16_pack(array(panels), lines)
    return torch.from_numpy(lines)


def bf16_unpack(lines: Tensor) -> Tensor:
    """The numbers that lines of 16 bits hold, as panels."""
    panels = kernels.aligned(tuple(lines.shape))
    kernels.bf16_unpack(array(lines), panels)
    return torch.from_numpy(panels)


def bf16_spmm(values: Tensor, bias: Tensor | None, x: Tensor, topology: Topology) -> Tensor:
    """`spmm` of lines of 16 bits; panels of float32."""
    y = kernels.aligned((x.shape[0], topology.shape[0], x.shape[2]))
    bias_array = None if bias is None else array(bias)
    kernels.bf16_spmm(topology.indptr, topology.indices, array(values), bias_array, array(x), y)
    return torch.from_numpy(y)


def bf16_sddmm(dy: Tensor, x: Tensor, topology: Topology) -> Tensor:
    """`sddmm` of lines of 16 bits."""
    dw = kernels.aligned((topology.nnz,))
    kernels.bf16_sddmm(topology.indptr, topology.indices, array(dy), array(x), dw)
    return torch.from_numpy(dw)


def spmm_transposed(values: Tensor, dy: Tensor, topology: Topology) -> Tensor:
    """``W^T dy``: the same product on the cached transpose, its values refreshed; blocks need none."""
    if topology.block_size > 1:
        dx = kernels.aligned((dy.shape[0], topology.shape[1], dy.shape[2]))
        _block_backward(topology, array(values), dy, None, dx, None)
        return torch.from_numpy(dx)
    transposed, slots = topology.transpose
    moved = kernels.aligned(slots.shape)
    kernels.gather(array(values), slots, moved)
    return spmm(torch.from_numpy(moved), None, dy, transposed)


def sddmm(dy: Tensor, x: Tensor, topology: Topology) -> Tensor:
    """``<dy, x>`` at the active edges, ``[nnz]``."""
    dw = kernels.aligned((topology.nnz,))
    if topology.block_size > 1:
        _block_backward(topology, None, dy, array(x), None, dw)
        return torch.from_numpy(dw)
    kernels.sddmm(topology.indptr, topology.indices, array(dy), array(x), dw)
    return torch.from_numpy(dw)


def backward(values: Tensor, dy: Tensor, x: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
    """`sddmm` and `spmm_transposed` in one pass over the edges, ``[nnz]`` and ``[p, f, lanes]``; also of 16 bits."""
    if topology.block_size > 1:
        dw, dx = kernels.aligned((topology.nnz,)), kernels.aligned(tuple(x.shape))
        _block_backward(topology, array(values), dy, array(x), dx, dw)
        return torch.from_numpy(dw), torch.from_numpy(dx)
    transposed, slots = topology.transpose
    moved, dw, dx = (kernels.aligned(shape) for shape in (slots.shape, slots.shape, x.shape))
    kernels.gather(array(values), slots, moved)
    product = kernels.bf16_backward if x.dtype == torch.uint16 else kernels.backward
    product(transposed.indptr, transposed.indices, moved, array(dy), array(x), dx, dw)
    in_order = moved  # the transposed values are no longer needed
    kernels.scatter(dw, slots, in_order)
    return torch.from_numpy(in_order), torch.from_numpy(dx)


def _block_backward(
    topology: Topology,
    values: np.ndarray | None,
    dy: Tensor,
    x: np.ndarray | None,
    dx: np.ndarray | None,
    dw: np.ndarray | None,
) -> None:
    blocks = topology.indptr, topology.indices, topology.block_size
    kernels.block_backward(*blocks, values, array(dy), x, dx, dw)


def spread(values: Tensor, topology: Topology) -> Tensor:
    """``values`` in a dense matrix ``[out_features, in_features]``."""
    matrix = kernels.aligned(topology.shape)
    kernels.to_dense(topology.indptr, topology.indices, array(values), matrix, topology.block_size)
    return torch.from_numpy(matrix)


def collect(matrix: Tensor, topology: Topology, out: Tensor | None = None) -> Tensor:
    """Values of a dense matrix at the active edges, ``[nnz]``."""
    out = empty(topology.nnz) if out is None else out
    kernels.from_dense(topology.indptr, topology.indices, array(matrix), array(out), topology.block_size)
    return out


def adam(parameters: Sequence[tuple[AdamParameter, float, float]], settings: tuple[float, float, float]) -> None:
    """Adam's step in place; each parameter with its rate and the correction of its second moment's root."""
    kernels.adam(
        [
            (
                _starts(p),
                _flat(p.grad),
                _flat(p.values),
                _flat(p.mean),
                _flat(p.square),
                None if p.fused.magnitude is None else _flat(p.fused.magnitude),
                None if p.mask is None else _flat(p.mask),
                p.rates,
                rate,
                root,
                1 - p.fused.decay,
                p.fused.threshold,
            )
            for p, rate, root in parameters
        ],
        *settings,
    )


def _starts(p: AdamParameter) -> np.ndarray | None:
    """Where the rows begin that share a rate."""
    if p.topology is None or p.rates is not None:
        return None
    # A masked layer has the values of the whole matrix.
    return p.topology.starts if p.mask is None else p.topology.row_starts


def _flat(tensor: Tensor) -> np.ndarray:
    return array(tensor).reshape(-1)


def csr_linear(values: Tensor, bias: Tensor | None, x: SparseRows, topology: Topology) -> Tensor:
    """``W x + bias`` for sparse rows, ``[n_rows, out_features]``."""
    transposed, slots = topology.transpose
    numbers, start = array(values), np.zeros(topology.shape[0], np.float32)
    if x.shift is not None:
        single, own = topology.edges
        # W (x - shift) = W x - W shift, of which the latter is the same for all rows.
        kernels.spmv(single.indptr, single.indices, numbers[own], x.shift, start)
    start = np.negative(start) if bias is None else array(bias) - start
    moved, y = kernels.aligned(slots.shape), kernels.aligned((x.shape[0], topology.shape[0]))
    kernels.gather_live(transposed.indptr, numbers, slots, x.columns[0], moved)
    pattern, columns = x.pattern, (transposed.indptr, transposed.indices, moved)
    kernels.csr_spmm(*columns, start, pattern.indptr, pattern.indices, x.values, y, topology.block_size)
    return torch.from_numpy(y)


def csr_linear_by_input(values: Tensor, bias: Tensor, x: SparseRows, topology: Topology) -> Tensor:
    """`csr_linear` of values that `by_input` has laid out: what a stored number meets lies side by side."""
    transposed, _ = topology.transpose
    columns, start = (transposed.indptr, transposed.indices, array(values)), array(bias)
    if x.shift is not None:
        start = start - _shifted(columns[2], x.shift, topology)
    y, pattern = kernels.aligned((x.shape[0], topology.shape[0])), x.pattern
    kernels.csr_spmm(*columns, start, pattern.indptr, pattern.indices, x.values, y, topology.block_size)
    return torch.from_numpy(y)


def _shifted(values: np.ndarray, shift: np.ndarray, topology: Topology) -> np.ndarray:
    """``W shift``, of values by input; that of blocks block by block, as of rows of which each has a part of it."""
    transposed, _ = topology.transpose
    n_out, n_in = topology.shape
    if topology.block_size == 1:
        found = kernels.aligned((n_out,))
        kernels.edge_sums(transposed.indices, transposed.rows, values, shift, found)
        return found
    n_parts = min(_SHIFT_PARTS, n_in // _SHIFT_PARTS + 1)
    indptr = (np.arange(n_parts + 1, dtype=np.int64) * n_in // n_parts).astype(np.int32)
    indices = topology.cached("inputs", lambda: np.arange(n_in, dtype=np.int32))
    parts, zeros = kernels.aligned((n_parts, n_out)), np.zeros(n_out, np.float32)
    columns = transposed.indptr, transposed.indices, values
    kernels.csr_spmm(*columns, zeros, indptr, indices, shift, parts, topology.block_size)
    return parts.sum(0)


def csr_sddmm_by_input(dy: Tensor, x: SparseRows, topology: Topology, out: Tensor) -> Tensor:
    """`csr_sddmm` into ``out``, laid out as by `by_input`."""
    transposed, _ = topology.transpose
    sums = None if x.shift is None else (array(-dy.sum(0)), x.shift)
    edges = transposed.indptr, transposed.indices
    kernels.csr_gradient(*edges, *x.columns, array(dy), sums, array(out), topology.block_size)
    return out


def moved(values: Tensor, slots: np.ndarray) -> Tensor:
    """``values[slots]``."""
    out = empty(slots.size)
    kernels.gather(array(values), slots, array(out))
    return out


def moved_back(values: Tensor, slots: np.ndarray, out: Tensor | None = None) -> Tensor:
    """The reverse of `moved`: ``out[slots] = values``."""
    out = empty(slots.size) if out is None else out
    kernels.scatter(array(values), slots, array(out))
    return out


def by_input(values: Tensor, topology: Topology) -> Tensor:
    """Numbers of edges, ``[nnz]``, in the order of the transpose: input by input."""
    return moved(values, topology.transpose[1])


def from_input(numbers: Tensor, topology: Topology, out: Tensor) -> Tensor:
    """The reverse of `by_input`, into ``out``."""
    return moved_back(numbers, topology.transpose[1], out)


def csr_sddmm(dy: Tensor, x: SparseRows, topology: Topology) -> Tensor:
    """``<dy, x>`` at the active edges for sparse rows ``x``, ``[nnz]``."""
    transposed, slots = topology.transpose
    shift = x.shift
    dw = np.zeros(topology.nnz, np.float32) if shift is None else _sampled_outer(topology, array(-dy.sum(0)), shift)
    kernels.csr_sddmm(transposed.indptr, transposed.indices, slots, *x.columns, array(dy), dw)
    return torch.from_numpy(dw)


def _sampled_outer(topology: Topology, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    single, own = topology.edges
    dw = kernels.aligned((topology.nnz,))
    kernels.sampled_outer(single.indptr, single.indices, left, right, dw)
    if single is topology:
        return dw
    in_blocks = kernels.aligned(dw.shape)
    kernels.scatter(dw, own, in_blocks)
    return in_blocks

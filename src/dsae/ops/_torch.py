"""The verbs in plain torch, any device and dtype: oracle, fallback and GPU path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dsae.config import Loss
from dsae.kernels import lanes_for
from dsae.ops._copies import edges, flat
from dsae.ops._losses import log_sums, offset_of, shared_offset, torch_loss
from dsae.ops._rows import Gradients, Needs, SparseRows
from dsae.topology import Topology

_EDGES_AT_ONCE = 1 << 14  # of gathered columns: at batch 256, 16 MB
_TILE_NUMBERS = 1 << 20  # 4 MiB, as the tiles of the kernels


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
    rows, cols = edges(topology, device)
    for start in range(0, topology.nnz, _EDGES_AT_ONCE):
        chunk = slice(start, start + _EDGES_AT_ONCE)
        yield chunk, rows[chunk], cols[chunk]


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
    """``<dy, x>`` at the active edges, ``[nnz]``."""
    dw = x.new_empty(topology.nnz)
    for chunk, rows, cols in _edges(topology, x.device):
        dw[chunk] = (dy[:, rows] * x[:, cols]).sum((0, 2))
    return dw


def backward(values: Tensor, dy: Tensor, x: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
    """`sddmm` and `spmm_transposed`, ``[nnz]`` and ``[p, f, lanes]``."""
    return sddmm(dy, x, topology), spmm_transposed(values, dy, topology)


def csr_linear(values: Tensor, bias: Tensor | None, x: SparseRows, topology: Topology) -> Tensor:
    """``W x + bias`` for sparse rows, ``[n_rows, out_features]``."""
    weight = spread(values, topology)
    y = torch.sparse.mm(x.coo(values), weight.T)
    if x.shift is not None:
        y -= weight @ torch.from_numpy(x.shift).to(weight)
    return y if bias is None else y + bias


def csr_sddmm(dy: Tensor, x: SparseRows, topology: Topology) -> Tensor:
    """``<dy, x>`` at the active edges for sparse rows ``x``, ``[nnz]``."""
    matrix = torch.sparse.mm(x.coo(dy).T, dy).T
    if x.shift is not None:
        matrix = matrix - torch.outer(dy.sum(0), torch.from_numpy(x.shift).to(dy))
    return collect(matrix, topology)


def spread(values: Tensor, topology: Topology) -> Tensor:
    """``values`` in a dense matrix ``[out_features, in_features]``; differentiable."""
    return values.new_zeros(topology.size).scatter(0, flat(topology, values.device), values).view(topology.shape)


def collect(matrix: Tensor, topology: Topology) -> Tensor:
    """Values of a dense matrix at the active edges, ``[nnz]``."""
    return matrix.reshape(-1)[flat(topology, matrix.device)]


def tiled_loss(
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    topology: Topology,
    target: SparseRows,
    loss: Loss,
    needs: Needs,
    extras: Sequence[Tensor] = (),
) -> Gradients:
    """The mean loss of ``W x + bias`` and its gradients, tile by tile; ``x`` is panels."""
    found = tiled_loss_dense(spread(values, topology), bias, unpack(x, target.shape[0]), target, loss, needs, extras)
    d_values = None if found.values is None else collect(found.values, topology)
    return found._replace(values=d_values, input=None if found.input is None else pack(found.input, x.shape[2]))


def tiled_loss_dense(
    weight: Tensor,
    bias: Tensor,
    x: Tensor,
    target: SparseRows,
    loss: Loss,
    needs: Needs,
    extras: Sequence[Tensor] = (),
) -> Gradients:
    """The same for a dense ``weight`` and rows ``x``; so is its gradient."""
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    wanted = needs.layer or needs.input
    d_weight, d_bias = (torch.empty_like(weight), torch.empty_like(bias)) if wanted else (None, None)
    dx, by_extras = torch.zeros_like(x) if needs.input else None, tuple(map(torch.empty_like, extras))

    def outputs(begin: int, end: int) -> Tensor:
        return x @ weight[begin:end].T + bias[begin:end]

    offset = offset_for(loss, target, x, outputs)
    for begin, end in tiles(target):
        part, dy, *by = residual(outputs(begin, end), target, begin, end, loss, offset, extras)
        total += part
        for whole, tile in zip(by_extras, by, strict=True):
            whole[begin:end] = tile
        if d_weight is not None and d_bias is not None:
            torch.mm(dy.T, x, out=d_weight[begin:end])
            torch.sum(dy, 0, out=d_bias[begin:end])
        if dx is not None:
            dx.addmm_(dy, weight[begin:end])
    mean = (total / target.size).to(x)
    return Gradients(mean, d_weight, d_bias, dx, by_extras if wanted else ())


def gram_loss(
    values: Tensor, bias: Tensor, x: Tensor, topology: Topology, target: SparseRows, unseen: float, needs: Needs
) -> Gradients:
    """The mean squared error of ``W x + bias`` for rows ``x`` and its gradients, tile by tile of outputs."""
    weight, seen = spread(values, topology), replace(target, values=np.ones_like(target.values), shift=None)
    loss, size = torch.zeros((), dtype=torch.float64, device=x.device), target.size
    d_weight, d_bias, dx = torch.empty_like(weight), torch.empty_like(bias), torch.zeros_like(x)
    for begin, end in tiles(target):
        residual = x @ weight[begin:end].T + bias[begin:end] - target.tile(begin, end, x)
        known = target.weights(x, begin, end)
        dy = residual * torch.where(seen.tile(begin, end, x) > 0, 1.0 if known is None else known, unseen)
        loss += (dy * residual).sum()
        dy *= 2 / size
        d_weight[begin:end], d_bias[begin:end] = dy.T @ x, dy.sum(0)
        dx.addmm_(dy, weight[begin:end])
    if not any(needs):
        return Gradients((loss / size).to(x), None, None, None)
    return Gradients((loss / size).to(x), collect(d_weight, topology), d_bias, dx if needs.input else None)


def tiles(target: SparseRows) -> Iterator[tuple[int, int]]:
    """Ranges of outputs that are computed at once."""
    n_rows, width = target.shape
    height = max(1, _TILE_NUMBERS // max(1, n_rows))
    return ((begin, min(begin + height, width)) for begin in range(0, width, height))


def offset_for(loss: Loss, target: SparseRows, like: Tensor, outputs: Callable[[int, int], Tensor]) -> Tensor | None:
    """What the tiles of a loss with exposure take beside outputs and target, ``[n_rows, 1]``; see `dsae.config.Loss`.

    ``outputs(begin, end)`` are those before the link: coupled ones pass once more.
    """
    if not loss.exposure:
        return None
    if not loss.couples_outputs:
        return offset_of(target.totals(like))
    of_values = replace(target, weight=None)
    sums = [log_sums(outputs(begin, end), of_values.weights(like, begin, end)) for begin, end in tiles(target)]
    return shared_offset(of_values.weighted_totals(like), log_sums(torch.cat(sums, 1), None))


def residual(
    z: Tensor,
    target: SparseRows,
    begin: int,
    end: int,
    loss: Loss,
    offset: Tensor | None = None,
    extras: Sequence[Tensor] = (),
) -> tuple[Tensor, ...]:
    """The summed loss of outputs ``z`` before their link of one tile, and the mean loss' gradients by them and by the
    extras there.
    """
    aim, weights = target.tile(begin, end, z), target.weights(z, begin, end)
    beside = () if offset is None else (offset, *(extra[begin:end] for extra in extras))
    summed, *gradients = torch_loss(loss.name).residual(loss, z, aim, *beside, weights=weights)
    return summed.double(), *(g.mul_(loss.factor / target.size) for g in gradients)

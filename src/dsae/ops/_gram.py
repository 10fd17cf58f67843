"""The squared error against sparse rows from Gram matrices instead of all outputs, and when this pays.

Vincent, de Brebisson & Bouthillier (2015), "Efficient exact gradient update for training deep networks with very large
sparse targets": where the output is linear, the sums over all outputs need only ``W^T W``, ``X^T X`` and the numbers of
the target that are not zero. The result is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dsae import kernels
from dsae.ops._native import array, moved, moved_back
from dsae.ops._rows import Gradients, Needs, SparseRows
from dsae.topology import Topology

# Nanoseconds of one thread, Zen 4 under load, fitted within a fifth to the table of docs/design/sparse_input.md: of the
# tiled loss for each sample's edge and output, by size of block.
_TILED = {1: (0.147, 0.89), 4: (0.071, 0.55), 8: (0.069, 0.58)}


class _Costs(NamedTuple):
    """By Gram matrices: for an output, a multiply-add of dense products, a target's number times edges of an output.

    And for a pair of an output's weights, an edge, and an edge's column of a window.
    """

    output: float
    dense: float
    number: float
    pair: float
    edge: float
    column: float = 0.0


_PAIRS = {
    1: _Costs(0.0, 0.093, 6.5, 0.448, 4.0),
    4: _Costs(29.0, 0.066, 1.1, 0.174, 2.2),
    8: _Costs(32.0, 0.066, 0.0, 0.124, 2.3),
}
_WINDOWS = _Costs(51.0, 0.09, 4.8, 0.453, 0.0, 0.031)
# By which windows and pairs were told apart beyond 60 weights an output: a pair, an edge, an edge's column.
_BESIDE = {True: (0.35, 3.0, 0.042), False: (0.5, 1.5, 0.0)}
# Numbers of a dense window of outputs (csrc/gram.hpp), which fits L2.
_WINDOW_NUMBERS = 1 << 16


def pays(topology: Topology, target: SparseRows) -> bool:
    """Whether Gram matrices take less time than a pass over all outputs; by a fixed table, so that runs repeat.

    A target with weights of rows is beyond them.
    """
    if target.weight is not None:
        return False
    (n_rows, n_out), n_in, nnz = target.shape, topology.shape[1], topology.nnz
    per_edge, per_output = _TILED[topology.block_size]
    costs = _WINDOWS if window(topology) else _PAIRS[topology.block_size]
    met = target.values.size * nnz / max(n_out, 1)
    gram = costs.pair * pairs(topology) + (costs.edge + costs.column * n_in) * nnz
    gram += costs.output * n_out + costs.dense * n_rows * n_in**2 + costs.number * met
    return gram < n_rows * (per_edge * nnz + per_output * n_out)


def window(topology: Topology) -> int:
    """Outputs of a window that is made a dense matrix; 0 where the Gram matrix is made of pairs, as of blocks.

    A row of the matrix costs two cycles for 16 columns and edge of the first, a number three for a pair of the others.
    """
    (n_out, n_in), nnz = topology.shape, topology.nnz
    if topology.block_size > 1:
        return 0
    dense, singly = (
        pair * pairs(topology) + (edge + column * n_in) * nnz for pair, edge, column in (_BESIDE[True], _BESIDE[False])
    )
    return 0 if singly <= dense else min(max(_WINDOW_NUMBERS // max(n_in, 1), 1), max(n_out, 1))


def pairs(topology: Topology) -> int:
    """Pairs of weights of one output, summed over the outputs."""
    return topology.cached("pairs", lambda: int(np.square(topology.fan_in, dtype=np.int64).sum()))


def gram_loss(
    values: Tensor, bias: Tensor, x: Tensor, topology: Topology, target: SparseRows, unseen: float, needs: Needs
) -> Gradients:
    """The mean squared error of ``W x + bias`` for rows ``x`` and its gradients, by Gram matrices."""
    size, n_out = target.size, target.shape[1]
    dw, dbias = kernels.aligned((topology.nnz,)), kernels.aligned((n_out,))
    dx = kernels.aligned(tuple(x.shape)) if needs.input else None
    by_column = target.known_by_column
    total = kernels.gram_loss(
        (topology.indptr, topology.indices, array(values), array(bias)),
        _windows(topology),
        array(x),
        target.columns,
        (target.pattern.indptr, target.pattern.indices, target.values),
        target.shift,
        unseen,
        2 / size,
        (dw, dbias, dx),
        None if by_column is None or target.known is None else (by_column, target.known),
        topology.block_size,
    )
    mean = torch.tensor(total / size, dtype=torch.float32, device="cpu")
    if not any(needs):
        return Gradients(mean, None, None, None)
    by_input = None if dx is None else torch.from_numpy(dx)
    return Gradients(mean, torch.from_numpy(dw), torch.from_numpy(dbias), by_input)


def gram_norms(values: Tensor, bias: Tensor, x: Tensor, topology: Topology, target: SparseRows) -> Tensor:
    """Norm over the samples of the mean squared error's gradient at each output."""
    norms = kernels.aligned((topology.shape[0],))
    _gram_edges(values, bias, x, topology, target, None, norms)
    return torch.from_numpy(norms)


def gram_sddmm(
    values: Tensor, bias: Tensor, x: Tensor, topology: Topology, target: SparseRows, edges: Topology
) -> Tensor:
    """The mean squared error's gradient at ``edges``, active or not, ``[edges.nnz]``."""
    single, own = edges.edges
    dw = kernels.aligned((edges.nnz,))
    _gram_edges(values, bias, x, topology, target, (single.indptr, single.indices, dw), None)
    found = torch.from_numpy(dw)
    return found if single is edges else moved_back(found, own)


def _gram_edges(values, bias, x, topology, target, edges, norms) -> None:
    single, own = topology.edges
    numbers = values if single is topology else moved(values, own)
    kernels.gram_edges(
        (single.indptr, single.indices, array(numbers), array(bias)),
        array(x),
        target.columns,
        (target.pattern.indptr, target.pattern.indices, target.values),
        target.shift,
        2 / max(1, target.shape[0] * target.shape[1]),
        edges,
        norms,
    )


def _windows(topology: Topology) -> tuple[np.ndarray, np.ndarray, np.ndarray, int] | None:
    height = window(topology)
    if not height:
        return None

    def make() -> tuple[np.ndarray, ...]:
        return kernels.window_edges(topology.indptr, topology.indices, topology.shape[1], height)

    return *topology.cached("windows", make), height

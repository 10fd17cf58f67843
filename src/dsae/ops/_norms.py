"""What comes back to a layer's inputs, and its norms where there may be a million of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dsae import kernels
from dsae.ops import _native
from dsae.ops._autograd import _backend, dense, is_native
from dsae.ops._gram import pairs
from dsae.topology import Topology

# A pair of weights costs as much as so many multiply-adds of a product, and an input of a row as so many edges.
_PAIR, _INPUT = 16, 8


@torch.no_grad()
def input_norms(values: Tensor, dy: Tensor, topology: Topology, *, by_gemm: bool = False) -> Tensor:
    """Euclidean norm over the rows of ``dy W`` for each input of a layer, ``[in_features]``.

    With ``w`` the weights of an input, it is the root of ``w^T (dy^T dy) w``: of inputs with few edges, this takes
    fewer multiply-adds than the rows have.

    Parameters
    ----------
    values : Tensor, shape (nnz,)
    dy : Tensor, shape (n_rows, out_features)
    topology : Topology
        Of shape ``(out_features, in_features)``.
    by_gemm : bool
        Whether to scatter the values into a dense matrix and multiply by that.

    Examples
    --------
    >>> topology = Topology.from_mask([[1, 1, 0], [0, 1, 0]])
    >>> input_norms(torch.tensor([3.0, 0.0, 2.0]), torch.tensor([[1.0, 1.0], [0.0, 1.0]]), topology)
    tensor([3.0000, 2.8284, 0.0000])
    """
    if is_native(values) and _by_pairs(topology, dy.shape[0]):
        return _from_pairs(values, dy, topology)
    return input_gradient(values, dy, topology, by_gemm=by_gemm).norm(dim=0)


@torch.no_grad()
def input_gradient(values: Tensor, dy: Tensor, topology: Topology, *, by_gemm: bool = False) -> Tensor:
    """``dy W``, ``[n_rows, in_features]``; parameters as of `input_norms`."""
    if by_gemm:
        return dy @ dense(values, topology)
    backend = _backend(values)
    return backend.unpack(backend.spmm_transposed(values, backend.pack(dy), topology), dy.shape[0])


def _by_pairs(topology: Topology, n_rows: int) -> bool:
    return _PAIR * pairs(topology.transpose[0]) <= n_rows * (topology.nnz + _INPUT * topology.shape[1])


def _from_pairs(values: Tensor, dy: Tensor, topology: Topology) -> Tensor:
    """As the norm of a squared error's gradient, where the target is zero and no input has a bias."""
    transposed, _ = topology.transpose
    n_in, n_rows = transposed.shape[0], dy.shape[0]
    norms, none, nowhere = kernels.aligned((n_in,)), np.zeros(0, np.float32), np.zeros(0, np.int32)
    columns, samples = ((np.zeros(n + 1, np.int32), nowhere, none) for n in (n_in, n_rows))
    by_input = _native.array(_native.by_input(values, topology))
    layer = transposed.indptr, transposed.indices, by_input, np.zeros(n_in, np.float32)
    kernels.gram_edges(layer, _native.array(dy), columns, samples, None, 1.0, None, norms)
    return torch.from_numpy(norms)

"""The loss of an output layer against sparse rows on the compiled kernels, some outputs at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dsae import kernels
from dsae.config import Loss
from dsae.ops._losses import offset_of
from dsae.ops._native import array, spmm, unpack
from dsae.ops._rows import Gradients, Needs, SparseRows, outputs_of
from dsae.ops._torch import offset_for
from dsae.topology import Topology

# Tiles of 256 KB, 1, 4 and 16 MB took 327, 271, 226 and 277 ms: small ones visit a hidden unit once per edge, large
# ones leave the last cache (docs/design/sparse_input.md).
_TILE_BYTES = 4 << 20


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
    n_rows, n_out = target.shape
    count, lanes = x.shape[0], x.shape[2]
    block_size = topology.block_size
    height = max(1, min(n_out, _TILE_BYTES // max(1, 4 * count * lanes)))
    height = -(-height // block_size) * block_size
    tile = kernels.aligned((count, height, lanes))
    size = target.size
    numbers, transpose, gradients = array(values), None, None
    if needs.layer or needs.input:
        dw, dbias = kernels.aligned((topology.nnz,)), kernels.aligned((n_out,))
        dx = kernels.aligned(tuple(x.shape)) if needs.input else None
        gradients = (dw, dbias, dx)
    if needs.input and block_size == 1:
        transposed, slots = topology.transpose
        moved = kernels.aligned(slots.shape)
        kernels.gather(numbers, slots, moved)
        transpose = (transposed.indptr, transposed.indices, moved)
    dispersion = (array(extras[0]), kernels.aligned((n_out,))) if extras else None
    total = kernels.tiled_loss(
        (topology.indptr, topology.indices, numbers, array(bias)),
        transpose,
        array(x),
        (*target.columns, target.shift),
        loss.kernel,  # pyright: ignore[reportArgumentType]
        n_rows,
        loss.factor / size,
        tile,
        gradients,
        target.known_by_column,
        target.weight,
        _offset(numbers, bias, x, topology, target, loss) if loss.couples_outputs else _log_totals(target, loss),
        dispersion,
        block_size,
    )
    found = (None, None, None) if gradients is None else gradients
    mean = torch.tensor(total / size, dtype=torch.float32, device="cpu")
    by_extras = () if dispersion is None else (torch.from_numpy(dispersion[1]),)
    by_layer = [None if g is None else torch.from_numpy(g) for g in found]
    return Gradients(mean, by_layer[0], by_layer[1], by_layer[2], by_extras)


def _log_totals(target: SparseRows, loss: Loss) -> np.ndarray | None:
    return array(offset_of(target.totals(torch.empty(0)))).ravel() if loss.exposure else None


def _offset(
    numbers: np.ndarray, bias: Tensor, x: Tensor, topology: Topology, target: SparseRows, loss: Loss
) -> np.ndarray:
    """Logarithms of the rows' totals less those of the sums of ``exp(W x + bias)``, in a pass over all outputs."""
    if target.known is not None:
        values = torch.from_numpy(numbers)

        def outputs(begin: int, end: int) -> Tensor:
            part, slots = outputs_of(topology, begin, end)
            return unpack(spmm(values[slots], bias[begin:end], x, part), target.shape[0])

        found = offset_for(loss, target, x, outputs)
        assert found is not None
        return array(found).ravel()
    sums = kernels.aligned((target.shape[0],))
    kernels.log_sums(topology.indptr, topology.indices, numbers, array(bias), array(x), sums, topology.block_size)
    return array(offset_of(target.totals(x))).ravel() - sums

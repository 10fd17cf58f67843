"""When the squared error against sparse rows is taken from Gram matrices instead of all outputs.

Vincent, de Brebisson & Bouthillier (2015), "Efficient exact gradient update for training deep networks with very large
sparse targets": where the output is linear, the sums over all outputs need only ``W^T W``, ``X^T X`` and the numbers of
the target that are not zero. The result is exact.
"""

from __future__ import annotations

import numpy as np

from dsae.ops._rows import SparseRows
from dsae.topology import Topology

# Nanoseconds of one thread, Zen 4, AVX2 and AVX-512 alike (docs/design/sparse_input.md): of the tiled loss for each
# sample's edge and output; by Gram matrices for each pair of weights of an output, edge, output, multiply-add of the
# dense products, and number of the target times edges of an output.
_TILED = (0.125, 0.76)
_GRAM = (1.1, 10.0, 17.0, 0.06, 9.0)


def pays(topology: Topology, target: SparseRows) -> bool:
    """Whether Gram matrices take less time than a pass over all outputs; by a fixed table, so that runs repeat.

    A target with weights is beyond them.
    """
    if target.weighted:
        return False
    (n_rows, n_out), n_in, nnz = target.shape, topology.shape[1], topology.nnz
    per_edge, per_output = _TILED
    pair, edge, output, dense, number = _GRAM
    met = target.values.size * nnz / max(n_out, 1)
    gram = pair * _pairs(topology) + edge * nnz + output * n_out + dense * n_rows * n_in**2 + number * met
    return gram < n_rows * (per_edge * nnz + per_output * n_out)


def _pairs(topology: Topology) -> int:
    """Pairs of weights of one output, summed over the outputs."""
    return topology.cached("pairs", lambda: int(np.square(topology.fan_in, dtype=np.int64).sum()))

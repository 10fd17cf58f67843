"""A trained linear map."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.topology._topology import Topology


class Layer(NamedTuple):
    """One trained linear map: ``y = W x + bias`` with ``W`` at the topology's active edges.

    Attributes
    ----------
    topology : Topology
        Of shape ``(out_features, in_features)``.
    values : ndarray of float32, shape (nnz,)
    bias : ndarray of float32, shape (out_features,)
    """

    topology: Topology
    values: np.ndarray
    bias: np.ndarray

    def to_csr(self) -> sp.csr_matrix:
        """The weights as a scipy matrix ``[out_features, in_features]``."""
        t, slots = self.topology.edges
        return sp.csr_matrix((self.values[slots], t.indices, t.indptr), shape=t.shape)

    def to_dense(self) -> np.ndarray:
        """The weights as an array ``[out_features, in_features]``."""
        return self.to_csr().toarray()

    def in_blocks(self, block_size: int) -> Layer:
        """The same map on blocks of another size; zeros fill the blocks that its weights touch."""
        if block_size == self.topology.block_size:
            return self
        edges, slots = self.topology.edges
        blocks = Topology.from_groups(edges, block_size)
        filled, order = blocks.edges
        in_order = np.zeros(blocks.nnz, np.float32)
        # Both rise, and every edge is in a block.
        in_order[np.searchsorted(filled.flat, edges.flat)] = self.values[slots]
        values = np.empty_like(in_order)
        values[order] = in_order
        return Layer(blocks, values, self.bias)

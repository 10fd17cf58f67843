"""What happens to the values of a layer when its topology changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsae import kernels

if TYPE_CHECKING:
    from dsae.topology._topology import Topology


@dataclass(frozen=True, eq=False)
class Rewiring:
    """A change of topology, and where each value comes from.

    Parameters
    ----------
    old, new : Topology
    source : ndarray of int32, shape (new.nnz,)
        For every new slot the old slot, or -1 where the edge was grown.
    """

    old: Topology
    new: Topology
    source: np.ndarray

    @classmethod
    def of_blocks(cls, old: Topology, new: Topology, source: np.ndarray) -> Rewiring:
        """From the block of ``old`` that each block of ``new`` comes from, or -1."""
        if old.block_size == 1:
            return cls(old, new, source)
        slots = np.empty(new.nnz, np.int32)
        blocks = np.split(source, [new.n_wide_blocks])
        origins = (0, 0), (old.n_wide_blocks, old.n_wide_slots)
        for part, own, (block, slot) in zip(new.by_block(slots), blocks, origins, strict=False):
            width = part.shape[1]
            part[...] = ((own - block) * width + slot)[:, None] + np.arange(width)
            part[own < 0] = -1
        return cls(old, new, slots)

    def move(self, values: np.ndarray) -> np.ndarray:
        """``values`` (float32) of the old slots laid out for the new ones; zero where grown."""
        moved = kernels.aligned(self.source.shape)
        kernels.move(values, self.source, moved)
        return moved

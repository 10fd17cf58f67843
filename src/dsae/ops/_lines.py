"""Which products of a layer read activations in 16 bits: a fixed table, measured beforehand."""

from __future__ import annotations

from typing import Any, NamedTuple

from dsae import kernels
from dsae.config import one_of, whole_number
from dsae.topology import Topology


class Lines(NamedTuple):
    """Products that round operands to bfloat16: ``W x``, both gradients in one pass, that of the weights alone."""

    forward: bool
    backward: bool
    sddmm: bool


# Edges for each line that is rounded (of an input in the forward product, of an output in the others) from which half
# the bytes outweigh the rounding, for instruction sets and caches (L2 from 512 KB to 2 MB) in docs/design/kernels.md.
_PAYS = {"x86-64-v4": (16, None, 100), "x86-64-v3": (16, 16, 100)}
# Weights below which a layer's products take less than a tenth of a millisecond.
_SMALLEST = 1 << 14


def isa(saved: Any = None) -> str:
    """The instruction set whose table a run goes by: that in use, or the one with which it was ``saved``."""
    if saved is None:
        return kernels.isa()
    one_of("isa", saved, kernels.ISAS)
    return saved


def l2_bytes(saved: Any = None) -> int:
    """Bytes of a core's second-level cache that a run goes by: this machine's, or those that were ``saved``."""
    return kernels.l2_bytes() if saved is None else whole_number("l2", saved, 1 << 40)


def lines_for(topology: Topology, isa: str) -> Lines | None:
    """The products of a layer that are faster on lines of 16 bits; None where none is, as of blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from dsae.topology import random_topology
    >>> lines_for(random_topology((1024, 784), 0.05, np.random.default_rng(0)), "x86-64-v3")
    Lines(forward=True, backward=True, sddmm=False)
    """
    if isa not in _PAYS or topology.nnz < _SMALLEST or topology.block_size > 1:
        return None
    (n_out, n_in), nnz = topology.shape, topology.nnz
    enough = (least is not None and nnz >= least * n for least, n in zip(_PAYS[isa], (n_in, n_out, n_out), strict=True))
    lines = Lines(*enough)
    return lines if any(lines) else None

"""How many edges a layer gets, and which: the weakest go, others are drawn or chosen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from dsae import kernels
from dsae.topology._topology import MAX_NNZ, Topology


def erdos_renyi(shapes: Sequence[tuple[int, int]], density: float) -> list[int]:
    """Active weights per layer for an overall density, small layers staying denser.

    A layer's share is proportional to ``n_in + n_out``; a layer whose share exceeds its size becomes full and the rest
    is solved again (Erdős-Rényi-Kernel: Mocanu et al. 2018, Evci et al. 2020). The sum is ``round(density * size)``.

    Examples
    --------
    >>> erdos_renyi([(1000, 784), (30, 1000)], 0.05)
    [25803, 14897]
    """
    sizes = np.array([n_out * n_in for n_out, n_in in shapes], dtype=np.int64)
    weights = np.array([n_out + n_in for n_out, n_in in shapes], dtype=np.float64)
    # Layers whose share exceeds all they have are filled, and the others share what is left, until none overflows.
    total = round(density * int(sizes.sum()))
    full = np.zeros(sizes.size, bool)
    while True:
        left = total - sizes[full].sum()
        share = np.where(full, sizes, left * weights / max(weights[~full].sum(), 1.0))
        over = (share > sizes) & ~full
        if not over.any():
            break
        full |= over
    counts = np.floor(share).astype(np.int64)
    # Largest remainders first, so that the sum is met to the edge; stable, so that ties are the same on every machine.
    by_remainder = np.argsort(counts - share, kind="stable")
    counts[by_remainder[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def inactive_edges(topology: Topology, n: int, rng: np.random.Generator) -> Topology:
    """``n`` distinct inactive edges at random, every set equally likely; all of them if there are fewer.

    In time O(nnz + n); a seed draws other edges where the kernels are not compiled. Of a topology of blocks, as many
    blocks as have ``n`` edges, to the nearest block.
    """
    n = min(n, topology.size - topology.nnz)
    drawn = _inactive_blocks(topology, n // topology.block_size, rng)
    while drawn.nnz < n:  # where a last group is narrower, its blocks have fewer edges
        more = (n - drawn.nnz) // topology.block_size
        if not more and 2 * (n - drawn.nnz) < topology.block_size:
            break
        drawn = drawn.joined(_inactive_blocks(topology.joined(drawn), max(more, 1), rng))
    return drawn


def _inactive_blocks(topology: Topology, n: int, rng: np.random.Generator) -> Topology:
    n = min(n, topology.n_possible_blocks - topology.n_blocks)
    seed = int(rng.integers(2**63))  # the kernel draws for itself, the same on every machine
    return topology.like(*kernels.draw_dead(topology.indptr, topology.indices, topology.shape[1], n, seed))


def promising_edges(topology: Topology, out_norms: np.ndarray, in_norms: np.ndarray, n_edges: int) -> Topology:
    """The inactive ones among the at most ``n_edges`` edges with the largest ``out_norms[row] * in_norms[col]``.

    Nothing of the matrix' size is allocated. Norms are compared in 64ths of an octave; ties are included or excluded
    together. An edge whose product is zero is excluded. A block counts with the sum over its edges.
    """
    out_norms = topology.group_sums(out_norms)
    rows, cols = _levels(out_norms), _levels(in_norms)
    # Columns sorted once, a binary search per level of rows counts the pairs above a threshold without forming them.
    ascending = np.sort(cols[in_norms > 0])
    levels, counts = np.unique(rows[out_norms > 0], return_counts=True)

    def columns_for(levels: np.ndarray, threshold: int) -> np.ndarray:
        return ascending.size - np.searchsorted(ascending, threshold - levels)

    def fits(threshold: int) -> bool:
        return bool(counts @ columns_for(levels, threshold) * topology.block_size <= n_edges)

    # float32 spans 2^-149 to 2^128
    threshold = bisect_left(range(-(1 << 15), 1 << 15), True, key=fits) - (1 << 15)
    lengths = np.where(out_norms > 0, columns_for(rows, threshold), 0).astype(np.int32)
    order = np.argsort(-cols, kind="stable").astype(np.int32)
    return topology.like(*kernels.first_dead(topology.indptr, topology.indices, order, lengths))


def _levels(norms: np.ndarray) -> np.ndarray:
    """Logarithms in 64ths of an octave; those of zero, infinity and NaN below or above all others."""
    least, largest = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    clipped = np.where(norms > 0, np.clip(norms, least, largest), least).astype(np.float64)
    return np.where(norms > 0, np.floor(64 * np.log2(clipped)), -(1 << 15)).astype(np.int64)


def weakest(scores: np.ndarray, n: int) -> np.ndarray:
    """Mask of the ``n`` smallest of ``scores`` (float32, one per slot); ties go to the lower index; NaN sorts last.

    Examples
    --------
    >>> weakest(np.array([2, 1, 3, 1, 1], np.float32), 2)
    array([False,  True, False,  True, False])
    """
    chosen = np.empty(scores.shape, bool)
    kernels.smallest(scores, n, chosen)
    return chosen


def weakest_blocks(topology: Topology, scores: np.ndarray, n: int) -> np.ndarray:
    """Mask of the blocks with the smallest sums of ``scores`` (one per slot) that have about ``n`` edges in all.

    Single edges are blocks of one, so that this is `weakest`. Blocks of a narrow last group are compared by their sum
    per edge; the number of edges is ``n`` to the nearest block.

    Returns
    -------
    ndarray of bool, shape (n_blocks,)
    """
    sums, size = topology.block_scores(scores), topology.block_size
    wide = topology.n_wide_blocks
    if wide == topology.n_blocks:
        return weakest(sums, min(round(n / size), wide))
    # Blocks of the narrow group have fewer edges, so that a number of blocks is no number of edges.
    order = np.argsort(sums, kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.where(order < wide, size, topology.narrow))])
    chosen = np.zeros(topology.n_blocks, dtype=bool)
    chosen[order[: np.abs(edges - n).argmin()]] = True
    return chosen


def random_topology(shape: tuple[int, int], density: float, rng: np.random.Generator, block_size: int = 1) -> Topology:
    """``round(density * size)`` edges at random, to the nearest block but at least one: growth from the empty set."""
    nnz = round(density * shape[0] * shape[1])
    if nnz > MAX_NNZ:
        raise ValueError(
            f"[Topology] {nnz} active weights in a {shape[0]} x {shape[1]} layer exceed 2**31 - 1; lower density."
        )
    return inactive_edges(Topology.empty(shape, block_size), max(nnz, block_size) if nnz else 0, rng)

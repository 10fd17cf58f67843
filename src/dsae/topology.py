"""Topologies: which weights exist; shared by kernels, layers and files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae import kernels

MAX_NNZ = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Topology:
    """Active edges of a weight matrix ``[out_features, in_features]`` in CSR form.

    Parameters
    ----------
    shape : tuple of int
        ``(out_features, in_features)``.
    indptr : ndarray of int32, shape (out_features + 1,)
        Row ``r`` owns the slots ``indptr[r]:indptr[r + 1]``.
    indices : ndarray of int32, shape (nnz,)
        Input of each slot, strictly increasing within a row.

    Examples
    --------
    >>> t = Topology.from_mask([[1, 0, 1], [0, 1, 0]])
    >>> t.nnz, t.density
    (3, 0.5)
    """

    shape: tuple[int, int]
    indptr: np.ndarray
    indices: np.ndarray

    def __post_init__(self) -> None:
        for name in ("indptr", "indices"):
            array = np.ascontiguousarray(getattr(self, name), dtype=np.int32).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        self._check()

    def _check(self) -> None:
        indptr, indices, (n_out, n_in) = self.indptr, self.indices, self.shape
        if n_in > MAX_NNZ:
            raise ValueError(f"[Topology] a layer has at most 2**31 - 1 inputs; got shape {self.shape}.")
        fault = 1 if indptr.shape != (n_out + 1,) else kernels.validate(indptr, indices, n_in)
        if fault:
            facts = (
                f"indptr must have {n_out + 1} numbers that rise from 0 to {indices.size}.",
                f"Every edge must lie inside shape {self.shape}.",
                "indices must rise strictly within each row; an edge may appear once.",
            )
            raise ValueError(f"[Topology] {facts[fault - 1]}")

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result of ``make``, kept with this topology like its transpose; for copies on a device."""
        found = self._copies.get(key)
        return self._copies.setdefault(key, make()) if found is None else found

    @cached_property
    def _copies(self) -> dict[Hashable, Any]:
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Topology, (self.shape, self.indptr, self.indices)

    def __deepcopy__(self, memo: dict[int, Any]) -> Topology:
        return self  # it is immutable

    def bare(self) -> Topology:
        """The same edges without cached arrays."""
        return Topology(self.shape, self.indptr, self.indices)

    @classmethod
    def full(cls, shape: tuple[int, int]) -> Topology:
        """Every edge of ``shape``: the topology of a dense layer."""
        n_out, n_in = shape
        if n_out * n_in > MAX_NNZ:
            raise ValueError(
                f"[Topology] a full {n_out} x {n_in} layer has more than 2**31 - 1 weights; lower density."
            )
        indptr = np.arange(0, n_out * n_in + 1, n_in, dtype=np.int32) if n_in else np.zeros(n_out + 1, np.int32)
        return cls(shape, indptr, np.tile(np.arange(n_in, dtype=np.int32), n_out))

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Topology:
        """No edges; every sparse initialisation grows from this."""
        return cls(shape, np.zeros(shape[0] + 1, np.int32), np.zeros(0, np.int32))

    @classmethod
    def from_mask(cls, mask) -> Topology:
        """The edges where the 2-D array ``mask`` is not zero."""
        mask = np.asarray(mask) != 0
        if mask.ndim != 2:
            raise ValueError(f"[Topology] Expected a 2-D mask [out_features, in_features]; got {mask.ndim}-D.")
        rows, cols = np.nonzero(mask)
        return cls.from_edges((mask.shape[0], mask.shape[1]), rows, cols)

    @classmethod
    def from_edges(cls, shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray) -> Topology:
        """The edges ``(rows[i], cols[i])``, in any order, without repeats."""
        rows, cols = np.asarray(rows), np.asarray(cols)
        if rows.size and not (rows.min() >= 0 and rows.max() < shape[0] and cols.min() >= 0 and cols.max() < shape[1]):
            raise ValueError(f"[Topology] Every edge must lie inside shape {shape}.")
        keys = np.sort(rows.astype(np.int64) * shape[1] + cols)
        if keys.size and not np.all(np.diff(keys)):
            raise ValueError("[Topology] An edge is given twice; each may appear once.")
        counts = np.bincount(keys // max(shape[1], 1), minlength=shape[0])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return cls(shape, indptr, (keys % max(shape[1], 1)).astype(np.int32))

    @property
    def nnz(self) -> int:
        """Number of active edges."""
        return self.indices.size

    @property
    def size(self) -> int:
        """Number of possible edges."""
        return self.shape[0] * self.shape[1]

    @property
    def density(self) -> float:
        """Active share of the possible edges; 1 for a layer without any."""
        return self.nnz / self.size if self.size else 1.0

    @property
    def is_full(self) -> bool:
        """Whether every possible edge is active, so that values are a row-major matrix."""
        return self.nnz == self.size

    @cached_property
    def rows(self) -> np.ndarray:
        """Output of each slot, int32 ``[nnz]``."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def flat(self) -> np.ndarray:
        """Position of each slot in the row-major dense matrix, int64 ``[nnz]``."""
        return self.rows.astype(np.int64) * self.shape[1] + self.indices

    @cached_property
    def transpose(self) -> tuple[Topology, np.ndarray]:
        """The transposed topology and, for each of its slots, the slot here."""
        indptr, indices, slots = kernels.transpose(self.indptr, self.indices, self.shape[1])
        return Topology((self.shape[1], self.shape[0]), indptr, indices), slots

    def rewire(self, drop: np.ndarray, grown: Topology | None = None) -> Rewiring:
        """Remove the slots where ``drop`` is true and add the inactive edges of ``grown``.

        Parameters
        ----------
        drop : ndarray of bool, shape (nnz,)
        grown : Topology, optional
            New edges, of the same shape. An edge dropped in the same call may be grown again: its slot counts as new.

        Returns
        -------
        Rewiring
            In time O(nnz).

        Raises
        ------
        ValueError
            If ``grown`` is of another shape, or has an edge that is still active.
        """
        grown = Topology.empty(self.shape) if grown is None else grown
        if grown.shape != self.shape:
            raise ValueError(f"[rewire] grown must have shape {self.shape}; got {grown.shape}.")
        keep = ~np.asarray(drop, dtype=bool)
        indptr, indices, source = kernels.rewire(self.indptr, self.indices, keep, grown.indptr, grown.indices)
        return Rewiring(self, Topology(self.shape, indptr, indices), source)


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

    def move(self, values: np.ndarray) -> np.ndarray:
        """``values`` (float32) of the old slots laid out for the new ones; zero where grown."""
        moved = kernels.aligned(self.source.shape)
        kernels.move(values, self.source, moved)
        return moved


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
        t = self.topology
        return sp.csr_matrix((self.values, t.indices, t.indptr), shape=t.shape)

    def to_dense(self) -> np.ndarray:
        """The weights as an array ``[out_features, in_features]``."""
        return self.to_csr().toarray()


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
    by_remainder = np.argsort(counts - share, kind="stable")
    counts[by_remainder[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def inactive_edges(topology: Topology, n: int, rng: np.random.Generator) -> Topology:
    """``n`` distinct inactive edges at random, every set equally likely; all of them if there are fewer.

    In time O(nnz + n); a seed draws other edges where the kernels are not compiled.
    """
    n = min(n, topology.size - topology.nnz)
    seed = int(rng.integers(2**63))
    return Topology(topology.shape, *kernels.draw_dead(topology.indptr, topology.indices, topology.shape[1], n, seed))


def promising_edges(topology: Topology, out_norms: np.ndarray, in_norms: np.ndarray, n_edges: int) -> Topology:
    """The inactive ones among the at most ``n_edges`` edges with the largest ``out_norms[row] * in_norms[col]``.

    Nothing of the matrix' size is allocated. Norms are compared in 64ths of an octave; ties are included or excluded
    together. An edge whose product is zero is excluded.
    """
    rows, cols = _levels(out_norms), _levels(in_norms)
    ascending = np.sort(cols[in_norms > 0])
    levels, counts = np.unique(rows[out_norms > 0], return_counts=True)

    def columns_for(levels: np.ndarray, threshold: int) -> np.ndarray:
        return ascending.size - np.searchsorted(ascending, threshold - levels)

    def fits(threshold: int) -> bool:
        return bool(counts @ columns_for(levels, threshold) <= n_edges)

    # float32 spans 2^-149 to 2^128
    threshold = bisect_left(range(-(1 << 15), 1 << 15), True, key=fits) - (1 << 15)
    lengths = np.where(out_norms > 0, columns_for(rows, threshold), 0).astype(np.int32)
    order = np.argsort(-cols, kind="stable").astype(np.int32)
    return Topology(topology.shape, *kernels.first_dead(topology.indptr, topology.indices, order, lengths))


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


def random_topology(shape: tuple[int, int], density: float, rng: np.random.Generator) -> Topology:
    """``round(density * size)`` edges at random: growth from the empty set."""
    nnz = round(density * shape[0] * shape[1])
    if nnz > MAX_NNZ:
        raise ValueError(
            f"[Topology] {nnz} active weights in a {shape[0]} x {shape[1]} layer exceed 2**31 - 1; lower density."
        )
    return inactive_edges(Topology.empty(shape), nnz, rng)

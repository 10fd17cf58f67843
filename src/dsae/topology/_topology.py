"""Topologies: which weights exist; shared by kernels, layers and files."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dsae import kernels
from dsae.config import valid_block_size
from dsae.topology._rewiring import Rewiring

MAX_NNZ = 2**31 - 1  # slots are int32 in the kernels and in files


@dataclass(frozen=True, eq=False)
class Topology:
    """Active edges of a weight matrix ``[out_features, in_features]``, in CSR form, one by one or in blocks.

    A block is ``block_size`` neighbouring outputs that share an input; the rows of a group are active at the same
    inputs. A slot is the place of one weight: the weights of a block lie side by side, the blocks of a group by input.
    The last group is narrower where ``block_size`` does not divide ``out_features``.

    Parameters
    ----------
    shape : tuple of int
        ``(out_features, in_features)``.
    indptr : ndarray of int32, shape (n_groups + 1,)
        Group ``g``, the rows from ``g * block_size`` on, owns the blocks ``indptr[g]:indptr[g + 1]``.
    indices : ndarray of int32, shape (n_blocks,)
        Input of each block, strictly increasing within a group.
    block_size : {1, 4, 8}
        1 for single edges: then a group is a row, a block an edge and a slot.

    Examples
    --------
    >>> t = Topology.from_mask([[1, 0, 1], [0, 1, 0]])
    >>> t.nnz, t.density
    (3, 0.5)
    >>> t = Topology.from_mask(np.eye(8), block_size=4)
    >>> t.n_blocks, t.nnz, t.indices
    (8, 32, array([0, 1, 2, 3, 4, 5, 6, 7], dtype=int32))
    """

    shape: tuple[int, int]
    indptr: np.ndarray
    indices: np.ndarray
    block_size: int = 1

    def __post_init__(self) -> None:
        for name in ("indptr", "indices"):
            # A view: the caller's own array stays writable.
            array = np.ascontiguousarray(getattr(self, name), dtype=np.int32).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        self._check()

    def _check(self) -> None:
        indptr, indices, (n_out, n_in) = self.indptr, self.indices, self.shape
        valid_block_size(self.block_size)
        if n_in > MAX_NNZ:
            raise ValueError(f"[Topology] a layer has at most 2**31 - 1 inputs; got shape {self.shape}.")
        n_groups = _groups(n_out, self.block_size)
        fault = 1 if indptr.shape != (n_groups + 1,) else kernels.validate(indptr, indices, n_in)
        if fault:
            facts = (
                f"indptr must have {n_groups + 1} numbers that rise from 0 to {indices.size}.",
                f"Every edge must lie inside shape {self.shape}.",
                "indices must rise strictly within each row; an edge may appear once.",
            )
            raise ValueError(f"[Topology] {facts[fault - 1]}")
        if self.nnz > MAX_NNZ:
            raise ValueError(f"[Topology] a layer has at most 2**31 - 1 weights; got {self.nnz}.")

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result of ``make``, kept with this topology like its transpose; for copies on a device."""
        found = self._copies.get(key)
        # Two threads may make it at once; setdefault gives both the same one.
        return self._copies.setdefault(key, make()) if found is None else found

    @cached_property
    def _copies(self) -> dict[Hashable, Any]:
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Topology, (self.shape, self.indptr, self.indices, self.block_size)

    def __deepcopy__(self, memo: dict[int, Any]) -> Topology:
        return self  # it is immutable

    def bare(self) -> Topology:
        """The same edges without cached arrays."""
        return self.like(self.indptr, self.indices)

    def like(self, indptr: np.ndarray, indices: np.ndarray) -> Topology:
        """Other edges of the same shape, in blocks of the same size."""
        return Topology(self.shape, indptr, indices, self.block_size)

    @classmethod
    def full(cls, shape: tuple[int, int], block_size: int = 1) -> Topology:
        """Every edge of ``shape``: the topology of a dense layer."""
        n_out, n_in = shape
        if n_out * n_in > MAX_NNZ:
            raise ValueError(
                f"[Topology] a full {n_out} x {n_in} layer has more than 2**31 - 1 weights; lower density."
            )
        groups = _groups(n_out, block_size)
        indptr = np.arange(0, groups * n_in + 1, n_in, dtype=np.int32) if n_in else np.zeros(groups + 1, np.int32)
        return cls(shape, indptr, np.tile(np.arange(n_in, dtype=np.int32), groups), block_size)

    @classmethod
    def empty(cls, shape: tuple[int, int], block_size: int = 1) -> Topology:
        """No edges; every sparse initialisation grows from this."""
        return cls(shape, np.zeros(_groups(shape[0], block_size) + 1, np.int32), np.zeros(0, np.int32), block_size)

    @classmethod
    def from_mask(cls, mask, block_size: int = 1) -> Topology:
        """The edges where the 2-D array ``mask`` is not zero, with all others of their blocks."""
        mask = np.asarray(mask) != 0
        if mask.ndim != 2:
            raise ValueError(f"[Topology] Expected a 2-D mask [out_features, in_features]; got {mask.ndim}-D.")
        return cls.from_groups(cls.from_edges((mask.shape[0], mask.shape[1]), *np.nonzero(mask)), block_size)

    @classmethod
    def from_groups(cls, edges: Topology, block_size: int) -> Topology:
        """The blocks to which any of ``edges``, one by one, belongs."""
        if block_size == 1:
            return edges
        n_out, n_in = edges.shape
        keys = np.unique(edges.rows.astype(np.int64) // block_size * n_in + edges.cols)
        groups = cls.from_edges((_groups(n_out, block_size), n_in), *_places(keys, n_in))
        return cls(edges.shape, groups.indptr, groups.indices, block_size)

    @classmethod
    def from_edges(cls, shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray) -> Topology:
        """The edges ``(rows[i], cols[i])``, in any order, without repeats."""
        rows, cols = np.asarray(rows), np.asarray(cols)
        if rows.size and not (rows.min() >= 0 and rows.max() < shape[0] and cols.min() >= 0 and cols.max() < shape[1]):
            raise ValueError(f"[Topology] Every edge must lie inside shape {shape}.")
        # One key per edge sorts rows and columns at once; int64, since a wide layer has more than 2^31 places.
        keys = np.sort(rows.astype(np.int64) * shape[1] + cols)
        if keys.size and not np.all(np.diff(keys)):
            raise ValueError("[Topology] An edge is given twice; each may appear once.")
        rows, cols = _places(keys, shape[1])
        counts = np.bincount(rows, minlength=shape[0])
        return cls(shape, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), cols.astype(np.int32))

    @property
    def nnz(self) -> int:
        """Number of active edges."""
        return self.n_wide_slots + (self.n_blocks - self.n_wide_blocks) * self.narrow

    @property
    def n_blocks(self) -> int:
        """Number of active blocks."""
        return self.indices.size

    @property
    def n_possible_blocks(self) -> int:
        """Number of blocks, active or not."""
        return (self.indptr.size - 1) * self.shape[1]

    @property
    def narrow(self) -> int:
        """Rows of a last group that is narrower than the others; 0 if there is none."""
        return self.shape[0] % self.block_size

    @property
    def n_wide_blocks(self) -> int:
        """Number of active blocks that have ``block_size`` edges; those of a narrow last group follow."""
        return int(self.indptr[-2]) if self.narrow else self.n_blocks

    @property
    def n_wide_slots(self) -> int:
        """Number of slots of these blocks."""
        return self.n_wide_blocks * self.block_size

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
        """Whether every possible edge is active."""
        return self.nnz == self.size

    @property
    def is_matrix(self) -> bool:
        """Whether values are a row-major matrix: every possible edge is active, and edges stand one by one."""
        return self.block_size == 1 and self.is_full

    def by_block(self, values: Any) -> tuple[Any, ...]:
        """Views ``[n_blocks, width]`` of an array or tensor with a number per slot: of full blocks, of narrow ones."""
        if not self.narrow:
            return (values.reshape(-1, self.block_size),)
        split = self.n_wide_slots
        return values[:split].reshape(-1, self.block_size), values[split:].reshape(-1, self.narrow)

    def block_scores(self, scores: np.ndarray) -> np.ndarray:
        """Sums of ``scores`` (one per slot) over each block, scaled up where a narrow block has fewer of them."""
        if self.block_size == 1:
            return scores
        parts = [part.sum(1) * np.float32(self.block_size / part.shape[1]) for part in self.by_block(scores)]
        return np.concatenate(parts)

    def n_edges(self, chosen: np.ndarray) -> int:
        """Number of edges of the blocks that the mask ``chosen`` marks."""
        wide = self.n_wide_blocks
        return int(chosen[:wide].sum()) * self.block_size + int(chosen[wide:].sum()) * self.narrow

    def group_sums(self, numbers: np.ndarray) -> np.ndarray:
        """Sums of ``numbers`` (one per output) over each group of rows."""
        if self.block_size == 1:
            return numbers
        return np.add.reduceat(numbers, np.arange(0, self.shape[0], self.block_size)) if numbers.size else numbers

    def per_slot(self, numbers: np.ndarray) -> np.ndarray:
        """``numbers`` (one per block) repeated for each of its slots."""
        if self.block_size == 1:
            return numbers
        wide = self.n_wide_blocks
        return np.concatenate([np.repeat(numbers[:wide], self.block_size), np.repeat(numbers[wide:], self.narrow)])

    @cached_property
    def starts(self) -> np.ndarray:
        """First slot of each group, and their number: int32 ``[n_groups + 1]``."""
        if self.block_size == 1:
            return self.indptr
        starts = self.indptr * np.int32(self.block_size)
        starts[-1] = self.nnz  # a narrow last group has fewer slots
        return starts

    @cached_property
    def row_starts(self) -> np.ndarray:
        """How many edges the outputs before each have, and all of them: int32 ``[out_features + 1]``."""
        if self.block_size == 1:
            return self.indptr
        return np.concatenate([[0], np.cumsum(self.fan_in)]).astype(np.int32)

    @property
    def fan_in(self) -> np.ndarray:
        """Active inputs of each output, int32 ``[out_features]``."""
        return np.repeat(np.diff(self.indptr), self.block_size)[: self.shape[0]]

    @cached_property
    def rows(self) -> np.ndarray:
        """Output of each slot, int32 ``[nnz]``."""
        if self.block_size == 1:
            return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))
        n_groups = self.indptr.size - 1
        first = np.repeat(np.arange(n_groups, dtype=np.int32) * np.int32(self.block_size), np.diff(self.indptr))
        rows = self.per_slot(first)
        for part in self.by_block(rows):
            part += np.arange(part.shape[1], dtype=np.int32)
        return rows

    @cached_property
    def cols(self) -> np.ndarray:
        """Input of each slot, int32 ``[nnz]``."""
        return self.per_slot(self.indices)

    @cached_property
    def flat(self) -> np.ndarray:
        """Position of each slot in the row-major dense matrix, int64 ``[nnz]``."""
        return self.rows.astype(np.int64) * self.shape[1] + self.cols

    @cached_property
    def edges(self) -> tuple[Topology, Any]:
        """The same edges one by one, row by row, and an index that puts numbers of slots here in their order."""
        if self.block_size == 1:
            return self, slice(None)
        indptr = self.row_starts
        in_group = np.arange(self.n_blocks, dtype=np.int32) - np.repeat(self.indptr[:-1], np.diff(self.indptr))
        place = indptr[self.rows] + self.per_slot(in_group)
        slots = np.empty(self.nnz, np.int32)
        slots[place] = np.arange(self.nnz, dtype=np.int32)
        return Topology(self.shape, indptr, self.cols[slots]), slots

    @cached_property
    def transpose(self) -> tuple[Topology, np.ndarray]:
        """The transposed edges, one by one, and for each of their slots the slot here."""
        single, own = self.edges
        indptr, indices, slots = kernels.transpose(single.indptr, single.indices, self.shape[1])
        return Topology((self.shape[1], self.shape[0]), indptr, indices), slots if single is self else own[slots]

    def joined(self, other: Topology) -> Topology:
        """The edges of both, which must be distinct."""
        return self.rewire(np.zeros(self.n_blocks, bool), other).new

    def rewire(self, drop: np.ndarray, grown: Topology | None = None) -> Rewiring:
        """Remove the blocks where ``drop`` is true and add the inactive ones of ``grown``.

        Parameters
        ----------
        drop : ndarray of bool, shape (n_blocks,)
            One for each edge, where these stand one by one.
        grown : Topology, optional
            New edges, of the same shape and block size. An edge dropped in the same call may be grown again: its slot
            counts as new.

        Returns
        -------
        Rewiring
            In time O(nnz).

        Raises
        ------
        ValueError
            If ``grown`` is of another shape or block size, or has an edge that is still active.
        """
        grown = self.like(np.zeros_like(self.indptr), np.zeros(0, np.int32)) if grown is None else grown
        for name in ("shape", "block_size"):
            given, own = getattr(grown, name), getattr(self, name)
            if given != own:
                raise ValueError(f"[rewire] grown must have {name} {own}; got {given}.")
        keep = ~np.asarray(drop, dtype=bool)
        indptr, indices, source = kernels.rewire(self.indptr, self.indices, keep, grown.indptr, grown.indices)
        return Rewiring.of_blocks(self, self.like(indptr, indices), source)


def _groups(n_out: int, block_size: int) -> int:
    return -(-n_out // block_size)


def _places(keys: np.ndarray, n_in: int) -> tuple[np.ndarray, np.ndarray]:
    return keys // max(n_in, 1), keys % max(n_in, 1)


def is_canonical(shape: tuple[int, int], indptr: np.ndarray, indices: np.ndarray) -> bool:
    """Whether int32 arrays are the CSR pattern of a matrix of ``shape``, with indices that rise strictly in a row."""
    return indptr.size == shape[0] + 1 and kernels.validate(indptr, indices, shape[1]) == 0

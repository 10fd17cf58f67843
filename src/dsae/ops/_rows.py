"""Mini-batches as models take them: panels and sparse rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from dsae.config import DENSE_ABOVE, Transform
from dsae.kernels import lanes_for
from dsae.ops._ranks import ranks
from dsae.topology import Topology


class Panels(NamedTuple):
    """A mini-batch as the kernels take it: ``lanes`` samples side by side, feature-major.

    A type of its own, since ``[batch, tokens, features]`` has three dimensions, too.

    Parameters
    ----------
    tensor : Tensor, shape (n_panels, features, lanes)
        The lanes after the last sample may hold anything.
    n_rows : int
        Samples in the batch.
    """

    tensor: Tensor
    n_rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_rows, features)``, as if they were rows."""
        return self.n_rows, self.tensor.shape[1]

    @property
    def lanes(self) -> int:
        """Samples per panel."""
        return self.tensor.shape[2]


def tensor_of(t: Tensor | Panels) -> Tensor:
    """The numbers of rows or panels; features are axis 1 of both."""
    return t.tensor if isinstance(t, Panels) else t


def on_features(function: Callable[..., Tensor], *given: Tensor | Panels) -> Tensor | Panels:
    """``function`` of tensors whose axis 1 is the features; panels if the first of ``given`` is."""
    found = function(*map(tensor_of, given))
    return Panels(found, given[0].n_rows) if isinstance(given[0], Panels) else found


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A CSR mini-batch with an optional shift per column: column ``f`` is ``X[:, f] - shift[f]``.

    Parameters
    ----------
    pattern : Topology
        Positions of the stored values of ``X``, of shape ``(n_rows, n_features)``.
    values : ndarray of float32, shape (nnz,)
    shift : ndarray of float32, shape (n_features,), optional
    packed : bool
        Whether the layers after the first take panels.
    known, weight : ndarray of float32, shapes (nnz,) and (n_rows,), optional
        Of rows that are a target, the weights of the stored values and of the rows; see `Given`.
    """

    pattern: Topology
    values: np.ndarray
    shift: np.ndarray | None = None
    packed: bool = False
    known: np.ndarray | None = None
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, X: sp.csr_matrix) -> SparseRows:
        """The rows of a scipy matrix."""
        if not X.has_canonical_format:  # a copy, since the matrix is the caller's
            X = X.copy()
            X.sum_duplicates()
        return cls(Topology(X.shape, X.indptr, X.indices), X.data)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_rows, n_features)``."""
        return self.pattern.shape

    @property
    def packed_shape(self) -> tuple[int, ...]:
        """Shape of the tensor that `dense` would be, as panels where these are wanted."""
        n_rows, width = self.shape
        lanes = lanes_for(n_rows)
        return (-(-n_rows // lanes), width, lanes) if self.packed else self.shape

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same by columns: ``indptr [n_features + 1]``, samples and values."""
        transposed, slots = self.pattern.transpose
        return transposed.indptr, transposed.indices, self.values[slots]

    @property
    def weighted(self) -> bool:
        """Whether anything counts more or less than the rest."""
        return self.known is not None or self.weight is not None

    @cached_property
    def known_by_column(self) -> np.ndarray | None:
        """The weights of the stored values, beside `columns`."""
        return None if self.known is None else self.known[self.pattern.transpose[1]]

    @cached_property
    def size(self) -> float:
        """What a mean over all numbers divides by: the sum of their weights, or 1 where nothing weighs anything."""
        if not self.weighted:
            return max(1, self.shape[0] * self.shape[1])
        return float(self.row_sizes.sum()) or 1.0

    @cached_property
    def row_sizes(self) -> np.ndarray:
        """Sum of the weights of every row's numbers, float64 ``[n_rows]``."""
        n_rows, width = self.shape
        sizes = np.full(n_rows, float(width))
        if self.known is not None:
            sizes += np.bincount(self.pattern.rows, self.known - np.float64(1), n_rows)
        return sizes if self.weight is None else sizes * self.weight

    def centred(self, mean: Tensor, scale: Tensor) -> SparseRows:
        """``(x - mean) / scale``."""
        by = scale.cpu().numpy()
        return replace(self, values=self.values / by[self.pattern.indices], shift=mean.cpu().numpy() / by)

    def transformed(self, transform: Transform, total: float) -> SparseRows:
        """Before they are centred: with other values at the same places; see `dsae.config.transformed`."""
        values = self.values
        if transform.by_total:
            totals = np.bincount(self.pattern.rows, values, self.shape[0])
            values = values * (total / np.where(totals > 0, totals, 1.0)).astype(np.float32)[self.pattern.rows]
        return replace(self, values=transform.apply(values, np.log1p))

    def coo(self, like: Tensor) -> Tensor:
        """``X`` without its shift, sparse, on the device and in the dtype of ``like``."""
        at = np.stack([self.pattern.rows, self.pattern.indices]).astype(np.int64)
        where, values = torch.from_numpy(at).to(like.device), torch.from_numpy(self.values).to(like)
        return torch.sparse_coo_tensor(where, values, self.shape, is_coalesced=True, check_invariants=False)

    def dense(self, like: Tensor) -> Tensor:
        """All numbers, ``[n_rows, n_features]``, on the device and in the dtype of ``like``."""
        X = sp.csr_matrix((self.values, self.pattern.indices, self.pattern.indptr), shape=self.shape)
        rows = torch.from_numpy(X.toarray()).to(like)
        return rows if self.shift is None else rows.sub_(torch.from_numpy(self.shift).to(like))

    def part(self, rows: slice) -> SparseRows:
        """Some consecutive rows, not to be packed."""
        begin, end, _ = rows.indices(self.shape[0])
        indptr = self.pattern.indptr[begin : end + 1]
        stored = slice(int(indptr[0]), int(indptr[-1]))
        pattern = Topology((end - begin, self.shape[1]), indptr - indptr[0], self.pattern.indices[stored])
        known = None if self.known is None else self.known[stored]
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, pattern=pattern, values=self.values[stored], packed=False, known=known, weight=weight)

    def totals(self, like: Tensor) -> Tensor:
        """Each row's sum before the shift, ``[n_rows, 1]``, on the device and in the dtype of ``like``."""
        sums = np.bincount(self.pattern.rows, self.values, self.shape[0])
        return torch.from_numpy(sums).to(like)[:, None]

    def weighted_totals(self, like: Tensor) -> Tensor:
        """The same of the numbers times their weights, those of rows aside."""
        weighted = self if self.known is None else replace(self, values=self.values * self.known)
        return weighted.totals(like)

    def weights(self, like: Tensor, begin: int = 0, end: int | None = None) -> Tensor | None:
        """Those of the numbers of columns ``begin:end``, to be broadcast; None where all are 1."""
        rows = None if self.weight is None else torch.from_numpy(self.weight).to(like)[:, None]
        if self.known is None:
            return rows
        more = replace(self, values=self.known - np.float32(1), shift=None)
        known = more.tile(begin, self.shape[1] if end is None else end, like).add_(1)
        return known if rows is None else known.mul_(rows)

    def tile(self, begin: int, end: int, like: Tensor) -> Tensor:
        """Columns ``begin:end``, ``[n_rows, end - begin]``, on the device and in the dtype of ``like``."""
        indptr, samples, values = self.columns
        chosen = slice(int(indptr[begin]), int(indptr[end]))
        at = np.repeat(np.arange(end - begin), np.diff(indptr[begin : end + 1]))
        if like.device.type == "cpu":
            rows = torch.zeros(self.shape[0], end - begin, dtype=torch.float32, device="cpu")
            rows.numpy()[samples[chosen], at] = values[chosen]  # torch would want both indices in 64 bits
            rows = rows.to(like)
        else:
            where = np.stack([samples[chosen], at]).astype(np.int64)
            where = torch.from_numpy(where).to(like.device)
            rows = like.new_zeros(self.shape[0], end - begin)
            rows[where[0], where[1]] = torch.from_numpy(values[chosen]).to(like)
        return rows if self.shift is None else rows.sub_(torch.from_numpy(self.shift[begin:end]).to(like))

    def norms(self) -> np.ndarray:
        """Euclidean norm of every column."""
        sums, squares = self.powers()
        if self.shift is not None:
            shift = self.shift.astype(np.float64)
            # In float64: with a large shift the three terms nearly cancel.
            squares = squares - 2 * shift * sums + self.shape[0] * shift**2
        return np.sqrt(np.maximum(squares, 0)).astype(np.float32)

    def variance(self) -> float:
        """Mean over the columns of their variance."""
        sums, squares = self.powers()
        n_rows = max(1, self.shape[0])
        return float(np.mean(np.maximum(squares / n_rows - (sums / n_rows) ** 2, 0)))

    def powers(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the rows of every column's values before the shift, and of their squares, float64."""
        values, columns = self.values.astype(np.float64), self.pattern.indices
        return np.bincount(columns, values, self.shape[1]), np.bincount(columns, values**2, self.shape[1])


class Needs(NamedTuple):
    """Which gradients are needed."""

    layer: bool
    input: bool


class Gradients(NamedTuple):
    """A loss and its gradients; None where one was not needed. ``extras`` are those by what the loss trains itself."""

    loss: Tensor
    values: Tensor | None
    bias: Tensor | None
    input: Tensor | None
    extras: tuple[Tensor, ...] = ()


def rows_of(batch: np.ndarray | sp.csr_matrix, device: torch.device | str = "cpu") -> Tensor | SparseRows:
    """A batch of a source as models on ``device`` take it; a CSR batch that is hardly sparse becomes a dense one."""
    if not sp.issparse(batch):
        return torch.from_numpy(batch).to(device)
    X: sp.csr_matrix = batch  # type: ignore[assignment]
    return torch.from_numpy(X.toarray()).to(device) if hardly_sparse(X) else SparseRows.of(X)


def hardly_sparse(rows: Any) -> bool:
    """Whether products take less time on CSR rows that are written out."""
    decided = ranks().written_out
    if decided is not None:
        return decided
    return rows.nnz > DENSE_ABOVE * rows.shape[0] * rows.shape[1]


def outputs_of(topology: Topology, begin: int, end: int) -> tuple[Topology, slice | Tensor]:
    """Some outputs of a topology, edges one by one, and their slots."""
    single, own = topology.edges
    indptr = single.indptr[begin : end + 1]
    slots = slice(int(indptr[0]), int(indptr[-1]))
    part = Topology((end - begin, topology.shape[1]), indptr - indptr[0], single.indices[slots])
    return part, slots if single is topology else torch.from_numpy(own[slots]).long()

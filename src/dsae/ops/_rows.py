"""A mini-batch of sparse rows on its way into a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from dsae.kernels import lanes_for
from dsae.topology import Topology

# A number of a CSR batch costs a vector for each of its edges, a line of a panel four: docs/design/sparse_input.md.
DENSE_ABOVE = 1 / 16


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows of which most numbers are one and the same: column ``f`` is ``X[:, f] - shift[f]``, ``X`` in CSR form.

    Parameters
    ----------
    pattern : Topology
        Where the numbers of ``X`` are, of shape ``(n_rows, n_features)``.
    values : ndarray of float32, shape (nnz,)
    shift : ndarray of float32, shape (n_features,), optional
    packed : bool
        Whether the layers after the first take panels.
    """

    pattern: Topology
    values: np.ndarray
    shift: np.ndarray | None = None
    packed: bool = False

    @classmethod
    def of(cls, X: sp.csr_matrix) -> SparseRows:
        """The rows of a scipy matrix."""
        if not X.has_canonical_format:
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

    def centred(self, mean: Tensor, scale: Tensor) -> SparseRows:
        """``(x - mean) / scale``."""
        by = scale.numpy()
        return replace(self, values=self.values / by[self.pattern.indices], shift=mean.numpy() / by)

    def dense(self) -> Tensor:
        """All numbers, ``[n_rows, n_features]``."""
        X = sp.csr_matrix((self.values, self.pattern.indices, self.pattern.indptr), shape=self.shape)
        rows = torch.from_numpy(X.toarray())
        return rows if self.shift is None else rows.sub_(torch.from_numpy(self.shift))

    def first(self, n: int) -> SparseRows:
        """The first ``n`` rows, not to be packed."""
        indptr = self.pattern.indptr[: n + 1]
        pattern = Topology((n, self.shape[1]), indptr, self.pattern.indices[: indptr[-1]])
        return replace(self, pattern=pattern, values=self.values[: indptr[-1]], packed=False)

    def tile(self, begin: int, end: int) -> Tensor:
        """Columns ``begin:end``, ``[n_rows, end - begin]``."""
        indptr, samples, values = self.columns
        chosen = slice(int(indptr[begin]), int(indptr[end]))
        rows = torch.zeros(self.shape[0], end - begin)
        at = np.repeat(np.arange(end - begin), np.diff(indptr[begin : end + 1]))
        rows.numpy()[samples[chosen], at] = values[chosen]
        return rows if self.shift is None else rows.sub_(torch.from_numpy(self.shift)[begin:end])

    def norms(self) -> np.ndarray:
        """Euclidean norm of every column."""
        sums, squares = self._powers()
        if self.shift is not None:
            shift = self.shift.astype(np.float64)
            squares = squares - 2 * shift * sums + self.shape[0] * shift**2
        return np.sqrt(np.maximum(squares, 0)).astype(np.float32)

    def variance(self) -> float:
        """Mean over the columns of their variance."""
        sums, squares = self._powers()
        n_rows = max(1, self.shape[0])
        return float(np.mean(np.maximum(squares / n_rows - (sums / n_rows) ** 2, 0)))

    def _powers(self) -> tuple[np.ndarray, np.ndarray]:
        values, columns = self.values.astype(np.float64), self.pattern.indices
        return np.bincount(columns, values, self.shape[1]), np.bincount(columns, values**2, self.shape[1])


class Needs(NamedTuple):
    """Which gradients are asked for."""

    layer: bool
    input: bool


class Gradients(NamedTuple):
    """A loss and what it hands back; None where it was not asked for."""

    loss: Tensor
    values: Tensor | None
    bias: Tensor | None
    input: Tensor | None


def rows_of(batch: np.ndarray | sp.csr_matrix) -> Tensor | SparseRows:
    """A batch of a source as models take it; a CSR batch that is hardly sparse is taken for a dense one."""
    if not sp.issparse(batch):
        return torch.from_numpy(batch)
    X: sp.csr_matrix = batch  # type: ignore[assignment]
    n_rows, width = X.shape  # type: ignore[misc]
    return torch.from_numpy(X.toarray()) if X.nnz > DENSE_ABOVE * n_rows * width else SparseRows.of(X)

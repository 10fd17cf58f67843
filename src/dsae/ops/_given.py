"""A batch as a training step is given it: what the network sees, what it should give, and what counts how much."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from dsae.ops._rows import SparseRows, hardly_sparse, rows_of


@dataclass(frozen=True, eq=False)
class Given:
    """What the network sees of a batch, what it should give, and weights: the loss divides by their sum.

    Parameters
    ----------
    x : Tensor or SparseRows, shape (n_rows, n_features)
    target : Tensor or SparseRows, shape (n_rows, n_outputs), optional
        By default ``x`` itself.
    known : Tensor of shape (n_rows, n_outputs), or ndarray of shape (nnz,), optional
        Weights of the target's values, float32, 0 for those that are not known; of sparse rows those of the stored
        values, beside which the others weigh 1. By default all weigh 1.
    weight : Tensor of float32, shape (n_rows,), optional
        Weights of the rows.

    Notes
    -----
    All numbers are finite, also those of a target that is not known, and no weight is negative.

    Examples
    --------
    >>> seen, rows = torch.zeros(2, 3), torch.ones(2, 3)
    >>> Given(seen, rows, weight=torch.tensor([1.0, 0.5])).size
    4.5
    """

    x: Tensor | SparseRows
    target: Tensor | SparseRows | None = None
    known: Tensor | np.ndarray | None = None
    weight: Tensor | None = None

    @property
    def aim(self) -> Tensor | SparseRows:
        """The target, or ``x`` in its place."""
        return self.x if self.target is None else self.target

    @property
    def kind(self) -> type:
        """What decides how steps on such a batch are computed: whether its rows are dense or sparse."""
        return type(self.x)

    @property
    def n_rows(self) -> int:
        """Rows in the batch."""
        return self.x.shape[0]

    @property
    def weighted(self) -> bool:
        """Whether anything counts more or less than the rest."""
        return self.known is not None or self.weight is not None

    @property
    def size(self) -> float:
        """What the mean loss divides by: the sum of all weights, or 1 where nothing weighs anything."""
        if not self.weighted:
            return max(1, self.n_rows * self.aim.shape[1])
        return float(self.row_sizes.sum()) or 1.0

    @property
    def rows_worth(self) -> float:
        """The sum of all weights in rows of weight 1: what the loss of this batch counts for beside others."""
        return self.n_rows if not self.weighted else float(self.row_sizes.sum()) / max(1, self.aim.shape[1])

    @cached_property
    def row_sizes(self) -> np.ndarray:
        """Sum of the weights of every row's values, float64 ``[n_rows]``."""
        if isinstance(self.aim, SparseRows):
            return self.with_weights(self.aim).row_sizes
        sizes = np.full(self.n_rows, float(self.aim.shape[1]))
        if self.known is not None:
            sizes = self.known.cpu().numpy().sum(1, dtype=np.float64)  # type: ignore[union-attr]
        return sizes if self.weight is None else sizes * self.weight.cpu().numpy()

    def with_weights(self, rows: SparseRows) -> SparseRows:
        """A sparse target, perhaps centred, that holds its weights itself."""
        assert self.known is None or isinstance(self.known, np.ndarray)
        return replace(rows, known=self.known, weight=None if self.weight is None else self.weight.cpu().numpy())

    @property
    def weights(self) -> Tensor | None:
        """Of all values of a dense target, to be broadcast; None where all are 1."""
        assert not isinstance(self.known, np.ndarray)
        rows = None if self.weight is None else self.weight[:, None]
        if self.known is None or rows is None:
            return rows if self.known is None else self.known
        return self.known * rows


def given_of(
    x: Any, target: Any = None, known: Any = None, weight: Any = None, device: torch.device | str = "cpu"
) -> Given:
    """Arrays of a batch as models on ``device`` take them.

    CSR rows that are hardly sparse become dense, as in `rows_of`: the target and what is seen of it together.

    Parameters
    ----------
    x, target : ndarray or csr_matrix of float32
    known : ndarray or csr_matrix of float32, optional
        Weights of the target's values; of a CSR target in canonical format a matrix with its stored places.
    weight : ndarray of float32, shape (n_rows,), optional
    device : torch.device or str
    """
    aim = x if target is None else target
    if sp.issparse(aim) and hardly_sparse(aim) and sp.issparse(x):
        x, target = x.toarray(), None if target is None else target.toarray()
    weights = None if weight is None else torch.from_numpy(np.array(weight, np.float32)).to(device)
    seen, aim = rows_of(x, device), None if target is None else rows_of(target, device)
    if known is None:
        return Given(seen, aim, None, weights)
    if isinstance(seen if aim is None else aim, SparseRows):
        return Given(seen, aim, np.asarray(known.data, np.float32), weights)
    return Given(seen, aim, torch.from_numpy(_written_out(known)).to(device), weights)


def _written_out(known: Any) -> np.ndarray:
    """Weights of all values; those beside stored ones are 1."""
    if not sp.issparse(known):
        return np.ascontiguousarray(known, np.float32)
    beside = known.copy()
    beside.data = known.data - np.float32(1)  # what is not stored is 0 here, and 1 again below
    return beside.toarray() + np.float32(1)

"""Rows of a batch, from all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae import kernels


def taken(rows: Any, chosen: slice | np.ndarray) -> Any:
    """``rows[chosen]``, with what comes next fetched early where the kernels can (docs/design/training_step.md).

    Parameters
    ----------
    rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
    chosen : slice or ndarray of int64
        Numbers of rows, in any order; a slice of dense rows gives a view.

    Examples
    --------
    >>> taken(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([2, 0]))
    array([[4., 5.],
           [0., 1.]], dtype=float32)
    """
    if isinstance(chosen, slice) or not kernels.NATIVE or not _plain(rows):
        return rows[chosen]
    numbers = np.ascontiguousarray(chosen, np.int64)
    if sp.issparse(rows):
        indptr, indices, values = kernels.take_csr(rows.indptr, rows.indices, rows.data, numbers)
        found = type(rows)((values, indices, indptr), (numbers.size, rows.shape[1]))
        found.has_canonical_format = rows.has_canonical_format  # else every batch is looked through for that
        return found
    found = kernels.aligned((numbers.size, rows.shape[1]))
    kernels.take_rows(rows, numbers, found)
    return found


def _plain(rows: Any) -> bool:
    """Whether they lie in memory as kernels read them."""
    if rows.dtype != np.float32 or rows.ndim != 2:
        return False
    arrays = [rows]
    if sp.issparse(rows):
        arrays = [rows.data, rows.indices, rows.indptr]
        if rows.indices.dtype != np.int32 or rows.indptr.dtype != np.int32:
            return False
        if not rows.data.size == rows.indices.size == rows.indptr[-1]:
            return False
    return all(array.flags.c_contiguous and array.flags.aligned for array in arrays)

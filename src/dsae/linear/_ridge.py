"""Every feature from a few others by ridge regression, which are chosen by the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae import kernels
from dsae.config import in_range, positive_int
from dsae.topology import Layer, Topology

_WEIGHTS_AT_ONCE = 1 << 18  # between two looks at Ctrl-C


def sparse_ridge(
    X: sp.csr_matrix,
    n_inputs: int,
    ridge: float,
    *,
    grown: float = 0.0,
    powers: Sequence[float] = (0.5, 0.5),
    unseen: float = 1.0,
    progress: Callable[[int], Any] | None = None,
) -> Layer:
    """A layer that predicts every feature of a row from at most ``n_inputs`` others.

    Output ``j`` reads the features ``S`` and never itself; its weights ``w`` minimise, over all rows,
    ``|x_j - X_S w|^2 + ridge |w|^2``: SLIM with fixed neighbours (Ning & Karypis 2011) in closed form. ``S`` are the
    features with the largest ``(X^T X)_ij / c_i^power``, ``c_i`` being ``(X^T X)_ii``. A share of them, ``grown``,
    comes in a second stage: those with the largest products with what the first ones leave,
    ``|x_i (x_j - X_S w)| / c_i^power``, after which all weights are solved for again. That is the growth of RigL (Evci
    et al. 2020) with the exact solution in place of steps, and orthogonal matching pursuit (Pati et al. 1993) in
    two stages.

    Parameters
    ----------
    X : csr_matrix of float32, shape (n_samples, n_features)
    n_inputs : int
        Inputs of each output, at most: features that share no row with others have fewer.
    ridge : float
        Strength of the penalty, above 0. In the units of ``DeepSparseAutoencoder(l2=)``, whose loss is a mean over rows
        and features, it is ``2 * ridge / (n_samples * n_features)``.
    grown : float
        Share of the inputs that the second stage chooses, in [0, 1).
    powers : two floats
        Of ``c_i`` in either stage: 0 for the most frequent inputs, 1 for the rarest.
    unseen : float
        Weight of the squared errors of an output over rows in which it is zero, beside 1 for the others (Hu, Koren &
        Volinsky 2008, eq. 3): what a user does not have may only be unknown to him.
    progress : callable, optional
        Called with the number of outputs done.

    Returns
    -------
    Layer
        Of shape ``(n_features, n_features)``, without bias. The same on any number of threads, bit for bit.

    Raises
    ------
    ValueError
        If a setting is out of its range.

    Examples
    --------
    >>> X = sp.csr_matrix(np.float32([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]]))
    >>> sparse_ridge(X, 1, ridge=1.0).to_dense().round(2)
    array([[0.  , 0.67, 0.  ],
           [0.5 , 0.  , 0.  ],
           [0.25, 0.  , 0.  ]], dtype=float32)
    """
    positive_int("n_inputs", n_inputs)
    in_range("ridge", ridge, 0, open_low=True)
    in_range("grown", grown, 0, 1)
    in_range("unseen", unseen, 0)
    columns, rows, counts = _both_ways(X)
    n = counts.size
    first = max(1, math.ceil((1 - grown) * n_inputs))
    sizes = np.unique(np.array([first, n_inputs], np.int32))
    scales = np.stack([_scale(counts, power) for power in powers[: sizes.size]])
    height = max(1, _WEIGHTS_AT_ONCE // n_inputs)
    parts = []
    for begin in range(0, n, height):
        size = min(height, n - begin)
        out = np.zeros(size, np.int32), np.zeros(size * n_inputs, np.int32), np.zeros(size * n_inputs, np.float32)
        kernels.ridge(columns, rows, sizes, scales, ridge, unseen, begin, out)
        used = np.arange(n_inputs) < out[0][:, None]
        parts.append((out[0], *(array.reshape(size, n_inputs)[used] for array in out[1:])))
        if progress is not None:
            progress(begin + size)
    found, indices, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    indptr = np.concatenate([[0], np.cumsum(found)]).astype(np.int32)
    return Layer(Topology((n, n), indptr, indices), values, np.zeros(n, np.float32))


def _scale(counts: np.ndarray, power: float) -> np.ndarray:
    return (np.maximum(counts, 1e-30) ** -power).astype(np.float32)


def _both_ways(X: Any) -> tuple[Any, Any, np.ndarray]:
    """Columns and rows as the kernel takes them, and the columns' sums of squares."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    pattern = Topology(X.shape, X.indptr, X.indices)
    by_column, slots = pattern.transpose
    values = np.ascontiguousarray(X.data, np.float32)
    counts = np.bincount(X.indices, np.square(values, dtype=np.float64), X.shape[1])
    return (by_column.indptr, by_column.indices, values[slots]), (pattern.indptr, pattern.indices, values), counts

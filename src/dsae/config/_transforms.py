"""Transforms of rows before they enter the network: one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsae.config._lazy import Lazy

if TYPE_CHECKING:
    import numpy as np
    from scipy import sparse as sp
else:
    np, sp = Lazy("numpy"), Lazy("scipy.sparse")


@dataclass(frozen=True)
class Transform:
    """What happens to values before they are centred; zero stays zero, so that sparse rows stay sparse.

    Parameters
    ----------
    name : str
        Name that users write.
    apply : callable
        ``apply(x, log1p)``: new values from values, an ndarray or a Tensor; ``log1p`` is numpy's or torch's.
    by_total : bool
        Whether rows are first brought to one total.

    Examples
    --------
    >>> transformed(np.array([[0.0, 1.0], [3.0, 1.0]]), "lognormalize", 2.0).round(2).tolist()
    [[0.0, 1.1], [0.92, 0.41]]
    """

    name: str
    apply: Callable[[Any, Callable[[Any], Any]], Any]
    by_total: bool = False


TRANSFORMS = {
    transform.name: transform
    for transform in (
        Transform("none", lambda x, log1p: x),
        Transform("log1p", lambda x, log1p: log1p(x)),
        Transform("lognormalize", lambda x, log1p: log1p(x), by_total=True),
    )
}


def transformed(rows: Any, name: str, total: float) -> Any:
    """Rows as they enter the network, in new arrays.

    Parameters
    ----------
    rows : ndarray or csr_matrix, shape (n_rows, n_features)
    name : str
        A name in `TRANSFORMS`.
    total : float
        What every row is brought to, where the transform does that. Rows of zeros stay what they are.
    """
    record = TRANSFORMS[name]
    if name == "none":
        return rows
    if sp.issparse(rows):
        values = rows.data
        if record.by_total:
            values = values * np.repeat(_factors(rows, total), np.diff(rows.indptr)).astype(values.dtype)
        return sp.csr_matrix((record.apply(values, np.log1p), rows.indices, rows.indptr), shape=rows.shape)
    return record.apply(rows * _factors(rows, total).astype(rows.dtype)[:, None] if record.by_total else rows, np.log1p)


def _factors(rows: Any, total: float) -> np.ndarray:
    totals = np.asarray(rows.sum(axis=1, dtype=np.float64)).ravel()
    return total / np.where(totals > 0, totals, 1.0)  # a row of zeros stays one

"""Rows of users from pairs of a user and an item."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import did_you_mean


class Interactions(NamedTuple):
    """A row for each user, a column for each item.

    Attributes
    ----------
    X : csr_matrix of float32, shape (n_users, n_items)
    users, items : ndarray
        Their ids, in the order of rows and columns.
    """

    X: sp.csr_matrix
    users: np.ndarray
    items: np.ndarray


def interactions(users: Any, items_of: Any, strengths: Any = None, *, items: Any = None) -> Interactions:
    """Rows from a table with a line for each item of a user, as ratings usually come.

    Parameters
    ----------
    users, items_of : array-like, shape (n_pairs,)
        The ids of the user and of the item of each pair. A pair that comes again counts once, or by the sum of its
        strengths.
    strengths : array-like of float, shape (n_pairs,), optional
        By default 1 for each pair.
    items : array-like, shape (n_items,), optional
        The columns, in their order, such as those of a fitted model; by default all that occur, sorted.

    Returns
    -------
    Interactions

    Raises
    ------
    ValueError
        If the lengths differ, or an item is not among ``items``.

    Examples
    --------
    >>> X, users, items = interactions(["ann", "bob", "ann"], ["tea", "tea", "jam"])
    >>> X.toarray(), users.tolist(), items.tolist()
    (array([[1., 1.],
           [0., 1.]], dtype=float32), ['ann', 'bob'], ['jam', 'tea'])
    """
    owners, wanted = np.asarray(users), np.asarray(items_of)
    values = np.ones(owners.size, np.float32) if strengths is None else np.asarray(strengths, np.float32)
    if not owners.shape == wanted.shape == values.shape or owners.ndim != 1:
        raise ValueError(
            f"[interactions] users, items and strengths must be as many; got {owners.size}, {wanted.size} and "
            f"{values.size}."
        )
    rows, at = np.unique(owners, return_inverse=True)
    columns, met = np.unique(wanted, return_inverse=True)
    if items is not None:
        columns, met = np.asarray(items), _places(columns, np.asarray(items))[met]
    X = sp.csr_matrix((values, (at, met)), shape=(rows.size, columns.size), dtype=np.float32)  # adds up repeats
    if strengths is None:
        X.data[:] = 1
    return Interactions(X, rows, columns)


def _places(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where each of the items ``found`` is among those known."""
    place = {item: j for j, item in enumerate(known.tolist())}
    for item in found.tolist():
        if item not in place:
            hint = did_you_mean(item, map(str, known.tolist()))
            raise ValueError(f"[interactions] item must be one of the {known.size} given; got {item!r}.{hint}")
    return np.asarray([place[item] for item in found.tolist()], np.int64)

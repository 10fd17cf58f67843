"""Rows of users from pairs of a user and an item."""

from __future__ import annotations

from numbers import Real
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
        The ids of the user and of the item of each pair, all texts or all numbers. A pair that comes again counts
        once, or by the sum of its strengths.
    strengths : array-like of float, shape (n_pairs,), optional
        At least 0; by default 1 for each pair.
    items : array-like, shape (n_items,), optional
        The columns, in their order, such as those of a fitted model; by default all that occur, sorted. Ids are
        compared as texts: 5 is the item ``"5"``.

    Returns
    -------
    Interactions

    Raises
    ------
    ValueError
        If the lengths differ, an id or a strength is missing, a strength is negative, or an item is not among
        ``items``.
    TypeError
        If ids are texts and numbers mixed, or strengths are no numbers.

    Examples
    --------
    >>> X, users, items = interactions(["ann", "bob", "ann"], ["tea", "tea", "jam"])
    >>> X.toarray(), users.tolist(), items.tolist()
    (array([[1., 1.],
           [0., 1.]], dtype=float32), ['ann', 'bob'], ['jam', 'tea'])
    """
    owners, wanted = _ids("users", users), _ids("items_of", items_of)
    values = np.ones(owners.size, np.float32) if strengths is None else _numbers(strengths)
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
        X.data[:] = 1  # a pair that comes twice is one item
    return Interactions(X, rows, columns)


def _places(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where each of the items ``found`` is among those known."""
    place = {_text(item): j for j, item in enumerate(known.tolist())}
    if len(place) < known.size:
        raise ValueError(f"[interactions] items must be different; got {known.size}, {len(place)} of them different.")
    names = [_text(item) for item in found.tolist()]
    for item, name in zip(found.tolist(), names, strict=True):
        if name not in place:
            hint = did_you_mean(item, place)
            raise ValueError(
                f"[interactions] item must be one of the {known.size} given; got {item!r}.{hint} Leave out the pairs "
                "of other items."
            )
    return np.asarray([place[name] for name in names], np.int64)


def _text(item: Any) -> str:
    """An id as text; 3.0 is 3, since pandas makes columns with gaps into floats."""
    return str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)


def _ids(what: str, given: Any) -> np.ndarray:
    """Ids that can be sorted; None, NaN and a mixture of types, which numpy would turn into text, are refused."""
    if not isinstance(given, (list, tuple)) and not hasattr(given, "__array__"):
        raise TypeError(
            f"[interactions] {what} must be an array or a list of ids; got {type(given).__name__}. Give list({what})."
        )
    ids = np.asarray(given, object) if isinstance(given, (list, tuple)) else np.asarray(given)
    if ids.ndim != 1:
        raise ValueError(f"[interactions] {what} must be a list with an id for each pair; got shape {ids.shape}.")
    if ids.dtype.kind not in "Of":
        return ids
    values = ids.tolist()
    for i, value in enumerate(values):
        if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
            raise ValueError(
                f"[interactions] {what} must hold no missing ids; got {value!r} in pair {i}. Leave such pairs out."
            )
    kinds = {str if isinstance(value, str) else Real if isinstance(value, Real) else type(value) for value in values}
    if len(kinds) > 1:
        found = " and ".join(sorted(kind.__name__ for kind in {type(value) for value in values}))
        raise TypeError(
            f"[interactions] {what} must be all texts or all numbers; got {found}. Make them texts: "
            f"[str(i) for i in {what}]."
        )
    return np.asarray(values)


def _numbers(strengths: Any) -> np.ndarray:
    try:
        found = np.asarray(strengths)
        if found.dtype.kind in "US":  # "4" would be taken as a number
            raise TypeError("they are texts")
        values = found.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"[interactions] strengths must be numbers; got others ({error}). Convert them: "
            "np.asarray(strengths, float)."
        ) from None
    for i in np.flatnonzero(~np.isfinite(values) | (values < 0))[:1].tolist():
        raise ValueError(
            f"[interactions] strengths must be finite and at least 0; got {values[i]:g} in pair {i}. Leave such pairs "
            "out."
        )
    return values

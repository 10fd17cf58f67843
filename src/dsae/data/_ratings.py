"""Items of users who like some groups of items, to measure recommenders at any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import in_range, positive_int

_GROUP = 100  # items in a group, unless the number of groups is given
_SPARE = 1.6  # draws for each item that a user keeps: popular ones come again
_BLOCK = 1 << 22  # draws at a time


def make_ratings(
    n_users: int = 1000,
    n_items: int = 500,
    *,
    per_user: int = 50,
    n_groups: int | None = None,
    own: float = 0.8,
    random_state: Any = None,
) -> sp.csr_matrix:
    """Which items users have: most from two groups that a user likes, the others from any.

    In a group the item of rank ``r`` is drawn in proportion to ``1 / r``. Groups are equally popular, and every
    user draws two of their own, so that users overlap without being copies of a few kinds.

    Parameters
    ----------
    n_users, n_items : int
    per_user : int
        Different items of each user, at most; few users of small catalogues have less.
    n_groups : int, optional
        By default as many as have 100 items each.
    own : float
        Share of the draws that come from a user's own groups, in [0, 1].
    random_state : int, RandomState or None

    Returns
    -------
    csr_matrix of float32, shape (n_users, n_items)
        Ones. Items of a group do not lie side by side.

    Raises
    ------
    ValueError
        If a number is not what it should be, or users would have more items than there are.

    Examples
    --------
    >>> X = make_ratings(200, 1000, per_user=20, random_state=0)
    >>> X.shape, int(X.sum(axis=1).max())
    ((200, 1000), 20)
    """
    from sklearn.utils import check_random_state  # the runtime reads this package and needs no scikit-learn

    for name, value in (("n_users", n_users), ("n_items", n_items), ("per_user", per_user)):
        positive_int(name, value)
    groups = max(1, n_items // _GROUP) if n_groups is None else n_groups
    positive_int("n_groups", groups)
    in_range("own", own, 0, 1)
    if max(per_user, groups) > n_items:
        raise ValueError(
            f"[make_ratings] n_items must be at least per_user and n_groups, {per_user} and {groups}; got {n_items}."
        )
    rng = np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    names = rng.permutation(n_items).astype(np.int32)
    width = n_items // groups  # of a group; the last items of other sizes are in none of their own, but in the rest
    law = np.cumsum(1 / np.arange(1, width + 1))
    height = max(1, int(_BLOCK / (_SPARE * per_user)))
    parts = [
        _block(min(height, n_users - start), per_user, groups, own, law / law[-1], names, rng)
        for start in range(0, n_users, height)
    ]
    return sp.csr_matrix(sp.vstack(parts, format="csr"))


def _block(
    n_users: int, per_user: int, groups: int, own: float, law: np.ndarray, names: np.ndarray, rng: np.random.Generator
) -> sp.csr_matrix:
    shape = (n_users, int(np.ceil(_SPARE * per_user)))
    liked = rng.integers(groups, size=(n_users, 2))
    group = np.take_along_axis(liked, rng.integers(2, size=shape), axis=1)
    group = np.where(rng.random(shape, np.float32) < own, group, rng.integers(groups, size=shape))
    rank = np.searchsorted(law, rng.random(shape))
    found = np.sort(names[group * law.size + rank], axis=1)
    fresh = np.ones(shape, bool)
    fresh[:, 1:] = found[:, 1:] != found[:, :-1]
    # of more different items than wanted, some at random
    keys = np.where(fresh, rng.random(shape, np.float32), 2)
    last = np.partition(keys, per_user - 1, axis=1)[:, per_user - 1 : per_user]
    kept = fresh & (keys <= last)
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    indices = found[kept]
    return sp.csr_matrix((np.ones(indices.size, np.float32), indices, indptr), shape=(n_users, names.size))

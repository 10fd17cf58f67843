"""Rows of users, as the recommender takes, hides and keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import check_not_negative
from dsae.estimators._base import warn
from dsae.topology import Topology

_HIDDEN = 5  # one in so many items, for `score`


def is_list(user: Any) -> bool:
    """Whether one of several users may be given by items; arrays of floats and truth values are rows."""
    if isinstance(user, (list, tuple, set, frozenset)):
        return True
    return not sp.issparse(user) and getattr(user, "ndim", 0) == 1 and user.dtype.kind in "UOiu"


def checked_names(items: Sequence[str], n: int) -> list[str]:
    """Names of ``n`` items as texts, all different."""
    names = [str(item) for item in items]
    if len(names) != n or len(set(names)) != n:
        raise ValueError(
            f"[fit] items must be {n} different names, one for each column of X; got {len(names)}, "
            f"{len(set(names))} of them different."
        )
    return names


def strengths(verb: str, rows: Any, warned: bool = False) -> Any:
    """Rows as CSR without zeros; negative ones and rows without anything are refused."""
    users: Any = sp.csr_matrix(rows, dtype=np.float32, copy=True)
    users.sum_duplicates()
    users.eliminate_zeros()
    if not users.nnz and verb == "fit":
        raise ValueError(f"[fit] X must hold items of users; got {users.shape[0]} rows of zeros.")
    check_not_negative(verb, users)
    if not warned and users.nnz and users.data.max() > 1 and (users.data % 0.5 == 0).all():  # stars or counts
        warn(
            f"[{verb}] X holds values up to {users.data.max():g}, which count as strengths: a rating of 1 is a weak "
            "liking then, not a dislike, and few large counts outweigh the rest. Usually which items a user has is the "
            "better input: X > 0, or X >= 4."
        )
    return users


def without_a_fifth(rows: sp.csr_matrix, random: np.random.RandomState) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Rows without a fifth of their items, and these; one item alone is not hidden."""
    counts = np.diff(rows.indptr)
    owners = np.repeat(np.arange(counts.size), counts)
    order = np.lexsort((random.random_sample(owners.size), owners))  # a random order of each user's items
    place = np.empty(owners.size, np.int64)
    place[order] = np.arange(owners.size) - rows.indptr[owners]
    hide = place < np.where(counts > 1, np.ceil(counts / _HIDDEN), 0)[owners]
    seen, held_out = rows.copy(), rows.copy()
    seen.data[hide], held_out.data[~hide] = 0, 0
    seen.eliminate_zeros()
    held_out.eliminate_zeros()
    return seen, held_out


def as_arrays(users: sp.csr_matrix) -> dict[str, np.ndarray]:
    """CSR rows as a file holds them; values are kept where they are not all 1."""
    held = {"indptr": users.indptr.astype(np.int32), "indices": users.indices.astype(np.int32)}
    return held if (users.data == 1).all() else {**held, "values": users.data}


def as_matrix(learning: Any, n_items: int) -> sp.csr_matrix:
    """The rows that `as_arrays` took apart, read from an untrusted file."""
    try:
        held = learning["users"]
        indptr, indices = held["indptr"], held["indices"]
        pattern = Topology((indptr.size - 1, n_items), indptr, indices)
        values = held.get("values", np.ones(pattern.nnz, np.float32)).astype(np.float32)
        if values.shape != (pattern.nnz,) or not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError("values must be above 0, one for each item of a user")
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(
            f"[load] The users' rows are damaged ({error}). Save what dsae.load reads of the folder over it: the model "
            "is whole, but partial_fit needs all users again."
        ) from None
    return sp.csr_matrix((values, pattern.indices, pattern.indptr), shape=pattern.shape)

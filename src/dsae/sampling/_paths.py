"""Straight lines between codes."""

from __future__ import annotations

import numpy as np

from dsae.config import positive_int


def between(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Codes on the straight way from each code to its partner.

    Parameters
    ----------
    first, second : ndarray, shape (n_pairs, n_components)
    n : int
        At least 2: the ends are the two codes themselves.

    Returns
    -------
    ndarray, shape (n_pairs, n, n_components)

    Raises
    ------
    ValueError
        If there is not one code for each other, or ``n`` is below 2.

    Examples
    --------
    >>> between(np.float32([[0, 4]]), np.float32([[2, 0]]), 3).tolist()
    [[[0.0, 4.0], [1.0, 2.0], [2.0, 0.0]]]
    """
    positive_int("[interpolate] n", n)
    if n < 2:
        raise ValueError(f"[interpolate] n must be at least 2, the two ends; got {n}.")
    if len(first) != len(second):
        raise ValueError(f"[interpolate] a and b must have as many rows; got {len(first)} and {len(second)}.")
    way = np.linspace(0, 1, n, dtype=first.dtype)[:, None]
    return (1 - way) * first[:, None] + way * second[:, None]

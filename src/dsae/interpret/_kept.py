"""The best few rows of each of many groups, found while rows stream by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LAST = np.uint32(0xFFFFFFFF)  # the key of an empty place
_LEAST_PENDING, _MOST_PENDING = 2**18, 2**21  # entries that wait to be sorted in


@dataclass(frozen=True)
class Examples:
    """A few rows of each group: of a latent, or of one of its quantiles.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_groups, n)
        Numbers of rows, the best first; -1 where there are fewer.
    values : ndarray of float32, shape (n_groups, n)
        The latent's value there; NaN where there is none.
    counts : ndarray of int64, shape (n_groups,)
        How many there are of each.
    """

    rows: np.ndarray
    values: np.ndarray
    counts: np.ndarray

    def of(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and values of one group, without the empty places."""
        n = self.counts[group]
        return self.rows[group, :n], self.values[group, :n]


class Kept:
    """For each group the ``n`` entries with the smallest keys; of equal ones those that came first.

    The result does not depend on how entries were cut into calls of `add`. Memory is that of the result and of some
    entries that wait, so that most of the stream is compared with one number and dropped.

    Parameters
    ----------
    n_groups, n : int
    """

    def __init__(self, n_groups: int, n: int) -> None:
        self._keys = np.full((n_groups, n), _LAST)
        self._rows = np.full((n_groups, n), -1, np.int64)
        self._values = np.full((n_groups, n), np.nan, np.float32)
        self._counts = np.zeros(n_groups, np.int64)
        self._pending: list[tuple[np.ndarray, ...]] = []
        self._n_pending = 0
        self._most = min(max(n_groups * n // 4, _LEAST_PENDING), _MOST_PENDING)

    def add(self, groups: np.ndarray, keys: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
        """Entries, in the order of the stream.

        Parameters
        ----------
        groups : ndarray of int, shape (n_entries,)
        keys : ndarray of uint32, shape (n_entries,)
        rows : ndarray of int64, shape (n_entries,)
        values : ndarray of float32, shape (n_entries,)
        """
        keys = np.minimum(keys, _LAST - np.uint32(1))
        better = np.flatnonzero(keys < self._keys[groups, -1])  # an equal key came later
        if better.size:
            self._pending.append((groups[better].astype(np.int64), keys[better], rows[better], values[better]))
            self._n_pending += better.size
        if self._n_pending >= self._most:
            self._sort_in()

    def result(self) -> Examples:
        """What was kept so far."""
        self._sort_in()
        return Examples(self._rows, self._values, self._counts)

    def _sort_in(self) -> None:
        if not self._pending:
            return
        groups, keys, rows, values = map(np.concatenate, zip(*self._pending, strict=True))
        self._pending, self._n_pending = [], 0
        width = self._keys.shape[1]
        touched = np.unique(groups)
        held = np.arange(width) < self._counts[touched, None]
        # What is held came before what is new, which decides between equal keys.
        groups = np.concatenate([np.repeat(touched, self._counts[touched]), groups])
        keys = np.concatenate([self._keys[touched][held], keys])
        rows = np.concatenate([self._rows[touched][held], rows])
        values = np.concatenate([self._values[touched][held], values])
        order = np.argsort(groups.astype(np.uint64) << np.uint64(32) | keys, kind="stable")
        groups = groups[order]
        rank = np.arange(groups.size) - np.searchsorted(groups, groups)
        best = rank < width
        at = groups[best], rank[best]
        for table, entries in ((self._keys, keys), (self._rows, rows), (self._values, values)):
            table[at] = entries[order[best]]
        self._counts[touched] = np.minimum(np.bincount(np.searchsorted(touched, groups)), width)


def by_size(values: np.ndarray) -> np.ndarray:
    """Keys that put large magnitudes first: the bits of a float32 that is not negative are in its order."""
    return np.uint32(0x7FFFFFFF) - np.abs(values.astype(np.float32, copy=False)).view(np.uint32)


def by_chance(numbers: np.ndarray, salt: np.ndarray | int = 0) -> np.ndarray:
    """Random keys, uint64, which the row's number and ``salt`` alone decide (splitmix64, Steele et al. 2014)."""
    z = np.atleast_1d(numbers).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    # Arrays of one, as numpy warns where a single number overflows, which is wanted here.
    z = z + np.atleast_1d(salt).astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sampled(numbers: np.ndarray, n_rows: int, n: int, seed: int = 0) -> np.ndarray:
    """Which rows belong to a random sample of about ``n`` of ``n_rows``; all where there are no more.

    A row's number alone decides, so that every pass and every process finds the same sample.

    Parameters
    ----------
    numbers : ndarray of int64
    n_rows, n : int
    seed : int

    Returns
    -------
    ndarray of bool, of the shape of ``numbers``
    """
    if n >= n_rows:
        return np.ones(np.shape(numbers), bool)
    # Numbers in front of the rows' differ from those in front of latents, which draw examples.
    return by_chance(np.asarray(numbers), -1 - seed) < np.uint64(n / n_rows * 2**64)

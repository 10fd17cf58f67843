"""Random numbers that belong to rows and values of the data: the same in any batch and after any restart."""

from __future__ import annotations

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio, SplitMix64's step
_VALUES, _NORMALS = 1, 1 << 32  # first counters of a row's draws, behind the row's own


def draws(numbers: np.ndarray, seed: int, epoch: int = 0) -> np.ndarray:
    """A random number in [0, 1) for each row, the same in any batch and on any worker.

    Parameters
    ----------
    numbers : ndarray of int, shape (n_rows,)
        Row numbers in the data.
    seed, epoch : int

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        By SplitMix64 (Steele, Lea & Flood 2014) of seed, epoch and row number.

    Examples
    --------
    >>> draws(np.arange(3), seed=0).round(3).tolist()
    [0.883, 0.567, 0.591]
    >>> draws(np.array([2, 0]), seed=0).round(3).tolist()
    [0.591, 0.883]
    """
    return _keys(numbers, seed, epoch) / 2.0**64


class Draws:
    """Random numbers of the values of some rows: a counter of its own for each value, hashed with the row's key.

    Parameters
    ----------
    numbers : ndarray of int, shape (n_rows,)
        Row numbers in the data.
    seed, epoch : int

    Examples
    --------
    >>> all_rows, last = Draws(np.arange(3), seed=0).values(5), Draws(np.array([2]), seed=0).values(5)
    >>> all_rows.shape, bool((all_rows[2] == last[0]).all())
    ((3, 5), True)
    """

    def __init__(self, numbers: np.ndarray, seed: int, epoch: int = 0) -> None:
        self._keys = _keys(numbers, seed, epoch)

    def rows(self) -> np.ndarray:
        """One number in [0, 1) for each row, float64 ``[n_rows]``."""
        return _mixed(self._keys.copy()) / 2.0**64

    def values(self, n_features: int) -> np.ndarray:
        """One number in 0..65535 for each value of dense rows, uint16 ``[n_rows, n_features]``."""
        words = self._words(_VALUES, -(-n_features // 4))
        # So that the same numbers come in either byte order.
        return words.astype("<u8", copy=False).view("<u2")[:, :n_features]

    def stored(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The same numbers of some values alone: of the rows at ``rows``, counted from 0, in ``columns``."""
        words = _mixed(self._keys[rows] + (columns // 4 + _VALUES).astype(np.uint64) * np.uint64(_GOLDEN))
        return (words >> (columns % 4 * 16).astype(np.uint64)).astype(np.uint16)

    def normals(self, n_features: int) -> np.ndarray:
        """One standard normal number for each value, float32 ``[n_rows, n_features]`` (Box & Muller 1958)."""
        words = self._words(_NORMALS, -(-n_features // 2)).astype("<u8", copy=False).view("<u4")
        # Half a step from 0, whose logarithm is infinite.
        uniform = (words.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
        radius, angle = np.sqrt(-2 * np.log(uniform[:, ::2])), uniform[:, 1::2] * np.float32(2 * np.pi)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :n_features]

    def _words(self, first: int, n: int) -> np.ndarray:
        counters = np.arange(first, first + n, dtype=np.uint64) * np.uint64(_GOLDEN)
        return _mixed(self._keys[:, None] + counters)


def _keys(numbers: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    # + 1, or row 0 would draw 0 with seed 0.
    start = ((seed + 1) * _GOLDEN + _mixed_int(epoch)) % 2**64
    return _mixed(np.asarray(numbers).astype(np.uint64) + np.uint64(start))


def _mixed_int(number: int) -> int:
    """0 stays 0."""
    return int(_mixed(np.array([number], dtype=np.uint64))[0])


def _mixed(z: np.ndarray) -> np.ndarray:
    """SplitMix64's last step, which turns counters into random words; in place."""
    shifted = np.empty_like(z)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(z, np.uint64(shift), out=shifted)
        z ^= shifted
        z *= np.uint64(factor)
    np.right_shift(z, np.uint64(31), out=shifted)
    z ^= shifted
    return z

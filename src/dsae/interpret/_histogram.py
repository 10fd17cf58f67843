"""Distributions of all latents at once, in bins that need no range to be known before."""

from __future__ import annotations

import numpy as np

N_BINS = 64
_SHIFT = 21  # of a float32's bits: the exponent and two bits of the mantissa are left, a quarter octave


class Histogram:
    """Counts of magnitudes in bins of a quarter octave, `N_BINS` below the largest of each latent.

    A bin is a float32's exponent and the first two bits of its mantissa, so that finding it is a shift, and its edges
    are exact. The 64 bins reach down to 1/65,536 of a latent's largest value; smaller ones are counted in the lowest.
    Each latent has bins of its own scale, and the result does not depend on the order of the rows.

    Parameters
    ----------
    n_latents : int

    Attributes
    ----------
    counts : ndarray of int64, shape (n_latents, N_BINS)
        Of positive values.
    negative : ndarray of int64, shape (n_latents, N_BINS), or None
        Of negative values, by their magnitude; None as long as there was none.
    """

    def __init__(self, n_latents: int) -> None:
        self._top = np.full(n_latents, -1, np.int64)  # bin of the largest magnitude
        self.counts = np.zeros((n_latents, N_BINS), np.int64)
        self.negative: np.ndarray | None = None

    def add(self, latents: np.ndarray, values: np.ndarray) -> None:
        """Values that are not zero.

        Parameters
        ----------
        latents : ndarray of int, shape (n_values,)
        values : ndarray of float32, shape (n_values,)
        """
        bins = (np.abs(values).view(np.uint32) >> _SHIFT).astype(np.int64)
        top = self._top.copy()
        np.maximum.at(top, latents, bins)
        self._raise(top)
        at = np.maximum(bins - top[latents] + N_BINS - 1, 0)
        below = values < 0
        if below.any():
            if self.negative is None:
                self.negative = np.zeros_like(self.counts)
            np.add.at(self.negative, (latents[below], at[below]), 1)
            latents, at = latents[~below], at[~below]
        np.add.at(self.counts, (latents, at), 1)

    def edges(self, latent: int) -> np.ndarray:
        """Edges of a latent's bins in units of the code, float64 ``[N_BINS + 1]``; zeros if it never fired."""
        return self._edges(np.array([latent]))[0]

    def quantiles(self, q: np.ndarray | list[float]) -> np.ndarray:
        """Quantiles of the magnitudes, interpolated within a bin.

        Parameters
        ----------
        q : array-like of float, shape (n,)
            In [0, 1].

        Returns
        -------
        ndarray of float64, shape (n_latents, n)
            NaN for a latent that never fired.
        """
        counts = self.counts if self.negative is None else self.counts + self.negative
        up_to = np.cumsum(counts, axis=1)
        found = np.full((len(counts), len(q)), np.nan)
        some = np.flatnonzero(up_to[:, -1])
        for i, share in enumerate(q):
            wanted = share * up_to[some, -1]
            at = np.minimum((up_to[some] < wanted[:, None]).sum(axis=1), N_BINS - 1)
            here = counts[some, at]
            before = up_to[some, at] - here
            low, high = self._edge(some, at), self._edge(some, at + 1)
            found[some, i] = low + (high - low) * (wanted - before) / np.maximum(here, 1)
        return found

    def _raise(self, top: np.ndarray) -> None:
        """Move counts down where a larger value than all before needs bins above them."""
        moved = np.flatnonzero((top > self._top) & (self._top >= 0))
        if moved.size:
            to = np.maximum(np.arange(N_BINS) - (top - self._top)[moved, None], 0)
            for counts in (self.counts, self.negative):
                if counts is not None:
                    shifted = np.zeros((moved.size, N_BINS), np.int64)
                    np.add.at(shifted, (np.arange(moved.size)[:, None], to), counts[moved])
                    counts[moved] = shifted
        self._top = top

    def _edges(self, latents: np.ndarray) -> np.ndarray:
        return self._edge(latents[:, None], np.arange(N_BINS + 1)[None, :])

    def _edge(self, latents: np.ndarray, at: np.ndarray) -> np.ndarray:
        bins = np.maximum(self._top[latents] - N_BINS + 1 + at, 0)
        return (bins.astype(np.uint32) << np.uint32(_SHIFT)).view(np.float32).astype(np.float64)

"""What a second pass adds: examples by quantile, and codes of some rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.interpret._codes import Csr
from dsae.interpret._kept import Examples, Kept, by_chance, sampled
from dsae.interpret._partners import Partners, cofiring
from dsae.interpret._summary import Summary, checked

_VALUES_KEPT = 2**24  # of sampled codes: 128 MiB
_PAIRS_COUNTED = 2**29  # updates of co-firing counts; some ten seconds


class Details:
    """Examples from each quantile of each latent, and a sample of codes, from the rows that a `Summary` has seen.

    Which rows are drawn is a function of their numbers and ``seed`` alone.

    Parameters
    ----------
    summary : Summary
    n_quantiles : int
        Parts of equal size into which the firings of a latent are cut, by magnitude.
    per_quantile : int
        Rows drawn from each.
    sample_rows : int
        Rows whose codes are kept, about; fewer where codes are so dense that their pairs would take minutes.
    seed : int

    Attributes
    ----------
    bounds : ndarray of float64, shape (n_components, n_quantiles - 1)
        Magnitudes between the quantiles, from the summary's histograms; NaN for a latent that never fires.

    Examples
    --------
    >>> summary = Summary(2)
    >>> codes = np.float32([[1, 0], [2, 3], [0, 0], [4, 1]])
    >>> summary.update(codes)
    >>> details = Details(summary, n_quantiles=2, per_quantile=1)
    >>> details.update(codes)
    >>> details.quantiles.of(details.group(0, 1))
    (array([3]), array([4.], dtype=float32))
    """

    def __init__(
        self,
        summary: Summary,
        *,
        n_quantiles: int = 5,
        per_quantile: int = 5,
        sample_rows: int = 100_000,
        seed: int = 0,
    ) -> None:
        for name, value in (
            ("n_quantiles", n_quantiles),
            ("per_quantile", per_quantile),
            ("sample_rows", sample_rows),
        ):
            positive_int(f"[Details] {name}", value)
        self.n_quantiles, self.seed, self._summary, self._n_rows = n_quantiles, seed, summary, 0
        self.bounds = summary.histogram.quantiles(np.arange(1, n_quantiles) / n_quantiles)
        self._kept = Kept(summary.n_components * n_quantiles, per_quantile)
        self.sample_rows = min(sample_rows, _affordable(summary))
        self._codes: list[Csr] = []
        self._numbers: list[np.ndarray] = []

    def update(self, codes: Any, numbers: np.ndarray | None = None) -> None:
        """Add rows, the same ones as the summary has seen.

        Parameters
        ----------
        codes : csr_matrix or array-like, shape (n_rows, n_components)
        numbers : ndarray of int64, shape (n_rows,), optional
            As they were given to the summary.

        Raises
        ------
        ValueError
            If codes have another width.
        """
        codes = checked(codes, self._summary.n_components, self._summary.threshold)
        n = codes.shape[0]
        numbers = np.arange(self._n_rows, self._n_rows + n) if numbers is None else np.asarray(numbers)
        self._n_rows += n
        latents, values = codes.indices.astype(np.int64), codes.data
        of = np.repeat(numbers, np.diff(codes.indptr))
        groups = latents * self.n_quantiles + (np.abs(values)[:, None] > self.bounds[latents]).sum(axis=1)
        keys = (by_chance(of, latents + self.seed * self._summary.n_components) >> np.uint64(32)).astype(np.uint32)
        self._kept.add(groups, keys, of, values)
        chosen = sampled(numbers, self._summary.n_rows, self.sample_rows, self.seed)
        if chosen.any():
            self._codes.append(codes[chosen])
            self._numbers.append(numbers[chosen])

    def group(self, latent: int, quantile: int) -> int:
        """The group of `quantiles` that belongs to a latent and a quantile, the weakest being 0."""
        return latent * self.n_quantiles + quantile

    @property
    def quantiles(self) -> Examples:
        """Rows drawn from each quantile of each latent: ``n_components * n_quantiles`` groups."""
        return self._kept.result()

    @cached_property
    def codes(self) -> Csr:
        """Codes of the sampled rows, CSR."""
        if not self._codes:
            return sp.csr_matrix((0, self._summary.n_components), dtype=np.float32)
        return sp.csr_matrix(sp.vstack(self._codes, format="csr"))

    @property
    def numbers(self) -> np.ndarray:
        """Numbers of the sampled rows."""
        return np.concatenate([np.zeros(0, np.int64), *self._numbers])

    def cofiring(self, n: int = 10, *, least: int = 3) -> Partners:
        """Latents that fire together, and that avoid each other, in the sampled rows; see `cofiring`."""
        return cofiring(self.codes, n, least=least)


def _affordable(summary: Summary) -> int:
    """Rows whose codes can be kept and whose pairs of latents can be counted, at least a thousand."""
    width = np.arange(summary.l0.size, dtype=np.float64)
    n = max(summary.n_rows, 1)
    l0, pairs = (summary.l0 * width).sum() / n, (summary.l0 * width**2).sum() / n
    return max(1000, int(min(_VALUES_KEPT / max(l0, 1), _PAIRS_COUNTED / max(pairs, 1))))

"""What one pass over the codes tells about every latent."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsae.interpret._codes import Csr, firing
from dsae.interpret._histogram import Histogram
from dsae.interpret._kept import Examples, Kept, by_size
from dsae.interpret._labels import LabelCounts


class Summary:
    """Rates, moments, distributions, strongest rows and labels of every latent, added batch by batch.

    Nothing here grows with the number of rows, and nothing depends on how rows are cut into batches, bit for bit: sums
    are taken value by value in the order of the rows.

    Parameters
    ----------
    n_components : int
    n_examples : int
        Strongest rows kept of each latent; 0 for none.
    threshold : float
        A latent fires where its magnitude exceeds this; see `dsae.metrics.firing_threshold`.

    Attributes
    ----------
    n_rows : int
    counts : ndarray of int64, shape (n_components,)
        Rows in which each latent fires.
    sums, squares : ndarray of float64, shape (n_components,)
        Of the codes and their squares over all rows, of what does not fire, too.
    l0 : ndarray of int64, shape (n_components + 1,)
        Rows with so many latents firing.
    histogram : Histogram
    labels : LabelCounts or None
        None where no row came with a label.

    Examples
    --------
    >>> summary = Summary(3)
    >>> summary.update([[0.0, 2.0, 1.0], [0.0, 0.0, 3.0]])
    >>> summary.rates, summary.mean_on
    (array([0. , 0.5, 1. ]), array([nan,  2.,  2.]))
    >>> rows, values = summary.strongest.of(2)
    >>> rows, values
    (array([1, 0]), array([3., 1.], dtype=float32))
    """

    def __init__(self, n_components: int, *, n_examples: int = 12, threshold: float = 0.0) -> None:
        self.n_components, self.threshold, self.n_rows = n_components, threshold, 0
        self.counts = np.zeros(n_components, np.int64)
        self.sums, self.squares = np.zeros(n_components), np.zeros(n_components)
        self._sums_on = np.zeros(n_components)
        self._high = np.full(n_components, -np.inf, np.float32)
        self._low = np.full(n_components, np.inf, np.float32)
        self.l0 = np.zeros(n_components + 1, np.int64)
        self.histogram = Histogram(n_components)
        self.labels: LabelCounts | None = None
        self._kept = Kept(n_components, n_examples) if n_examples else None

    def update(self, codes: Any, numbers: np.ndarray | None = None, labels: Any = None) -> None:
        """Add rows.

        Parameters
        ----------
        codes : csr_matrix or array-like, shape (n_rows, n_components)
        numbers : ndarray of int64, shape (n_rows,), optional
            Which rows of the data these are; by default those that follow the ones before.
        labels : array-like, shape (n_rows,), optional
            None or NaN where a row has none. Given for all batches or for none.

        Raises
        ------
        ValueError
            If codes have another width, numbers or labels are not one for each row, or there are too many labels.
        """
        every = checked(codes, self.n_components, 0.0)
        codes, n = firing(every, self.threshold), every.shape[0]
        numbers = np.arange(self.n_rows, self.n_rows + n) if numbers is None else np.asarray(numbers)
        for name, given in (("numbers", numbers), ("labels", labels)):
            if given is not None and len(given) != n:
                raise ValueError(f"[update] {name} must be one for each of {n} rows; got {len(given)}.")
        latents, values = codes.indices.astype(np.intp), codes.data
        rows = np.repeat(np.arange(n), np.diff(codes.indptr))
        exact = values.astype(np.float64)
        # Not bincount: sums by batch would depend on the batches in their last digits.
        np.add.at(self.counts, latents, 1)
        np.add.at(self._sums_on, latents, exact)
        whole = every.data.astype(np.float64)
        np.add.at(self.sums, every.indices.astype(np.intp), whole)
        np.add.at(self.squares, every.indices.astype(np.intp), whole**2)
        np.maximum.at(self._high, latents, values)
        np.minimum.at(self._low, latents, values)
        np.add.at(self.l0, np.diff(codes.indptr), 1)
        self.histogram.add(latents, values)
        if self._kept is not None:
            self._kept.add(latents, by_size(values), numbers[rows], values)
        if labels is not None:
            if self.labels is None:
                self.labels = LabelCounts(self.n_components)
            of = np.repeat(np.arange(n), np.diff(every.indptr))
            self.labels.add(of, every.indices.astype(np.intp), whole, labels, np.abs(every.data) > self.threshold)
        self.n_rows += n

    @property
    def rates(self) -> np.ndarray:
        """Share of the rows in which each latent fires, float64 ``[n_components]``."""
        return self.counts / max(self.n_rows, 1)

    @property
    def mean(self) -> np.ndarray:
        """Mean code over all rows, float64 ``[n_components]``."""
        return self.sums / max(self.n_rows, 1)

    @property
    def mean_on(self) -> np.ndarray:
        """Mean where a latent fires; NaN if it never does."""
        return self._sums_on / np.where(self.counts > 0, self.counts, np.nan)

    @property
    def rms(self) -> np.ndarray:
        """Root of ``E[z^2]`` over all rows, float64 ``[n_components]``."""
        return np.sqrt(self.squares / max(self.n_rows, 1))

    @property
    def highest(self) -> np.ndarray:
        """Largest value where a latent fires, float32 ``[n_components]``; NaN if it never does."""
        return np.where(self.counts > 0, self._high, np.float32(np.nan))

    @property
    def lowest(self) -> np.ndarray:
        """Smallest value where a latent fires, float32 ``[n_components]``; NaN if it never does."""
        return np.where(self.counts > 0, self._low, np.float32(np.nan))

    @property
    def strongest(self) -> Examples:
        """The rows with the largest magnitude of each latent; none in which it is off."""
        if self._kept is None:
            raise ValueError("[strongest] Summary must keep examples; got n_examples=0.")
        return self._kept.result()

    def energy(self, norms: np.ndarray) -> np.ndarray:
        """``E[z_i^2] |D_i|^2``: how much a latent adds, whatever the scale of its code.

        Parameters
        ----------
        norms : ndarray of float64, shape (n_components,)
            Of the atoms.

        Returns
        -------
        ndarray of float64, shape (n_components,)
        """
        return self.squares / max(self.n_rows, 1) * np.square(norms)


def checked(codes: Any, n_components: int, threshold: float) -> Csr:
    """What fires in codes of a known width."""
    codes = firing(codes, threshold)
    if codes.shape[1] != n_components:
        raise ValueError(f"[update] codes must have {n_components} columns, one per latent; got shape {codes.shape}.")
    return codes

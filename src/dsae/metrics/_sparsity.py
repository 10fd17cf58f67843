"""Sparsity of weights and codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dsae.config import activation_of
from dsae.topology import Layer


def densities(layers: Mapping[str, Layer]) -> dict[str, float]:
    """Active share of the weights of each layer; biases are not weights.

    Parameters
    ----------
    layers : mapping of str to Layer

    Examples
    --------
    >>> from dsae.topology import Topology
    >>> densities({"encoder.0": Layer(Topology.from_mask([[1, 0]]), np.ones(1), np.zeros(1))})
    {'encoder.0': 0.5}
    """
    return {name: layer.topology.density for name, layer in layers.items()}


def firing_threshold(code_activation: str, n_components: int) -> float:
    """The magnitude above which a latent counts as firing.

    0 where the activation makes exact zeros, and for ``identity`` codes (the field's L0). Sigmoid and softmax
    codes have no zeros: a sigmoid unit fires above 0.5, nearer to its on-state than to its off-state; a
    softmax unit above ``1 / n_components``, its share when all are equal.

    Parameters
    ----------
    code_activation : str
        As in `AutoencoderConfig`.
    n_components : int

    Examples
    --------
    >>> firing_threshold("relu", 10), firing_threshold("sigmoid", 10), firing_threshold("softmax", 10)
    (0.0, 0.5, 0.1)
    """
    return activation_of(code_activation).fires_above(n_components)


class CodeActivity:
    """Which latents fire, how often, and how many at once; fed batch by batch.

    Parameters
    ----------
    threshold : float
        A latent fires in a row where its magnitude exceeds this; see `firing_threshold`.

    Examples
    --------
    >>> activity = CodeActivity()
    >>> activity.update([[0.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
    >>> activity.rates
    array([0. , 0.5, 1. ])
    >>> activity.result()
    {'n_samples': 2, 'mean_l0': 1.5, 'median_l0': 1, 'p90_l0': 2, 'dead_latents': 1, 'constant_latents': 2}
    """

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = threshold
        self.n_samples = 0
        self._fired = self._l0 = np.zeros(0, np.int64)
        self._low = self._high = np.zeros(0)

    def update(self, codes) -> None:
        """Add codes.

        Parameters
        ----------
        codes : array-like, shape (n_samples, n_components)

        Raises
        ------
        ValueError
            If their widths differ.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or (self.n_samples and codes.shape[1] != self._fired.size):
            width = f", {self._fired.size} wide as before" if self.n_samples else ""
            raise ValueError(f"[update] codes must be 2-D, [n_samples, n_components]{width}; got shape {codes.shape}.")
        if not codes.shape[0]:
            return
        fired = np.abs(codes) > self.threshold
        l0 = np.bincount(fired.sum(axis=1), minlength=codes.shape[1] + 1)
        self._join(codes.shape[0], fired.sum(axis=0), l0, codes.min(axis=0), codes.max(axis=0))

    def add(self, other: CodeActivity) -> None:
        """Add the codes that another one has seen, of the same width."""
        if other.n_samples:
            self._join(other.n_samples, other._fired, other._l0, other._low, other._high)

    def _join(self, n: int, fired: np.ndarray, l0: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        if self.n_samples:
            self._fired, self._l0 = self._fired + fired, self._l0 + l0
            self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        else:
            self._fired, self._l0, self._low, self._high = fired, l0, low, high
        self.n_samples += n

    @property
    def rates(self) -> np.ndarray:
        """Share of the rows in which each latent fired, float64 ``[n_components]``."""
        return self._fired / max(self.n_samples, 1)

    def result(self) -> dict[str, float]:
        """Totals over all rows so far.

        Returns
        -------
        dict
            ``n_samples``; ``mean_l0``, ``median_l0`` and ``p90_l0`` of the latents firing per row;
            ``dead_latents``, which never fired in these rows; ``constant_latents``, which never changed and so carry
            no information.

        Raises
        ------
        ValueError
            If there were no rows.
        """
        if not self.n_samples:
            raise ValueError("[result] No codes were given; call update first.")
        return {
            "n_samples": self.n_samples,
            "mean_l0": float(self._fired.sum() / self.n_samples),
            "median_l0": self._quantile(0.5),
            "p90_l0": self._quantile(0.9),
            "dead_latents": int((self._fired == 0).sum()),
            "constant_latents": int((self._low == self._high).sum()),
        }

    def _quantile(self, q: float) -> int:
        # A histogram holds all of them in one number per latent.
        return int(np.searchsorted(np.cumsum(self._l0), q * self.n_samples))


def activation_rates(codes, threshold: float = 0.0) -> np.ndarray:
    """Share of the rows in which each latent fires, float64 ``[n_components]``; see `CodeActivity`."""
    return _activity(codes, threshold).rates


def mean_l0(codes, threshold: float = 0.0) -> float:
    """Latents firing per row, mean over rows.

    Examples
    --------
    >>> mean_l0([[0.0, 2.0], [1.0, -1.0]])
    1.5
    """
    return float(_activity(codes, threshold).result()["mean_l0"])


def dead_latents(codes, threshold: float = 0.0) -> int:
    """Latents that fire in none of the rows; report it with the number of rows."""
    return int(_activity(codes, threshold).result()["dead_latents"])


def _activity(codes, threshold: float) -> CodeActivity:
    activity = CodeActivity(threshold)
    activity.update(codes)
    return activity

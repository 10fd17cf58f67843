"""Baselines of a comparison: PCA, a narrower dense network, and BLAS."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA

from dsae.config import AutoencoderConfig
from dsae.data import ArraySource, check_rows, filled
from dsae.runtime import Runtime


class LinearModel:
    """PCA with the interface of a `Runtime`.

    Parameters
    ----------
    mean, scale : ndarray of float32, shape (n_features,)
        Subtracted from rows, and their divisor.
    components : ndarray of float32, shape (n_components, n_features)
        Orthonormal.
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray, components: np.ndarray) -> None:
        self.mean, self.scale, self.components = mean, scale, components
        self.config = AutoencoderConfig(mean.size, components.shape[0])
        self._weights = (components / scale).T.copy()  # contiguous, as the product wants it
        self._bias = -mean @ self._weights

    @classmethod
    def fit(cls, X: Any, n_components: int, *, scale: bool = False, seed: int = 0) -> LinearModel:
        """The best linear code of ``X``; a CSR matrix is centred implicitly and stays sparse."""
        mean, deviation = ArraySource(X).moments()
        X = filled(X, mean)  # PCA's own way to leave out a value
        by = np.where(deviation > 0, deviation, 1).astype(np.float32) if scale else np.ones_like(mean)
        rows: Any = X.multiply(1 / by).tocsr() if sp.issparse(X) else X / by
        sparse = sp.issparse(X)
        pca = PCA(
            min(n_components, min(X.shape) - sparse),  # arpack finds fewer than all
            svd_solver="arpack" if sparse else "auto",
            random_state=seed,
        )
        pca.fit(rows)
        return cls(mean, by, np.asarray(pca.components_, np.float32))

    @property
    def sizes(self) -> dict[str, float]:
        """As `dsae.metrics.sizes`: one orthonormal matrix encodes and decodes; scaling needs a second."""
        scaled = self._weights.nbytes + self.scale.nbytes if (self.scale != 1).any() else 0
        return {
            "density": 1.0,
            "nnz": self.components.size,
            "parameters": self.components.size + self.mean.size,
            "multiply_adds": 2 * self.components.size,
            "bytes_in_memory": self.components.nbytes + self.mean.nbytes + scaled,
        }

    def save(self, folder: Path) -> Path:
        """Write the arrays as an ``.npz`` file."""
        path = folder.with_suffix(".npz")
        np.savez(path, mean=self.mean, scale=self.scale, components=self.components)
        return path

    def encode(self, X: Any) -> np.ndarray:
        """Codes of rows."""
        rows = filled(check_rows("encode", X, self.mean.size, missing="mask"), self.mean)
        return np.asarray(rows @ self._weights + self._bias)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Rows from codes."""
        return (codes @ self.components) * self.scale + self.mean

    def reconstruct(self, X: Any) -> np.ndarray:
        """``decode(encode(X))``."""
        return self.decode(self.encode(X))


def narrow_widths(
    config: AutoencoderConfig, n_parameters: int, *, floor: int | None = None
) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Widths of the dense network with the shape of ``config`` and about ``n_parameters`` weights and biases.

    All hidden layers shrink by one factor, down to ``n_parameters`` but not below. Without hidden layers, the
    code shrinks.

    Parameters
    ----------
    config : AutoencoderConfig
    n_parameters : int
        Weights and biases.
    floor : int, optional
        Least width of a hidden layer; by default the width of the code, since a narrower layer would be a bottleneck
        before the code. If even that has too many parameters, there is no floor.

    Returns
    -------
    hidden_layer_sizes, n_components, decoder_layer_sizes : tuple of int, int, tuple of int

    Examples
    --------
    >>> config = AutoencoderConfig(n_features=784, n_components=30, hidden_layer_sizes=(1000, 500))
    >>> narrow_widths(config, 130_000)
    ((77, 39), 30, (39, 77))
    """
    hidden, decoder, code = config.encoder_widths[1:-1], config.decoder_widths[1:-1], config.n_components
    least = code if floor is None else floor

    def shrunk(factor: float) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        def width(w: int) -> int:
            return max(min(least, w), round(factor * w), 1)

        if not hidden and not decoder:  # then only a narrower code is smaller
            return (), max(1, round(factor * code)), ()
        return tuple(map(width, hidden)), code, tuple(map(width, decoder))

    # A twin with more parameters than the DSA would be no narrow twin.
    if least > 1 and _dense_parameters(config, *shrunk(0.0)) > n_parameters:
        return narrow_widths(config, n_parameters, floor=1)
    low, high = 0.0, 1.0
    while high - low > 1e-7:  # finer than one unit of a million
        middle = (low + high) / 2
        if _dense_parameters(config, *shrunk(middle)) < n_parameters:
            low = middle
        else:
            high = middle
    return shrunk(high)


def _dense_parameters(config: AutoencoderConfig, hidden: tuple, code: int, decoder: tuple) -> int:
    widths = (config.n_features, *hidden, code, *decoder, config.n_features)
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))


class DenseEncoder:
    """The encoder of a dense model by numpy's (BLAS) matrix products.

    Parameters
    ----------
    runtime : Runtime
        All of whose encoder layers are full.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        encoder = {name: layer for name, layer in runtime.layers.items() if name.startswith("encoder.")}
        self._weights = {name: (layer.to_dense().T, layer.bias) for name, layer in encoder.items()}

    def encode(self, X: Any) -> np.ndarray:
        """Codes of rows, equal to the runtime's up to rounding."""
        runtime = self._runtime
        x: Any = runtime.filled(check_rows("encode", X, runtime.config.n_features, missing=runtime.missing))
        for name, (weights, bias) in self._weights.items():
            x = np.asarray(x @ weights) + bias
            self._runtime.activate(name, x)
        return x

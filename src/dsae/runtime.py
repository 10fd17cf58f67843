"""What users ship: a trained model on numpy and the compiled kernels alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from dsae import kernels, store
from dsae.config import AutoencoderConfig
from dsae.data import Rows, check_rows
from dsae.topology import Layer

_ROWS_AT_ONCE = 1024


class Runtime:
    """Encodes, decodes and reconstructs; never imports torch.

    Parameters
    ----------
    model : dsae.store.Model

    Examples
    --------
    >>> runtime = dsae.load("model/")                                                   # doctest: +SKIP
    >>> codes = runtime.encode(X)                                                       # doctest: +SKIP
    """

    def __init__(self, model: store.Model) -> None:
        self.model = model

    @property
    def config(self) -> AutoencoderConfig:
        """The architecture."""
        return self.model.config

    @property
    def layers(self) -> dict[str, Layer]:
        """The weights by layer name, from the input to the output."""
        return self.model.layers

    def encode(self, X: Any) -> np.ndarray:
        """Codes of rows.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)

        Raises
        ------
        ValueError
            If ``X`` is not finite rows of the model's width.
        """
        return self._run("encode", "encoder", check_rows("encode", X, self.config.n_features))

    def decode(self, codes: Any) -> np.ndarray:
        """Rows from codes, the reverse of `encode`: float32 ``[n_samples, n_features]``."""
        return self._run("decode", "decoder", check_rows("decode", codes, self.config.n_components, "the code's width"))

    def reconstruct(self, X: Any) -> np.ndarray:
        """``decode(encode(X))`` in one pass: float32 ``[n_samples, n_features]``."""
        return self._run("reconstruct", "", check_rows("reconstruct", X, self.config.n_features))

    def save(self, folder: str | Path) -> Path:
        """Write the model folder; see `dsae.store.write`."""
        return store.write(folder, self.model)

    def _run(self, verb: str, half: str, rows: Rows) -> np.ndarray:
        names = [name for name in self.layers if name.startswith(half)]
        out = np.empty((rows.shape[0], self.layers[names[-1]].topology.shape[0]), np.float32)
        if rows.shape[0] == 1:
            out[0] = self._run_one(names, _dense(rows)[0])
            return out
        for chunk in _chunks(rows.shape[0]):
            self._run_panels(names, rows[chunk], out[chunk])
        return out

    def _run_panels(self, names: list[str], rows: Rows, out: np.ndarray) -> None:
        n = rows.shape[0]
        x = kernels.empty_panels(n, rows.shape[1])
        if sp.issparse(rows):
            kernels.pack_csr(rows.indptr, rows.indices, rows.data, x)
        else:
            kernels.pack(rows, x)
        for name in names:
            topology, values, bias = self.layers[name]
            y = kernels.aligned((x.shape[0], topology.shape[0], x.shape[2]))
            kernels.spmm(topology.indptr, topology.indices, values, bias, x, y)
            x = self._activate(name, y, axis=1)
        kernels.unpack(np.ascontiguousarray(x), out)

    def _run_one(self, names: list[str], x: np.ndarray) -> np.ndarray:
        for name in names:
            topology, values, bias = self.layers[name]
            y = np.empty(topology.shape[0], np.float32)
            kernels.spmv(topology.indptr, topology.indices, values, bias, x, y)
            x = self._activate(name, y, axis=0)
        return x

    def _activate(self, name: str, z: np.ndarray, axis: int) -> np.ndarray:
        activation = self.config.activations[name]
        if activation == "topk":
            return topk(z, self.config.k or 0, axis)
        if activation in ("batchtopk", "jumprelu"):
            assert self.model.threshold is not None
            threshold = self.model.threshold[:, None] if axis == 1 else self.model.threshold
            return np.where(z > threshold, z, np.float32(0))
        return ACTIVATIONS[activation](z, axis)


def load(folder: str | Path) -> Runtime:
    """The model in ``folder``, ready to use without torch.

    Raises
    ------
    ValueError
        If the folder is not a whole model of a known format.
    """
    return Runtime(store.read(folder))


def _chunks(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, n_rows, _ROWS_AT_ONCE))


def _dense(rows: Rows) -> np.ndarray:
    return rows.toarray() if sp.issparse(rows) else rows


def _softmax(z: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def topk(z: np.ndarray, k: int, axis: int) -> np.ndarray:
    """The ``k`` largest along ``axis`` where positive, zero elsewhere (Gao et al. 2024); ties go to the lower index."""
    if k >= z.shape[axis]:
        return np.maximum(z, 0)
    order = np.argsort(-z, axis=axis, kind="stable")
    best = np.take(order, range(k), axis=axis)
    code = np.zeros_like(z)
    np.put_along_axis(code, best, np.maximum(np.take_along_axis(z, best, axis), 0), axis)
    return code


ACTIVATIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "identity": lambda z, axis: z,
    "relu": lambda z, axis: np.maximum(z, np.float32(0)),
    "sigmoid": lambda z, axis: expit(z),
    "softmax": _softmax,
}

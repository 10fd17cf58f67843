"""What users ship: a trained model on numpy and the compiled kernels alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae import kernels, store
from dsae.config import AutoencoderConfig
from dsae.data import as_rows, check_finite
from dsae.topology import Layer


class Runtime:
    """Encodes, decodes and reconstructs; never imports torch. Threads may share one.

    Parameters
    ----------
    model : dsae.store.Model
        Its arrays are used where they are; do not change them.

    Examples
    --------
    >>> runtime = dsae.load("model/")                                                   # doctest: +SKIP
    >>> codes = runtime.encode(X)                                                       # doctest: +SKIP
    """

    def __init__(self, model: store.Model) -> None:
        self.model = model

    def __repr__(self) -> str:
        c, m = self.config, self.model
        widths = "-".join(str(width) for width in (*c.encoder_widths, *c.decoder_widths[1:]))
        size = sum(a.nbytes for t, values, bias in self.layers.values() for a in (t.indptr, t.indices, values, bias))
        code = f"{c.code_activation} code"
        return f"Runtime({widths}, {code}, density {m.density:.3g}, {m.nnz:,} weights, {size:,} bytes)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Runtime, (self.model,)

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
        return self._run("encode", X, 0, self._n_encoder)

    def decode(self, codes: Any) -> np.ndarray:
        """Rows from codes, the reverse of `encode`: float32 ``[n_samples, n_features]``.

        Codes that are mostly zeros, in an array or a scipy CSR matrix, cost the columns of their non-zeros only.
        """
        return self._run("decode", codes, self._n_encoder, len(self.layers), "the code's width")

    def reconstruct(self, X: Any) -> np.ndarray:
        """``decode(encode(X))`` as float32 ``[n_samples, n_features]``."""
        if self.config.code_activation in ("batchtopk", "jumprelu"):  # whose zeros are counted between the halves
            return self.decode(self._run("reconstruct", X, 0, self._n_encoder))
        return self._run("reconstruct", X, 0, len(self.layers))

    def save(self, folder: str | Path) -> Path:
        """Write the model folder; see `dsae.store.write`."""
        return store.write(folder, self.model)

    @cached_property
    def _n_encoder(self) -> int:
        return sum(name.startswith("encoder") for name in self.layers)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        return (self.config.n_features, *(layer.topology.shape[0] for layer in self.layers.values()))

    @cached_property
    def _network(self) -> Any:
        network = kernels.Network()
        for name, (topology, values, bias) in self.layers.items():
            arrays = (topology.indptr, topology.indices, values, bias)
            network.add(*arrays, topology.shape[1], *self._activation(name))
        return network

    def _activation(self, name: str) -> tuple[str, int, np.ndarray | None]:
        kind = self.config.activations[name]
        return kind, self.config.k or 0, self.model.threshold if kind in ("batchtopk", "jumprelu") else None

    def _activate(self, name: str, rows: np.ndarray) -> None:
        kernels.activate(rows, *self._activation(name))

    def _run(self, verb: str, X: Any, begin: int, end: int, what: str = "the model's input width") -> np.ndarray:
        n_in, n_out = self._widths[begin], self._widths[end]
        rows = as_rows(verb, X, n_in, what)
        out = np.empty((rows.shape[0], n_out), np.float32)
        if sp.issparse(rows):
            finite = self._network.run_csr(begin, end, rows.indptr, rows.indices, rows.data, out)
        else:
            finite = self._network.run(begin, end, rows, out)
        if not finite:
            check_finite(verb, rows)
        return out


def load(folder: str | Path) -> Runtime:
    """The model in ``folder``, ready to use without torch.

    Raises
    ------
    ValueError
        If the folder is not a whole model of a known format.
    """
    return Runtime(store.read(folder))

"""Codes of rows, and rows from codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from dsae import store
from dsae.config import ACTIVATIONS, has_exposure, positive_int
from dsae.data import check_rows
from dsae.runtime._layers import Layers, chunks


class Codec(Layers):
    """The verbs of a `Runtime` that lead from rows to codes and back; all others are made of these."""

    def __init__(self, model: store.Model, dtype: Any = np.float32) -> None:
        super().__init__(model, dtype)
        self._other: Self | None = None

    def encode(self, X: Any, *, k: int | None = None, sparse_output: bool = False) -> Any:
        """Codes of rows.

        Parameters
        ----------
        X : array-like, DataFrame, scipy sparse or an object of another library, shape (n_samples, n_features)
            Of AnnData, a Hugging Face data set, or a data set or loader of torch: see `dsae.data.source_of`.
        k : int, optional
            Non-zeros per code, in place of those trained for: topk codes keep the ``k`` largest latents, batchtopk and
            jumprelu codes at most ``k`` of those above their threshold.
        sparse_output : bool
            Whether codes are a CSR matrix, made a few rows at a time and never dense as a whole.

        Returns
        -------
        ndarray or csr_matrix of the runtime's dtype, shape (n_samples, n_components)

        Raises
        ------
        ValueError
            If ``X`` is not finite rows of the model's width, or the code has no ``k`` or a smaller width.
        """
        if k is not None:
            self._check_k(k)
        if not sparse_output:
            return self._codes(X, k)
        rows = check_rows("encode", X, self.config.n_features, missing=self.missing)
        pieces = chunks(rows, self.config.n_components)
        return sp.vstack([sp.csr_matrix(self._codes(chunk, k)) for chunk in pieces], format="csr")

    def decode(self, codes: Any) -> np.ndarray:
        """Rows from codes, the reverse of `encode`: ``[n_samples, n_features]`` of the runtime's dtype.

        Codes that are mostly zeros, in an array or a scipy CSR matrix, cost only the columns of their non-zeros. A
        model that was fitted to a target gives the columns of that.
        """
        return self._run("decode", codes, self._n_encoder, len(self.layers), "the code's width")

    def reconstruct(self, X: Any) -> np.ndarray:
        """``decode(encode(X))``, ``[n_samples, n_features]`` of the runtime's dtype.

        For a loss with exposure (`dsae.config.Loss`), times the totals of the rows. A model that was fitted to a target
        gives what it predicts of that, ``[n_samples, n_outputs]``.
        """
        if has_exposure(self.loss):
            X = check_rows("reconstruct", X, self.config.n_features, missing=self.missing)
            return self.exposed(self.decode(self._codes(X, None)), X)
        if self.config.code.threshold:  # its zeros are counted between encoder and decoder
            return self.decode(self._run("reconstruct", X, 0, self._n_encoder))
        return self._run("reconstruct", X, 0, len(self.layers))

    def _check_k(self, k: Any) -> None:
        if not self.config.code.takes_k:
            counted = ", ".join(name for name, activation in ACTIVATIONS.items() if activation.takes_k)
            raise ValueError(f"[encode] k is for {counted} codes; got k={k!r} with {self.config.code_activation!r}.")
        positive_int("[encode] k", k)
        if k > self.config.n_components:
            raise ValueError(f"[encode] k must be at most {self.config.n_components}, the width of the code; got {k}.")

    def _codes(self, X: Any, k: int | None) -> np.ndarray:
        if k is None or not self.config.code.by_row:
            codes = self._run("encode", X, 0, self._n_encoder)
            if k is not None:
                self._kernels.activate(codes, ACTIVATIONS["topk"].kernel, int(k), None)
            return codes
        return self._with_k(int(k))._codes(X, None)

    def _with_k(self, k: int) -> Self:
        """The same weights with longer or shorter topk codes; the latest is kept."""
        other = self._other  # read once: another thread may request another k meanwhile
        if other is None or other.config.k != k:
            other = self._other = type(self)(replace(self.model, config=self.config.replace(k=k)), self.dtype)
        return other

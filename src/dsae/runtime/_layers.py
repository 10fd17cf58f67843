"""Rows through the layers of a model, on numpy and the compiled kernels alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae import kernels, store
from dsae.config import (
    ACTIVATIONS,
    LOSSES,
    AutoencoderConfig,
    exposed,
    exposed_by_known,
    has_exposure,
    one_of,
    transformed,
)
from dsae.data import Rows, as_numbers, check_finite, check_rows, filled, rows_of
from dsae.topology import Layer

_VALUES_AT_ONCE = 2**20  # 8 MiB of float64 errors


class Layers:
    """What a `Runtime` computes with: checked rows in, the outputs of some of the layers out."""

    def __init__(self, model: store.Model, dtype: Any) -> None:
        self.model, self.dtype = model, np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"[Runtime] dtype must be float32 or float64; got {self.dtype}.")

    @property
    def config(self) -> AutoencoderConfig:
        """The architecture."""
        return self.model.config

    @property
    def layers(self) -> dict[str, Layer]:
        """The weights by layer name, from the input to the output."""
        return self.model.layers

    @property
    def missing(self) -> str:
        """Whether NaN in rows is refused, ``"error"``, or a value that is not known, ``"mask"``."""
        return "error" if self.model.inputs is None else self.config.missing

    @property
    def loss(self) -> str:
        """The loss it was trained with; ``"mse"`` if the model does not record it."""
        return self.model.training.get("loss", "mse")

    def filled(self, rows: Rows) -> Rows:
        """Rows with the mean of their feature in place of NaN, if the model takes it: what encoding sees."""
        return rows if self.model.inputs is None else filled(rows, self.model.inputs.mean, has_exposure(self.loss))

    def exposed(self, output: np.ndarray, rows: Rows) -> np.ndarray:
        """A decoder's output times the totals of ``rows``, for a loss with exposure.

        Where values are not known, the total is that of the rows with the usual counts in their place; where outputs
        are shares, that at which the known ones have the known total.

        Parameters
        ----------
        output : ndarray of float32, shape (n_samples, n_features)
        rows : ndarray or csr_matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features)
        """
        if len(output) != rows.shape[0]:
            raise ValueError(f"[exposed] output must have a row for each of {rows.shape[0]} rows; got {len(output)}.")
        if not LOSSES[self.loss].couples_outputs or self.model.inputs is None:
            return exposed(output, self.filled(rows))
        return exposed_by_known(output, rows)

    @cached_property
    def _n_encoder(self) -> int:
        return sum(name.startswith("encoder") for name in self.layers)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        return (self.config.n_features, *(layer.topology.shape[0] for layer in self.layers.values()))

    @cached_property
    def _kernels(self) -> Any:
        used = {ACTIVATIONS[kind] for kind in self.config.activations.values()}
        compiled = all(activation.kernel is not None for activation in used)
        return kernels if self.dtype == np.float32 and compiled else kernels.reference

    @cached_property
    def _network(self) -> Any:
        network = self._kernels.Network()
        for name, (topology, values, bias) in self.layers.items():
            arrays = (topology.indptr, topology.indices, values, bias)
            network.add(*arrays, topology.shape[1], *self._activation(name), topology.block_size)
        return network

    def _activation(self, name: str) -> tuple[Any, int, np.ndarray | None]:
        kind = ACTIVATIONS[self.config.activations[name]]
        number = kind.kernel if self._kernels is kernels else kind
        return number, self.config.k or 0, self.model.threshold if kind.threshold else None

    def activate(self, name: str, rows: np.ndarray) -> None:
        """Apply the activation of the layer ``name`` to its outputs ``rows [n_samples, n_out]``, in place."""
        one_of("[activate] name", name, self.layers)
        self._kernels.activate(rows, *self._activation(name))

    @cached_property
    def _starts_with_itself(self) -> bool:
        """Whether the code is the row itself: sparse rows then go straight to the decoder, which leaves out zeros."""
        (topology, values, bias), n = self.layers["encoder.0"], self.config.n_features
        return (
            self._n_encoder == 1
            and self.config.code_activation == "identity"
            and topology.shape == (n, n)
            and topology.block_size == 1
            and np.array_equal(topology.indptr, np.arange(n + 1))
            and np.array_equal(topology.indices, np.arange(n))
            and bool((values == 1).all() and (bias == 0).all())
        )

    def _run(self, verb: str, X: Any, begin: int, end: int, what: str = "the model's input width") -> np.ndarray:
        n_in, n_out = self._widths[begin], self._widths[end]
        X = rows_of(verb, X)
        rows: Any = check_rows(verb, X, n_in, what, finite=False)
        missing = self.missing if begin == 0 else None
        if self.dtype == np.float64:
            check_finite(verb, rows, missing)
            rows = self.filled(as_numbers(verb, X).astype(np.float64, copy=False))
        out = np.empty((rows.shape[0], n_out), self.dtype)
        if begin or self.config.input_transform == "none":
            if not self._run_network(begin, end, rows, out):
                check_finite(verb, rows, missing)
                self._run_network(begin, end, self.filled(rows), out)
            return out
        step = max(1, _VALUES_AT_ONCE // n_in)  # a copy of a few rows at a time
        for start in range(0, rows.shape[0], step):
            piece = slice(start, start + step)
            self._run_network(begin, end, self.entering(verb, rows[piece]), out[piece])
        return out

    def entering(self, verb: str, rows: Rows) -> Rows:
        """Rows as they enter the first layer: filled where values are not known, and after the input transform.

        Parameters
        ----------
        verb : str
            Named in messages.
        rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)

        Raises
        ------
        ValueError
            If they are not finite, or negative where the transform takes counts.
        """
        check_finite(verb, rows, self.missing)
        rows = self.filled(rows)
        if self.config.input_transform == "none":
            return rows
        low = rows.min()
        if low < 0:
            raise ValueError(
                f"[{verb}] X must hold counts, 0 or more, as {self.config.input_transform} takes them; got {low:g}."
            )
        return transformed(rows, self.config.input_transform, self.config.input_total)

    def _run_network(self, begin: int, end: int, rows: Any, out: np.ndarray) -> bool:
        """False where rows hold NaN or infinity."""
        if begin == 0 and end > 1 and self._starts_with_itself:
            begin = 1
        if sp.issparse(rows):
            return self._network.run_csr(begin, end, rows.indptr, rows.indices, rows.data, out)
        return self._network.run(begin, end, rows, out)


def chunks(rows: Rows, width: int) -> Iterator[Rows]:
    """The rows, as many at a time as make a million values of ``width`` per row."""
    return (chunk for _, chunk in numbered_chunks(rows, width))


def numbered_chunks(rows: Rows, width: int) -> Iterator[tuple[int, Rows]]:
    step = max(1, _VALUES_AT_ONCE // width)
    for start in range(0, rows.shape[0], step):
        yield start, rows[start : start + step]

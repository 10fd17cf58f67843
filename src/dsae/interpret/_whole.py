"""Rows in memory, their codes, and what a decoder makes of codes, whatever the modalities of the model are."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import LOSSES, exposed, has_exposure
from dsae.data import JointSource, aims_of
from dsae.interpret._codes import Csr, rows_in_memory, runtime_of
from dsae.interpret._gradients import Step, decoder_chain, integrated, output
from dsae.interpret._several import codes_of, side_by_side, spans_of
from dsae.runtime import JointRuntime, Runtime

Some = slice | list[int]


def whole_of(verb: str, model: Any, X: Any, target: Any = None) -> Whole:
    """The rows of a model of one modality or of several.

    Parameters
    ----------
    verb : str
        Named in messages.
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, or rows by modality, shape (n_samples, n_features)
    target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional

    Raises
    ------
    ValueError
        If ``X`` is not rows of the model, or ``target`` is not as many or not for this model.
    TypeError
        If they come in pieces.
    """
    runtime = runtime_of(model)
    if not isinstance(runtime, JointRuntime):
        return _One(verb, runtime, X, target)
    if target is not None:
        raise ValueError(f"[{verb}] target is for models of one modality, which predict other columns. Leave it out.")
    return _Several(verb, runtime, X)


class Whole:
    """Features of all modalities stand one after another.

    Attributes
    ----------
    n_components, n_outputs : int
    codes : csr_matrix of float32, shape (n_rows, n_components)
        What is not zero.
    """

    n_components: int
    n_outputs: int
    codes: Csr
    _decoders: list[Runtime]

    @property
    def exact(self) -> bool:
        """Whether outputs are a bias and products: decoders of one layer, with a linear output."""
        return all(len(of.config.decoder_widths) == 2 and of.config.output.linear for of in self._decoders)

    @property
    def squared(self) -> bool:
        """Whether the error of every value is the squared difference."""
        return all(of.loss not in LOSSES or LOSSES[of.loss].unit is None for of in self._decoders)

    @cached_property
    def bias(self) -> np.ndarray:
        """Of decoders of one layer, float64 ``[n_outputs]``."""
        return np.concatenate([of.layers["decoder.0"].bias for of in self._decoders]).astype(np.float64)

    @cached_property
    def atoms(self) -> Csr:
        """Of decoders of one layer, CSR ``[n_components, n_outputs]``."""
        return sp.csr_matrix(side_by_side([of.layers["decoder.0"].to_csr().T for of in self._decoders]))

    @cached_property
    def _chains(self) -> list[list[Step]]:
        return [decoder_chain(of) for of in self._decoders]

    def output(self, codes: np.ndarray) -> np.ndarray:
        """What comes out of the last layers in float64, without the totals of rows."""
        return np.hstack([output(chain, codes) for chain in self._chains])

    def integrated(self, start: np.ndarray, stop: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Latents that change on the way from one code to another, and their parts of all outputs."""
        found = [integrated(chain, start, stop, steps) for chain in self._chains]
        return found[0][0], np.hstack([parts for _, parts in found])

    def decode(self, codes: Csr) -> np.ndarray:
        """The same of float32, as the runtime computes it."""
        return np.hstack([of.decode(codes) for of in self._decoders])

    def exposed(self, made: np.ndarray, rows: Some) -> np.ndarray:
        """Outputs in the units of some rows, one output for each."""
        raise NotImplementedError

    def aim(self, row: int) -> np.ndarray:
        """What a reconstruction is compared with, float64 ``[n_outputs]``; NaN is not known."""
        raise NotImplementedError

    def errors(self, rows: Some, made: np.ndarray) -> np.ndarray:
        """As `Runtime.reconstruction_error` measures them, means over the features that are known."""
        raise NotImplementedError

    def check_aims(self) -> None:
        """Raise where reconstructions can be compared with nothing."""


class _One(Whole):
    """Rows of a model of one modality."""

    def __init__(self, verb: str, runtime: Runtime, X: Any, target: Any) -> None:
        self._verb, self._runtime, self._decoders = verb, runtime, [runtime]
        self.n_components, self.n_outputs = runtime.config.n_components, runtime.config.output_width
        self._rows = rows_in_memory(verb, runtime, X)
        self._target = target
        if target is not None:
            self.check_aims()
        self.codes = runtime.encode(self._rows, sparse_output=True)

    @cached_property
    def _aims(self) -> Any:
        return aims_of(self._verb, self._runtime.config, self._rows, self._target)

    def check_aims(self) -> None:
        """Raise where reconstructions can be compared with nothing."""
        assert self._aims is not None

    def exposed(self, made: np.ndarray, rows: Some) -> np.ndarray:
        """Outputs in the units of some rows, one output for each."""
        return self._runtime.exposed(made, self._rows[rows]) if has_exposure(self._runtime.loss) else made

    def aim(self, row: int) -> np.ndarray:
        """What a reconstruction is compared with."""
        return _dense(self._aims[row])

    def errors(self, rows: Some, made: np.ndarray) -> np.ndarray:
        """As `Runtime.reconstruction_error` measures them."""
        return self._runtime.errors_of(self._aims[rows], made)


class _Several(Whole):
    """Rows of a model of several modalities, of which a row may lack some."""

    def __init__(self, verb: str, runtime: JointRuntime, X: Any) -> None:
        source = runtime.source(verb, X)
        if not isinstance(source, JointSource):
            raise TypeError(
                f"[{verb}] X must be in memory; got {type(source).__name__}. Take some of its rows: "
                "dsae.interpret.take(model, X, [17])."
            )
        self._runtime, self._source = runtime, source
        self._decoders, self._spans = list(runtime.modalities.values()), spans_of(runtime)
        self.n_components = runtime.config.n_components
        self.n_outputs = sum(of.config.n_features for of in self._decoders)
        self.codes = codes_of(runtime, next(source.batches(len(source))))

    def exposed(self, made: np.ndarray, rows: Some) -> np.ndarray:
        """Outputs in the units of some rows; of a modality that a row lacks by the mean total in training."""
        found = np.array(made)
        for name, of in self._runtime.modalities.items():
            if not has_exposure(of.loss):
                continue
            span, has = self._spans[name], self._has(name)[rows]
            found[:, span] *= np.float32(self._runtime.model.totals.get(name, 1.0))
            if has.any():
                found[has, span] = exposed(made[has, span], self._source.rows[name][rows][has])
        return found

    def aim(self, row: int) -> np.ndarray:
        """What a reconstruction is compared with."""
        found = np.full(self.n_outputs, np.nan)
        for name, span in self._spans.items():
            if self._has(name)[row]:
                found[span] = _dense(self._source.rows[name][row])
        return found

    def errors(self, rows: Some, made: np.ndarray) -> np.ndarray:
        """Means over the features of all modalities that a row has."""
        total, n = np.zeros(len(made)), np.zeros(len(made))
        for name, of in self._runtime.modalities.items():
            has, width = self._has(name)[rows], of.config.n_features
            if not has.any():
                continue
            total[has] += width * of.errors_of(self._source.rows[name][rows][has], made[has, self._spans[name]])
            n += width * has
        return total / n

    def _has(self, name: str) -> np.ndarray:
        return self._source.has(name) if name in self._source.rows else np.zeros(len(self._source), bool)


def _dense(row: Any) -> np.ndarray:
    return (row.toarray() if sp.issparse(row) else np.asarray(row)).astype(np.float64).ravel()

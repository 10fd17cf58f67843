"""A model as the explorer sees it: one encoder, one decoder and one row of features, whatever its modalities are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import LOSSES, dispersion, has_exposure
from dsae.interpret import checked_source, codes_of, encoder_directions, parts_of, responses, shares_of, spans_of
from dsae.metrics import firing_threshold
from dsae.runtime import JointRuntime, Runtime
from dsae.store import JointModel, Model

_VALUES_AT_ONCE = 1 << 22  # of a reconstruction: 16 MiB
_RESPONSES = 1 << 27  # values of the atoms of a deep decoder: 512 MiB


class View:
    """A model of one modality, called ``""``, or of several.

    Features are numbered over all modalities, in their order.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime, or a fitted estimator
    """

    def __init__(self, model: Any) -> None:
        if isinstance(model, Model):
            model = Runtime(model)
        elif isinstance(model, JointModel):
            model = JointRuntime(model)
        self.runtime: Any = getattr(model, "runtime_", model)
        self.joint = isinstance(self.runtime, JointRuntime)
        if not isinstance(self.runtime, (Runtime, JointRuntime)):
            raise TypeError(f"[explore] model must be a trained model; got {type(self.runtime).__name__}.")
        self.models: dict[str, Runtime] = parts_of(self.runtime)
        self.config = self.runtime.config
        for name, of in self.models.items():
            if of.config.n_outputs is not None:
                raise ValueError(
                    f"[explore] The model must reconstruct the {of.config.n_features} columns that it sees; it was "
                    f"fitted to a target of {of.config.n_outputs} others{f' in {name!r}' if name else ''}."
                )
        self.n_latents = self.config.n_components
        self.spans = spans_of(self.runtime)
        self.n_features = sum(of.config.n_features for of in self.models.values())
        self.threshold = firing_threshold(self.config.code_activation, self.n_latents)
        halves = [list(of.layers) for of in self.models.values()]
        self.one_encoder = all(sum(name.startswith("encoder") for name in names) == 1 for names in halves)
        self.one_decoder = all(sum(name.startswith("decoder") for name in names) == 1 for names in halves)
        linear = all(of.config.output.linear and not has_exposure(of.loss) for of in self.models.values())
        # Contributions are then products, and add up.
        self.exact = self.one_decoder and linear
        self._units = {name: LOSSES[of.loss].unit if of.loss in LOSSES else None for name, of in self.models.items()}
        plain = all(of.config.input_transform == "none" for of in self.models.values())
        self.exact_reads = self.one_encoder and plain

    @property
    def squared(self) -> bool:
        """Whether the error of every value is the squared difference."""
        return not any(self._units.values())

    @property
    def error(self) -> str:
        """What the error of a row is a mean of."""
        return "squared error" if self.squared else "deviance" if all(self._units.values()) else "error"

    @property
    def signed(self) -> bool:
        """Whether a code may be negative."""
        return self.config.code.signed

    @property
    def at_once(self) -> int:
        """Rows of a batch."""
        return max(1, min(4096, _VALUES_AT_ONCE // self.n_features))

    def source(self, X: Any) -> Any:
        """Checked rows: batches of one part for each modality."""
        return checked_source("explore", self.runtime, X)

    def parts(self, batch: Any) -> dict[str, Any]:
        """Rows of a batch by modality."""
        return dict(batch.parts) if self.joint else {"": batch.rows}

    def present(self, batch: Any) -> dict[str, np.ndarray]:
        """Which rows have each modality, where not all have."""
        lacking = {name: np.zeros(batch.n_rows, bool) for name in self.models if self.joint and name not in batch.parts}
        return lacking | dict((batch.present or {}) if self.joint else {})

    def codes(self, batch: Any) -> sp.csr_matrix:
        """Codes of the rows of a batch, what is not zero of them: errors are of all of it, counts of what fires."""
        return codes_of(self.runtime, batch)

    def n_on(self, codes: Any) -> np.ndarray:
        """How many latents fire in each row."""
        rows = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
        return np.bincount(rows[np.abs(codes.data) > self.threshold], minlength=codes.shape[0])

    def rows(self, batch: Any) -> tuple[Any, np.ndarray]:
        """All features of rows, and which are known, bool ``[n_rows, n_features]`` or ``[n_rows, 1]`` if all are.

        Returns
        -------
        rows : ndarray of float32 or csr_matrix
            Sparse only if all modalities are. What is not known is NaN, in sparse rows where it is stored.
        known : ndarray of bool
        """
        parts, lacking = self.parts(batch), self.present(batch)
        pieces = [parts.get(name) for name in self.models]
        if all(piece is not None and sp.issparse(piece) for piece in pieces):
            rows: Any = sp.hstack(pieces, format="csr", dtype=np.float32) if len(pieces) > 1 else pieces[0]
        else:
            widths = [of.config.n_features for of in self.models.values()]
            filled = [
                np.zeros((batch.n_rows, width), np.float32) if piece is None else dense(piece)
                for piece, width in zip(pieces, widths, strict=True)
            ]
            rows = np.hstack(filled) if len(filled) > 1 else filled[0]
        known = np.ones((batch.n_rows, 1), bool)
        if lacking:
            known = np.repeat(known, self.n_features, axis=1)
            for name, has in lacking.items():
                known[:, self.spans[name]] = np.asarray(has)[:, None]
        if sp.issparse(rows):
            holes = np.isnan(rows.data)
            if holes.any():
                known = np.broadcast_to(known, rows.shape).copy()
                known[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[holes], rows.indices[holes]] = False
        elif np.isnan(rows).any():
            known = known & ~np.isnan(rows)
        return rows, known

    def decode(self, codes: Any, rows: Any, known: Any = None) -> np.ndarray:
        """What is made of codes, ``[n_rows, n_features]``; counts with the totals of ``rows``, if there are rows."""
        if self.joint and rows is None:
            return np.hstack([self.runtime.decode(codes, name) for name in self.models])
        made = [of.decode(codes) for of in self.models.values()]
        if not self.joint:
            with_totals = has_exposure(self.runtime.loss) and rows is not None
            return self.runtime.exposed(made[0], rows) if with_totals else made[0]
        totals = self.totals(rows, known)
        if totals is not None:
            made = [some * totals[:, i, None].astype(np.float32) for i, some in enumerate(made)]
        return np.hstack(made)

    def errors(self, x: np.ndarray, known: np.ndarray, made: np.ndarray) -> np.ndarray:
        """The error of every value as `Runtime.reconstruction_error` measures it, float64; 0 where it is not known."""
        x = np.where(known, x, 0.0)
        found = np.square(x - made)
        for name, unit in self._units.items():
            if unit is not None:
                span = self.spans[name]
                found[:, span] = unit(x[:, span], made[:, span], **self.models[name].model.extras)
        return np.where(known, found, 0.0)

    @cached_property
    def bias(self) -> np.ndarray:
        """What is made of the code zero."""
        return self.decode(np.zeros((1, self.n_latents), np.float32), None)[0]

    @cached_property
    def decoder(self) -> sp.csr_matrix:
        """Atoms of a decoder of one layer as rows, CSR ``[n_latents, n_features]``."""
        layers = [of.layers["decoder.0"].to_csr() for of in self.models.values()]
        return sp.csr_matrix(sp.vstack(layers).T if len(layers) > 1 else layers[0].T)

    def atoms(self, mean: np.ndarray, rms: np.ndarray) -> sp.csr_matrix | np.ndarray:
        """What latents write as `dsae.interpret.responses` has it, ``[n_latents, n_features]``."""
        if self.one_decoder:
            return self.decoder
        if self.n_latents * self.n_features > _RESPONSES:
            raise ValueError(
                f"[explore] The decoder of a model with {self.n_latents:,} latents and {self.n_features:,} features "
                "must have one layer; the responses of another would not fit in memory. Explore a smaller model."
            )
        found = np.empty((self.n_latents, self.n_features), np.float32)
        for first in range(0, self.n_latents, 256):
            some = np.arange(first, min(first + 256, self.n_latents))
            found[some] = dense(responses(self.runtime, latents=some, mean=mean, rms=rms))
        return found

    @cached_property
    def relative(self) -> np.ndarray:
        """Features whose atoms are weights in front of an activation: they are compared as they are, bool."""
        found = np.zeros(self.n_features, bool)
        for name, of in self.models.items():
            found[self.spans[name]] = len(of.config.decoder_widths) == 2 and not of.config.output.linear
        return found

    def totals(self, rows: Any, known: Any = None) -> np.ndarray | None:
        """By what the decoder's output is multiplied in each row, ``[n_rows, n_modalities]``; None if it never is.

        In a row that lacks a modality of counts by the mean total in training, as in `dsae.interpret.ablate`.
        """
        found = np.ones((rows.shape[0], len(self.models)))
        for i, (name, of) in enumerate(self.models.items()):
            if not has_exposure(of.loss):
                continue
            x = rows[:, self.spans[name]] if self.joint else of.filled(rows)
            found[:, i] = np.asarray(x.sum(axis=1), np.float64).ravel()
            if self.joint and known is not None:
                has = np.broadcast_to(known, (known.shape[0], self.n_features))[:, self.spans[name].start]
                found[:, i] = np.where(has, found[:, i], self.runtime.model.totals.get(name, 1.0))
        return found if any(has_exposure(of.loss) for of in self.models.values()) else None

    @cached_property
    def encoder_bias(self) -> np.ndarray:
        """Of the layer in front of the code, of rows that have all modalities."""
        shares = shares_of(self.runtime)
        return np.sum([shares[name] * _last_encoder(of).bias for name, of in self.models.items()], axis=0)

    def reads(self, mean: np.ndarray, some: slice) -> sp.csr_matrix | np.ndarray:
        """Weights of some latents, ``[n_some, n_features]``; of deep encoders their gradient at the mean row.

        Parameters
        ----------
        mean : ndarray, shape (n_features,)
        some : slice

        Returns
        -------
        csr_matrix, or ndarray of float64
        """
        return encoder_directions(self.runtime, np.arange(*some.indices(self.n_latents)), mean=mean)

    @cached_property
    def encoder(self) -> sp.csr_matrix:
        """Weights of an encoder of one layer, of rows that have all modalities, CSR ``[n_latents, n_features]``."""
        return sp.csr_matrix(self.reads(np.zeros(self.n_features), slice(0, self.n_latents)))

    def fan(self, half: str) -> np.ndarray:
        """Weights left of each latent in the layer beside the code, over all modalities."""
        total = np.zeros(self.n_latents, np.int64)
        for of in self.models.values():
            if half == "encoder":
                total += np.diff(_last_encoder(of).to_csr().indptr)
            else:
                layer = of.layers["decoder.0"].to_csr()
                total += np.bincount(layer.indices, minlength=self.n_latents)
        return total

    def layers(self) -> Iterator[dict[str, Any]]:
        """What each layer is."""
        for name, of in self.models.items():
            for key, layer in of.layers.items():
                shape = layer.topology.shape
                yield {
                    "name": f"{name}.{key}" if name else key,
                    "n_in": shape[1],
                    "n_out": shape[0],
                    "nnz": layer.topology.nnz,
                    "density": layer.topology.density,
                    "activation": of.config.activations[key],
                }

    def dispersion(self) -> np.ndarray | None:
        """Of each feature of a negative binomial, 0 for others; None if there is none."""
        found = np.zeros(self.n_features)
        for name, of in self.models.items():
            if "log_dispersion" in of.model.extras:
                found[self.spans[name]] = dispersion(of.model.extras["log_dispersion"].astype(np.float64))
        return found if found.any() else None

    def fill(self) -> np.ndarray | None:
        """What stands in for values that are not known."""
        model = None if self.joint else self.runtime.model
        return None if model is None or model.inputs is None else model.inputs.mean


def _last_encoder(of: Runtime) -> Any:
    return of.layers[[name for name in of.layers if name.startswith("encoder")][-1]]


def dense(rows: Any) -> np.ndarray:
    """An array of rows of any kind."""
    return rows.toarray() if sp.issparse(rows) else np.asarray(rows)

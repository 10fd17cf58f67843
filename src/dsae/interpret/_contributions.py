"""Why a reconstruction came out as it did: what each latent adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dsae.config import positive_int
from dsae.interpret._codes import Csr, column_means
from dsae.interpret._whole import Whole, whole_of


class Waterfall(NamedTuple):
    """The error of a row while its latents are added one after another.

    Attributes
    ----------
    latents : ndarray of int64, shape (n,)
        In the order of their effect, the largest first.
    errors : ndarray of float64, shape (n + 1,)
        Before any, and after each of them.
    values : ndarray of float64, shape (n,)
        Of the latents.
    without : ndarray of float64, shape (n,)
        By how much the error of the whole code rises without each alone, as `Contributions.effects` has it.
    """

    latents: np.ndarray
    errors: np.ndarray
    values: np.ndarray
    without: np.ndarray

    @property
    def drops(self) -> np.ndarray:
        """By how much the error falls as each latent joins those before it, float64 ``[n]``."""
        return -np.diff(self.errors)


@dataclass(frozen=True)
class Contributions:
    """What latents add to reconstructions: ``base`` plus all parts of a row is what the decoder gives.

    Only codes are held; what is said of a row is computed when it is asked for. Errors of rows are those of
    `Runtime.reconstruction_error`, means over the features that are known: squared differences, or deviances for the
    likelihoods of counts.

    Attributes
    ----------
    codes : csr_matrix of float32, shape (n_rows, n_components)
    base : ndarray of float64, shape (n_outputs,)
        Without any part: the bias of a decoder of one layer, else what the mean code gives, or another base.
    method : {"exact", "integrated gradients"}
    base_code : ndarray of float64, shape (n_components,)
        The code that ``base`` belongs to: zero, the mean code, or the one that was given.
    """

    codes: Csr
    base: np.ndarray
    method: str
    base_code: np.ndarray
    _whole: Whole = field(repr=False)
    _steps: int = field(repr=False)

    def output(self, row: int) -> np.ndarray:
        """What the code of a row gives, float64 ``[n_outputs]``; for losses with exposure without the row's total."""
        if self.method == "exact":
            return self._whole.decode(self.codes[row])[0].astype(np.float64)
        return self._whole.output(self._code(row)[None])[0]

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The parts of one row.

        Parameters
        ----------
        row : int
            Its place among the rows given.

        Returns
        -------
        latents : ndarray of int64, shape (n,)
            Those that are not zero; in a deep decoder those that differ from the base, of the mean code the ones that
            are off among them.
        parts : ndarray of float64, shape (n, n_outputs)
        """
        if self.method == "exact":
            some = slice(*self.codes.indptr[row : row + 2])
            latents, values = self.codes.indices[some].astype(np.int64), self.codes.data[some].astype(np.float64)
            return latents, self._whole.atoms[latents].toarray().astype(np.float64) * values[:, None]
        return self._whole.integrated(self.base_code, self._code(row), self._steps)

    @cached_property
    def gap(self) -> np.ndarray:
        """How far base and parts miss the output, relative to how far that is from the base: float64 ``[n_rows]``."""
        found = np.zeros(self.codes.shape[0])
        for row in range(found.size):
            made = self.output(row)
            missed = np.linalg.norm(self.base + self.of(row)[1].sum(axis=0) - made)
            whole = np.linalg.norm(made - self.base)
            found[row] = missed / whole if whole > 0 else missed
        return found

    def by_feature(self, row: int, n: int = 10) -> list[tuple[int, list[tuple[int, float]]]]:
        """The outputs that latents change most, each with the latents that do, the largest parts first.

        Parameters
        ----------
        row : int
        n : int
            Outputs, and latents of each, at most.

        Returns
        -------
        list of (feature, list of (latent, part))
            Ordered by the sum of the magnitudes of all parts.
        """
        latents, parts = self.of(row)
        sizes = np.abs(parts).sum(axis=0)
        features = np.argsort(-sizes, kind="stable")[:n]
        found = []
        for feature in features[sizes[features] > 0].tolist():
            order = np.argsort(-np.abs(parts[:, feature]), kind="stable")[:n]
            shown = [(int(latents[i]), float(parts[i, feature])) for i in order if parts[i, feature] != 0]
            found.append((feature, shown))
        return found

    def effects(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """By how much the error of a row rises when one latent alone is set to the base code.

        That code is zero for a decoder of one layer, and for others the mean code unless another was given.

        Parameters
        ----------
        row : int

        Returns
        -------
        latents : ndarray of int64, shape (n,)
            As `of` gives them.
        rise : ndarray of float64, shape (n,)
            Negative where the latent makes the reconstruction worse.
        """
        if self._by_products:
            latents, parts = self.of(row)
            residual = self._whole.aim(row) - self.output(row)
            known = ~np.isnan(residual)
            parts, residual = parts[:, known], residual[known]
            return latents, (np.square(parts).sum(axis=1) + 2 * parts @ residual) / max(residual.size, 1)
        code = self._code(row)
        latents = np.flatnonzero(code - self.base_code)
        without = np.repeat(code[None], latents.size, axis=0)
        without[np.arange(latents.size), latents] = self.base_code[latents]
        errors = self._errors(row, np.vstack([code[None], without]))
        return latents, errors[1:] - errors[0]

    def waterfall(self, row: int) -> Waterfall:
        """The error of a row from the base to its reconstruction, latent by latent.

        Parameters
        ----------
        row : int

        Returns
        -------
        Waterfall
            In the order of `effects`. The steps add up, from the error of the base to that of the reconstruction; each
            of them depends on the ones before.
        """
        latents, rise = self.effects(row)
        order, code = np.argsort(-rise, kind="stable"), self._code(row)
        chosen = latents[order]
        if self._by_products:
            parts = self.of(row)[1][order]
            made = self.base + np.concatenate([np.zeros((1, self.base.size)), np.cumsum(parts, axis=0)])
            squared = np.square(self._whole.aim(row) - made)
            errors = np.nansum(squared, axis=1) / max(int((~np.isnan(squared[0])).sum()), 1)
        else:
            path = np.repeat(self.base_code[None], chosen.size + 1, axis=0)
            for i, latent in enumerate(chosen, 1):
                path[i:, latent] = code[latent]
            errors = self._errors(row, path)
        return Waterfall(chosen, errors, code[chosen], rise[order])

    @property
    def _by_products(self) -> bool:
        """Whether errors follow from the products."""
        return self.method == "exact" and self._whole.squared

    def _code(self, row: int) -> np.ndarray:
        return self.codes[row].toarray().astype(np.float64).ravel()

    def _errors(self, row: int, codes: np.ndarray) -> np.ndarray:
        """Errors of a row if its code were one of these."""
        same = [row] * len(codes)
        return self._whole.errors(same, self._whole.exposed(self._whole.output(codes), same))


def contributions(model: Any, X: Any, *, base: Any = None, steps: int = 64, target: Any = None) -> Contributions:
    """What each latent adds to the reconstruction of each row.

    With one decoder layer and a linear output these are exact products, ``z_i D_i``, and add up to the reconstruction
    less the bias. Beyond, integrated gradients (Sundararajan et al. 2017) from the mean code to the row's code; how far
    they miss the sum is `Contributions.gap`.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse or rows by modality, shape (n_samples, n_features)
        In memory; see `take`. Outputs of several modalities stand one after another.
    base : array-like, shape (n_components,), or "zero", optional
        The code that a deep decoder's effects are taken from, such as `mean_code` gives for the training rows; by
        default the mean code of ``X``. ``"zero"`` tells what the latents that are on do, each beside being off.
    steps : int
        Points along the way from the base, for a deep decoder.
    target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional
        What errors are measured against, in place of ``X``; needed for them where the model predicts other columns.

    Returns
    -------
    Contributions

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, ``base`` has another width or is needed, or ``target`` is not
        as many rows as ``X``.
    TypeError
        If ``X`` comes in pieces.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.store import Model
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=2, n_components=2, code_activation="relu")
    >>> eye = Layer(Topology.full((2, 2)), np.float32([1, 0, 0, 1]), np.zeros(2, "f4"))
    >>> model = Model(config, {"encoder.0": eye, "decoder.0": eye._replace(bias=np.float32([5, 0]))})
    >>> found = contributions(model, [[3.0, 0.5]])
    >>> found.base, found.of(0)
    (array([5., 0.]), (array([0, 1]), array([[3. , 0. ],
           [0. , 0.5]])))
    """
    positive_int("[contributions] steps", steps)
    whole = whole_of("contributions", model, X, target)
    codes, n = whole.codes, whole.n_components
    if whole.exact:
        return Contributions(codes, whole.bias, "exact", np.zeros(n), whole, steps)
    if base is None:
        base = _mean_of("contributions", codes)
    named = isinstance(base, str)
    start = np.zeros(n if base == "zero" else 0) if named else np.asarray(base, np.float64)
    if start.shape != (n,):
        got = repr(base) if named else f"shape {np.shape(base)}"
        raise ValueError(f'[contributions] base must be "zero" or {n} numbers, one per latent; got {got}.')
    return Contributions(codes, whole.output(start[None])[0], "integrated gradients", start, whole, steps)


def _mean_of(verb: str, codes: Csr) -> np.ndarray:
    if codes.shape[0] < 2:
        raise ValueError(
            f"[{verb}] base must be given for one row: effects in a deep decoder are taken from a code, which one row "
            "does not have beside its own. Give base=mean_code(model, X_train), or base='zero'."
        )
    return column_means(codes)

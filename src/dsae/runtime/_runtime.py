"""The runtime: a trained model on numpy and the compiled kernels alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dsae import store
from dsae.config import LOSSES
from dsae.data import aims_of, check_not_negative, check_rows, is_anndata, put, rows_of, unknown
from dsae.metrics import Recommendations, best_items
from dsae.runtime._layers import numbered_chunks
from dsae.runtime._made import Making
from dsae.runtime._pushed import Pushed

if TYPE_CHECKING:
    from dsae.features import TableRows


class Runtime(Making, Pushed):
    """Encodes, decodes and reconstructs without importing torch. Threads may share one.

    Parameters
    ----------
    model : dsae.store.Model
        Its arrays are used without a copy; do not change them.
    dtype : float32 or float64
        Precision of computations and results: float32 with the compiled kernels, float64 with scipy, several times
        slower. Weights are float32 in both. In float64 the digits of a row do not depend on the other rows.

    Raises
    ------
    ValueError
        If ``dtype`` is another.

    Examples
    --------
    >>> runtime = dsae.load("model/")                                                   # doctest: +SKIP
    >>> codes = runtime.encode(X)                                                       # doctest: +SKIP
    """

    model: store.Model

    def __repr__(self) -> str:
        c, m = self.config, self.model
        widths = "-".join(str(width) for width in (*c.encoder_widths, *c.decoder_widths[1:]))
        size = sum(a.nbytes for t, values, bias in self.layers.values() for a in (t.indptr, t.indices, values, bias))
        code = f"{c.code_activation} code"
        return f"Runtime({widths}, {code}, density {m.density:.3g}, {m.nnz:,} weights, {size:,} bytes)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Runtime, (self.model, self.dtype)

    @cached_property
    def table(self) -> TableRows | None:
        """What makes rows of the table that the model was fitted to, and the table of rows; None without one."""
        from dsae.features import TableRows  # scikit-learn, which most models do without

        return None if self.model.table is None else TableRows.of(self.model.table)

    def reconstruction_error(
        self, X: Any, *, per_feature: bool = False, first_row: int = 0, target: Any = None
    ) -> np.ndarray:
        """How far rows are from their reconstructions.

        The squared difference; for the likelihoods of counts the deviance, that of a negative binomial at the
        dispersion of each feature.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
        per_feature : bool
            Whether to return an error for each feature: which of them make a row unusual.
        first_row : int
            Number of the first of these rows in the data, for the warning.
        target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional
            What reconstructions are compared with, in place of ``X``; needed where it has other columns.

        Returns
        -------
        ndarray of float32, shape (n_samples,) or (n_samples, n_features)
            Of every value, or its mean over the features of a row. NaN for a value that is not known; the mean is over
            those that are.

        Raises
        ------
        ValueError
            If ``X`` is not finite rows of the model's width, or ``target`` not as many of that of its output.

        Warns
        -----
        UserWarning
            If there are rows of which nothing is known: their means are NaN.
        """
        errors = self._errors("reconstruction_error", X, target)
        if per_feature:
            return np.concatenate([chunk.astype(np.float32) for chunk in errors])
        means = np.concatenate([_mean(chunk) for chunk in errors])
        _warn_of_blank("reconstruction_error", means, first_row)
        return means.astype(np.float32)

    def errors_of(self, X: Any, X_hat: np.ndarray) -> np.ndarray:
        """How far rows are from given reconstructions, measured as `reconstruction_error` measures the model's own.

        Parameters
        ----------
        X : ndarray or csr_matrix of float32, shape (n_samples, n_outputs)
            As `dsae.data.check_rows` returns it.
        X_hat : ndarray, shape (n_samples, n_outputs)

        Returns
        -------
        ndarray of float64, shape (n_samples,)
            Means over the features that are known.

        Raises
        ------
        ValueError
            If the two have different shapes.
        """
        if X.shape != np.shape(X_hat):
            raise ValueError(f"[errors_of] X_hat must have the shape of X, {X.shape}; got {np.shape(X_hat)}.")
        each = numbered_chunks(X, self.config.output_width)
        means = [_mean(self._between(chunk, X_hat[start : start + chunk.shape[0]])) for start, chunk in each]
        return np.concatenate(means)

    def score_samples(self, X: Any, *, scale: Any = None, first_row: int = 0, target: Any = None) -> np.ndarray:
        """How usual rows are: minus their mean error. Higher is more normal, as scikit-learn has it.

        The error is that of `reconstruction_error`.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
        scale : array-like, shape (n_features,), optional
            Divides the difference in each feature, such as its standard deviation, so that features in large units do
            not outweigh the others. 0 counts as 1. For squared errors only.
        first_row : int
            Number of the first of these rows in the data, for the warning.
        target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional
            As in `reconstruction_error`.

        Returns
        -------
        ndarray of float32, shape (n_samples,)
            Only values that are known count; NaN for a row without any.

        Raises
        ------
        ValueError
            If ``X`` is not finite rows of the model's width, or ``scale`` not as many numbers of at least 0, or given
            where errors are deviances.

        Warns
        -----
        UserWarning
            If there are rows of which nothing is known.
        """
        if scale is not None and self._unit is not None:
            raise ValueError(
                f"[score_samples] scale is for squared errors; this model was trained with loss={self.loss!r}, whose "
                "deviances have no unit. Leave it out."
            )
        weights = 1 / np.square(_checked_scale(scale, self.config.output_width))
        errors = self._errors("score_samples", X, target)
        means = np.concatenate([_mean(chunk * weights) for chunk in errors])
        _warn_of_blank("score_samples", means, first_row)
        return -means.astype(np.float32)

    def impute(self, X: Any, *, first_row: int = 0) -> Any:
        """Rows with the model's guesses in place of values that are not known.

        One pass: what is known is encoded with the features' means in place of the rest, and decoded. (Repeating
        this with the guesses as input runs away from the data.) A guess is never outside the range of the feature in
        training, and a row of which nothing is known gets the features' means.

        Parameters
        ----------
        X : array-like, masked array, tensor, DataFrame, scipy sparse or AnnData, shape (n_samples, n_features)
            NaN, pandas' NA, polars' null and what is masked are not known. In sparse rows stored NaN is not, and what
            is not stored is zero.
        first_row : int
            Number of the first of these rows in the data, for the warning.

        Returns
        -------
        the same kind of thing as ``X``
            What is known keeps its bits, see `dsae.data.put`.

        Raises
        ------
        ValueError
            If the model was not trained with ``missing="mask"`` or predicts other columns, or ``X`` is not rows of its
            width, NaN aside.

        Warns
        -----
        UserWarning
            If there are rows of which nothing is known.
        """
        self._check_own("impute")
        inputs = self.model.inputs
        if inputs is None:
            raise ValueError(
                f'[impute] The model must have missing="mask"; it has missing={self.missing!r}. Fit it again with '
                'missing="mask".'
            )
        X = X if is_anndata(X) else rows_of("impute", X)
        rows = check_rows("impute", X, self.config.n_features, missing="mask")
        found, blank = [], []
        for start, chunk in numbered_chunks(rows, self.config.n_features):
            at, columns = unknown(chunk)
            some, places, counts = np.unique(at, return_inverse=True, return_counts=True)
            if not some.size:
                continue
            values = np.clip(self.reconstruct(chunk[some])[places, columns], inputs.low[columns], inputs.high[columns])
            without = counts == self.config.n_features
            values = np.where(without[places], inputs.mean[columns], values).astype(np.float32)
            found.append((at + start, columns, values))
            blank.extend((some[without] + start).tolist())
        if blank:
            warnings.warn(
                f"[impute] No value is known of {len(blank)} rows, the first of which is row {first_row + blank[0]}: "
                "they get the means of the features.",
                UserWarning,
                stacklevel=2,
            )
        parts = zip(*found, strict=True) if found else ([np.zeros(0, kind)] for kind in (int, int, np.float32))
        return put(X, *map(np.concatenate, parts))

    def recommend(
        self,
        X: Any,
        n: int = 20,
        *,
        exclude_seen: bool = True,
        exclude: Any = None,
        names: bool = True,
        fill: bool = False,
    ) -> Recommendations:
        """The features with the largest reconstruction for each row: items that users may like, from those they have.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_rows, n_items)
        n : int
            Items per row.
        exclude_seen : bool
            Whether items that are not zero in a row are left out.
        exclude : scipy sparse or array-like, shape (n_rows, n_items) or (1, n_items), optional
            More items to leave out: not zero where an item must not be recommended to a row, or to any.
        names : bool
            Whether items are given by name where the model has names of features; else they are columns.
        fill : bool
            Whether rows with fewer than ``n`` items left get those, and then column -1 (name ``""``) with score NaN.

        Returns
        -------
        Recommendations
            ``(items, scores)``, the best first; ties go to the lower column. Scores are computed a few rows at a time.

        Raises
        ------
        ValueError
            If ``X`` is not finite rows of the model's width, or negative for a recommender, or a row has fewer than
            ``n`` items left and ``fill`` is false, or the model predicts other columns.
        """
        self._check_own("recommend")
        rows = check_rows("recommend", X, self.config.n_features, missing=self.missing)
        if "recommender" in self.model.training:  # of other models, features may be negative
            check_not_negative("recommend", rows)
        items, scores = best_items(self.reconstruct, rows, n, exclude_seen, exclude, fill)
        if names and self.model.feature_names is not None:
            items = np.asarray([*self.model.feature_names, ""])[items]  # -1 is the last
        return Recommendations(items, scores)

    def save(self, folder: str | Path) -> Path:
        """Write the model folder; see `dsae.store.write`."""
        return store.write(folder, self.model)

    def _check_own(self, verb: str) -> None:
        config = self.config
        if config.n_outputs is not None:
            raise ValueError(
                f"[{verb}] The model must reconstruct the {config.n_features} columns that it sees; it was fitted to a "
                f"target of {config.n_outputs} others. Fit a model without a target."
            )

    def _errors(self, verb: str, X: Any, target: Any = None) -> Iterator[np.ndarray]:
        """Float64 ``[rows, n_outputs]``, a few rows at a time."""
        given = check_rows(verb, X, self.config.n_features, missing=self.missing)
        aims = aims_of(verb, self.config, given, target)
        for start, chunk in numbered_chunks(given, max(self.config.n_features, self.config.output_width)):
            aim, rebuilt = aims[start : start + chunk.shape[0]], self.reconstruct(chunk)
            yield self._between(aim, rebuilt)

    def _between(self, aim: Any, rebuilt: np.ndarray) -> np.ndarray:
        rows = aim.toarray() if sp.issparse(aim) else aim
        if self._unit is None:
            return np.square(np.subtract(rows, rebuilt, dtype=np.float64))
        return self._unit(rows, rebuilt, **self.model.extras)

    @cached_property
    def _unit(self) -> Any:
        """The error of every value, where it is not the squared difference."""
        return LOSSES[self.loss].unit if self.loss in LOSSES else None


def _mean(errors: np.ndarray) -> np.ndarray:
    """Mean of every row over what is not NaN."""
    known = ~np.isnan(errors)
    if known.all():
        return errors.mean(axis=1)
    n = known.sum(axis=1)
    return np.where(n > 0, np.where(known, errors, 0).sum(axis=1) / np.maximum(n, 1), np.nan)


def _warn_of_blank(verb: str, means: np.ndarray, first_row: int) -> None:
    blank = np.flatnonzero(np.isnan(means))
    if blank.size:
        warnings.warn(
            f"[{verb}] No value is known of {blank.size} rows, the first of which is row {first_row + blank[0]}: they "
            "get NaN, which argmin and argmax take for the extreme. Drop them, or use np.nanargmin.",
            UserWarning,
            stacklevel=3,
        )


def _checked_scale(scale: Any, n_features: int) -> np.ndarray:
    values = np.ones(n_features) if scale is None else np.asarray(scale, dtype=np.float64)
    if values.shape != (n_features,) or not (values >= 0).all():
        raise ValueError(
            f"[score_samples] scale must hold {n_features} numbers of at least 0, one per feature; "
            f"got shape {values.shape}."
        )
    return np.where(values > 0, values, 1.0)

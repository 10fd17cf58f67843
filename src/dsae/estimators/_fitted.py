"""What a fitted autoencoder does with rows and codes, and where it is kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.validation import check_is_fitted

from dsae import store
from dsae.config import loss_of
from dsae.data import ArraySource, Source, aims_of, as_source, stacked, with_beside
from dsae.estimators._base import ROWS_AT_ONCE, DSAEstimator, pieces, refuse_frames, refuse_unknown
from dsae.estimators._distributed import writes
from dsae.estimators._recommend import RecommendMixin
from dsae.interpret import feature_importances, normalize_atoms
from dsae.metrics import evaluate
from dsae.runtime import Runtime

if TYPE_CHECKING:
    from dsae.features import TableRows


class FittedAutoencoder(RecommendMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, DSAEstimator):
    """The verbs of an estimator whose ``runtime_`` holds a trained model."""

    runtime_: Runtime
    sparse_output: bool
    missing: str

    def transform(self, X: Any, k: int | None = None) -> Any:
        """Codes of rows.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
        k : int, optional
            Non-zeros per code, instead of those of training; see `dsae.Runtime.encode`.

        Returns
        -------
        ndarray of float32, or csr_matrix with ``sparse_output``, shape (n_samples, n_components)
        """
        batches = self._batches("transform", X)
        if self.sparse_output:
            refuse_frames(self)
        codes = [self.runtime_.encode(rows, k=k, sparse_output=self.sparse_output) for rows in batches]
        return codes[0] if len(codes) == 1 else sp.vstack(codes, "csr") if self.sparse_output else np.concatenate(codes)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows ``[n_samples, n_features]`` from codes ``X [n_samples, n_components]``, dense or CSR."""
        check_is_fitted(self)
        return self.runtime_.decode(X)

    def impute(self, X: Any) -> Any:
        """Rows with the model's guesses in place of values that are not known; needs ``missing="mask"``.

        Parameters
        ----------
        X : array-like, masked array, DataFrame, scipy sparse or AnnData, shape (n_samples, n_features), or a source

        Returns
        -------
        the same kind of thing as ``X``
            With what is known as it came; a source or `dsae.data.named_rows` gives an array or a CSR matrix of all its
            rows. See `dsae.Runtime.impute`, and `dsae.features.TableRows.impute` for tables.
        """
        source = self._checked("impute", X, finite=False)
        if isinstance(source, ArraySource):
            return self.runtime_.impute(X)
        starts = range(0, len(source), ROWS_AT_ONCE)
        parts = zip(pieces(source), starts, strict=True)
        return stacked([self.runtime_.impute(rows, first_row=start) for rows, start in parts])

    def reconstruction_error(self, X: Any, per_feature: bool = False, *, target: Any = None) -> np.ndarray:
        """Mean squared error of each row, ``[n_samples]``, or the error of every value, ``[n_samples, n_features]``.

        From ``target`` where that is given; see `dsae.Runtime.reconstruction_error`.
        """
        parts = self._beside("reconstruction_error", X, target)
        return np.concatenate(
            [self.runtime_.reconstruction_error(rows, per_feature=per_feature, **beside) for rows, beside in parts]
        )

    def score_samples(self, X: Any, scale: Any = None, *, target: Any = None) -> np.ndarray:
        """Score of each row, ``[n_samples]``: minus its mean squared error; higher is more normal.

        ``scale``, such as the standard deviation of every feature, makes errors comparable between features; ``target``
        is what reconstructions are compared with in place of ``X``; see `dsae.Runtime.score_samples`.
        """
        parts = self._beside("score_samples", X, target)
        return np.concatenate([self.runtime_.score_samples(rows, scale=scale, **beside) for rows, beside in parts])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, target: Any = None, **unknown: Any) -> float:
        """``1 - FVU``: the share of the variance of ``X`` that its reconstruction explains; 1 is perfect.

        With ``target``, the share of that, which a model that predicts other columns needs. Rows count by
        ``sample_weight``, as in `fit`.

        As in `sklearn.metrics.r2_score`, it is 1 for equal rows that are reconstructed exactly, 0 for other equal rows,
        and NaN, with a warning, for a single row.
        """
        refuse_unknown("score", unknown)
        source = with_beside("score", self._checked("score", X), target, sample_weight)
        loss, beside = loss_of(self.runtime_.loss), {}
        if isinstance(source, ArraySource):
            beside = {"target": source.rows.target, "sample_weight": source.rows.weight}
            aims_of("score", self.runtime_.config, source.X, source.rows.target)
        rows = source.X if isinstance(source, ArraySource) else source
        errors = evaluate(self.runtime_.reconstruct, rows, metrics=["n_samples", loss.score_metric], **beside)
        if errors["n_samples"] < 2:
            message = "[score] The score of less than two rows is not defined; got one row."
            warnings.warn(message, UndefinedMetricWarning, stacklevel=2)
            return math.nan
        return loss.score(errors[loss.score_metric])

    def _checked(self, verb: str, X: Any, finite: bool = True) -> Source:
        """Rows as a source, checked to have the columns of `fit`."""
        check_is_fitted(self)
        source = as_source(verb, X, finite=finite, missing=self.runtime_.missing)
        self._check_source(verb, X, source)
        return source

    def _asked(self, X: Any, exclude: Any) -> tuple[Source, Any]:
        return self._checked("recommend", X, finite=False), exclude

    def _beside(self, verb: str, X: Any, target: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The same rows, with their first number and their part of a target that is given."""
        source = self._checked(verb, X, finite=False)
        if isinstance(source, ArraySource):
            return iter([(source.X, {"first_row": 0, "target": target})])
        batches = with_beside(verb, source, target).batches(ROWS_AT_ONCE)
        numbered = zip(count(0, ROWS_AT_ONCE), batches, strict=False)
        return ((b.rows, {"first_row": i, "target": None if target is None else b.target}) for i, b in numbered)

    def _batches(self, verb: str, X: Any) -> Iterator[Any]:
        """Rows in memory as one batch; those of another source in order, in chunks."""
        source = self._checked(verb, X, finite=False)  # the runtime checks as it computes
        return iter([source.X]) if isinstance(source, ArraySource) else pieces(source)

    def normalize_atoms(self) -> Any:
        """Give every atom unit norm, for export: codes are then in the units of the data, and latents comparable.

        Reconstructions stay the same; see `dsae.interpret.normalize_atoms` for topk codes. `partial_fit` continues
        with a new Adam.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the decoder has hidden layers, or the code cannot be rescaled.
        """
        check_is_fitted(self)
        self.runtime_ = normalize_atoms(self.runtime_)
        return self

    def save(self, folder: str | Path, *, table: TableRows | None = None) -> Path:
        """Write a model folder; see docs/format.md. Of processes that trained together the first one does.

        Parameters
        ----------
        folder : str or Path
        table : TableRows, optional
            What made the rows that the model was fitted to: it goes into the folder, and the command line and
            ``Runtime.table`` then speak of the table's own columns.

        Raises
        ------
        ValueError
            If ``table`` gives rows of another width, or something that is not a model is in the way.
        """
        check_is_fitted(self)
        model = self.runtime_.model
        if table is not None:
            names = list(table.get_feature_names_out())
            if len(names) != model.config.n_features:
                raise ValueError(
                    f"[save] table must give {model.config.n_features} columns, the model's input width; got "
                    f"{len(names)}."
                )
            model = replace(model, table=table.schema_, feature_names=names)
        return store.write(folder, model) if writes(self) else Path(folder)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Importance of each input feature, summing to one."""
        check_is_fitted(self)
        return feature_importances(self.runtime_.model)

    @property
    def _n_features_out(self) -> int:
        return self.runtime_.config.n_components

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "mask"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

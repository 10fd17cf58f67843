"""A feature selector with scikit-learn's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted

from dsae.config import in_range, positive_int, true_or_false
from dsae.data import ArraySource, check_rows, gives_batches, source_of
from dsae.estimators._autoencoder import DeepSparseAutoencoder
from dsae.estimators._base import DSAEstimator, column_names, listed, refuse_unknown
from dsae.interpret import feature_importances, most_important
from dsae.runtime import Runtime, load

_DEFAULTS = {"hidden_layer_sizes": (256,), "scale": True}
_CODE, _FEATURES_PER_LATENT = 32, 4  # in a code as wide as the data all features would be equally important
_DENSITY, _INPUTS = 0.03, 8  # narrow data need more, or units lose all connections
_SHARE = 0.5  # as in `sklearn.feature_selection.RFE`


class DSAFeatureSelector(SelectorMixin, DSAEstimator):
    """Keeps the features that matter most for the reconstruction of all features; needs no labels.

    Parameters
    ----------
    estimator : DeepSparseAutoencoder, optional
        A copy of it is fitted. By default it has a hidden layer of 256 units, each connected to 3 % of the features but
        at least 8, a code of 32 or a quarter of the features, and ``scale=True``. With ``prefit``, a fitted estimator,
        a `Runtime` or a model folder.
    n_features_to_select : int, float in (0, 1] or None
        Number or share of features to keep; half by default.
    prefit : bool
        Whether ``estimator`` is already fitted and used unchanged.
    random_state : int, RandomState or None
        Seed of the default estimator.

    Attributes
    ----------
    estimator_ : DeepSparseAutoencoder or Runtime
    feature_importances_ : ndarray of float64, shape (n_features_in_,)
        See `dsae.interpret.feature_importances`.
    n_features_ : int
        Number of features kept.
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data
    >>> selector = DSAFeatureSelector(n_features_to_select=20, random_state=0)
    >>> selector.fit_transform(X).shape                                                 # doctest: +SKIP
    (1797, 20)
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_features_to_select: int | float | None = None,
        prefit: bool = False,
        random_state: Any = None,
    ) -> None:
        self._assign(locals())

    def fit(self, X: Any, y: Any = None, **unknown: Any) -> DSAFeatureSelector:
        """Learn which features matter in ``X [n_samples, n_features]``, in any form that `dsae.data.as_source` takes.

        Raises
        ------
        ValueError
            If a parameter or ``X`` is invalid.
        """
        refuse_unknown("fit", unknown)
        true_or_false("prefit", self.prefit)
        X = source_of("fit", X)
        if self.prefit:
            model, names = _fitted(self.estimator), column_names(X, X if gives_batches(X) else None)
            width, shape = model.config.n_features, _shape(X)
            if shape[1:] != (width,):
                raise ValueError(f"[fit] X must have {width} columns, the model's input width; got shape {shape}.")
            known = model.model.feature_names
            if names is not None and known is not None and names != known:
                raise ValueError(
                    f"[fit] X must have the model's columns in their order, {listed(known)}; got {listed(names)}."
                )
            self.estimator_ = model
        else:
            given = self.estimator
            base: Any = self._default(X) if given is None else clone(given)
            self.estimator_ = base.fit(X)
            model, names = base.runtime_, getattr(base, "feature_names_in_", None)
        n_features = model.config.n_features
        self.n_features_ = _wanted(self.n_features_to_select, n_features)
        self.feature_importances_ = feature_importances(model)
        self.n_features_in_ = n_features
        vars(self).pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        return self

    def transform(self, X: Any) -> Any:
        """The columns selected of ``X [n_samples, n_features]``; an object of another library gives an array or CSR."""
        source = source_of("transform", X)
        if source is X and not gives_batches(X):
            return super().transform(X)
        self._check_source("transform", X, source)
        held = source if isinstance(source, ArraySource) else source.load()
        return check_rows("transform", held.X, self.n_features_in_, finite=False)[:, self.get_support()]

    def _default(self, X: Any) -> DeepSparseAutoencoder:
        width = _shape(X)[-1]
        n_components = max(1, min(_CODE, width // _FEATURES_PER_LATENT))
        density = min(1.0, max(_DENSITY, _INPUTS / max(width, 1)))
        return DeepSparseAutoencoder(n_components, **_DEFAULTS, density=density, random_state=self.random_state)

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, bool)
        mask[most_important(self.feature_importances_, self.n_features_)] = True
        return mask

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = getattr(self.estimator, "missing", "error") == "mask"
        return tags


def _shape(X: Any) -> tuple[int, ...]:
    return tuple(X.shape) if getattr(X, "shape", ()) else check_rows("fit", X).shape


def _fitted(estimator: Any) -> Runtime:
    if isinstance(estimator, (str, Path)):
        return load(estimator)
    if isinstance(estimator, Runtime):
        return estimator
    if hasattr(estimator, "runtime_"):
        return estimator.runtime_
    raise ValueError(
        "[fit] prefit=True needs a fitted DeepSparseAutoencoder, a Runtime or a model folder as estimator; "
        f"got {type(estimator).__name__}."
    )


def _wanted(given: Any, n_features: int) -> int:
    if given is None:
        return max(1, round(_SHARE * n_features))
    if hasattr(given, "__index__"):
        positive_int("n_features_to_select", given)
        if given > n_features:
            raise ValueError(f"n_features_to_select must be at most {n_features}, the features of X; got {given}.")
        return int(given)
    in_range("n_features_to_select", given, 0, 1, open_low=True)
    return max(1, round(given * n_features))

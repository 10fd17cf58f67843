"""An outlier detector with scikit-learn's interface."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import OutlierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from dsae.config import did_you_mean, in_range, positive_int
from dsae.data import ArraySource, Rows, check_rows, in_memory
from dsae.estimators._autoencoder import DeepSparseAutoencoder
from dsae.estimators._base import DSAEstimator, column_names, refuse_unknown
from dsae.estimators._warnings import advise_on_data
from dsae.runtime import Runtime
from dsae.store import Model

_MEMBER = {
    "hidden_layer_sizes": (64,),
    "shrink": "random",
    "max_iter": 25,
    "batch_size": 64,
    "learning_rate_init": 1e-2,
}
_DENSITY, _EDGES = 0.2, 4  # active share of the weights, but at least so many per unit
_MAX_SAMPLES = 256  # rows that a member learns from, as in an isolation forest (Liu et al. 2008)
_VALUES_AT_ONCE = 2**18  # errors at a time; any such number does
_DEVIATIONS = 3.0  # above the median, for contamination="auto"
_MAD = 1.4826  # standard deviation over median absolute deviation of a normal distribution


class DSAOutlierDetector(OutlierMixin, DSAEstimator):
    """Finds rows that sparse autoencoders cannot reconstruct, or reconstruct from an unusual code.

    An ensemble of small autoencoders with random edges and random code widths, each trained on a random subset of the
    rows (Chen et al., Outlier detection with autoencoder ensembles, SDM 2017). In each, the distance of a row is its
    squared error, per feature relative to the usual error there, plus the squared Mahalanobis distance of its code;
    both are 1 on average. The distance of a row is the median over the autoencoders.

    Features are standardised and their tails compressed by ``sign(x) log(1 + |x|)``, so that single extreme values
    dominate neither training nor distance. A sparse matrix is used unchanged.

    Parameters
    ----------
    estimator : DeepSparseAutoencoder, optional
        Copies of it are fitted to all rows.
    n_estimators : int
        Number of autoencoders.
    contamination : "auto" or float in (0, 0.5]
        Share of outliers among the rows of `fit`, which sets ``offset_``. By default a row is an outlier where the cube
        root of its distance, about normal for sums of squares (Wilson & Hilferty 1931), lies more than three robust
        standard deviations above the median.
    random_state : int, RandomState or None
        Makes a fit repeat.

    Attributes
    ----------
    estimators_ : list of DeepSparseAutoencoder
        Their ``feature_importances_`` come from the weights: training measures none.
    offset_ : float
        ``decision_function(X) = score_samples(X) - offset_``.
    n_features_in_ : int

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> X[7] = 6
    >>> detector = DSAOutlierDetector(n_estimators=3, random_state=0).fit(X)
    >>> int(detector.score_samples(X).argmin()), int(detector.predict(X)[7])
    (7, -1)
    """

    def __init__(
        self,
        estimator: DeepSparseAutoencoder | None = None,
        *,
        n_estimators: int = 10,
        contamination: str | float = "auto",
        random_state: Any = None,
    ) -> None:
        self._assign(locals())

    def fit(self, X: Any, y: Any = None, **unknown: Any) -> DSAOutlierDetector:
        """Fit the ensemble to ``X [n_samples, n_features]``, in any form that `dsae.data.check_rows` takes.

        Raises
        ------
        ValueError
            If a parameter or ``X`` is invalid.
        """
        refuse_unknown("fit", unknown)
        self._check_parameters()
        source = in_memory("fit", X, training=True)
        rows, names = source.X, column_names(X, source)
        advise_on_data(source, names, weight=False)
        self._squash = None if sp.issparse(rows) else _Squash.fitted(rows)
        with warnings.catch_warnings():  # about constant features of a subset; those of all rows have been reported
            warnings.filterwarnings("ignore", r"\[fit\]", UserWarning)
            self.estimators_ = [_fitted(member, some) for member, some in self._members(rows)]
        self._usual = [_Usual.of(member.runtime_.model, self._squash, rows) for member in self.estimators_]
        self.n_features_in_ = rows.shape[1]
        vars(self).pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        self.offset_ = _offset(self._scores(rows), self.contamination)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the distance of each row, ``[n_samples]``: higher is more normal, about -2 is usual."""
        return self._scores(self._checked("score_samples", X))

    def decision_function(self, X: Any) -> np.ndarray:
        """``score_samples(X) - offset_``: outliers are below 0."""
        return self._scores(self._checked("decision_function", X)) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for outliers and 1 for the others, ``[n_samples]``."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> np.ndarray:
        """Contribution of each feature to the error of each row, ``[n_samples, n_features]``; 1 is usual.

        The median over the autoencoders of the squared error divided by the usual error in that feature.
        """
        rows = self._checked("explain", X)
        return np.median([usual.errors(rows) for usual in self._usual], axis=0)

    def _check_parameters(self) -> None:
        positive_int("n_estimators", self.n_estimators)
        if isinstance(self.contamination, str):
            if self.contamination != "auto":
                hint = did_you_mean(self.contamination, ("auto",))
                raise ValueError(
                    f"contamination must be a number in (0, 0.5], or 'auto'; got {self.contamination!r}.{hint}"
                )
        else:
            in_range("contamination", self.contamination, 0, 0.5, open_low=True)

    def _members(self, rows: Rows) -> Iterator[tuple[DeepSparseAutoencoder, Rows]]:
        random = check_random_state(self.random_state)
        n_samples, n_features = rows.shape
        for _ in range(self.n_estimators):
            seed = int(random.randint(np.iinfo(np.int32).max))
            if self.estimator is not None:
                copy: Any = clone(self.estimator)
                yield copy.set_params(random_state=seed), rows if self._squash is None else self._squash(rows)
                continue
            width = int(random.randint(1, max(2, n_features // 2) + 1))
            settings = {
                **_MEMBER,
                "density": max(_DENSITY, min(1.0, _EDGES / n_features)),
                "scale": self._squash is None,
            }
            some = rows[np.sort(random.permutation(n_samples)[:_MAX_SAMPLES])]
            if self._squash is not None:
                some = self._squash(some)
            yield DeepSparseAutoencoder(width, **settings, random_state=seed), some

    def _checked(self, verb: str, X: Any) -> Rows:
        check_is_fitted(self)
        source = in_memory(verb, X)
        self._check_source(verb, X, source)
        return check_rows(verb, source.X, self.n_features_in_, finite=False)

    def _scores(self, rows: Rows) -> np.ndarray:
        return -np.median([usual.distances(rows) for usual in self._usual], axis=0)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _fitted(member: DeepSparseAutoencoder, rows: Rows) -> DeepSparseAutoencoder:
    """Without the importance of its inputs, of which the detector makes no use."""
    member._measures_importance = False
    return member.fit(rows)


class _Squash(NamedTuple):
    """Standardise, compress the tails, standardise again."""

    mean: np.ndarray
    deviation: np.ndarray
    squashed_mean: np.ndarray
    squashed_deviation: np.ndarray

    @classmethod
    def fitted(cls, rows: np.ndarray) -> _Squash:
        mean, deviation = _moments(rows)
        return cls(mean, deviation, *_moments(_pulled_in((rows - mean) / deviation)))

    def __call__(self, rows: Rows) -> np.ndarray:
        rows = rows.toarray() if sp.issparse(rows) else rows  # pyright: ignore
        return (_pulled_in((rows - self.mean) / self.deviation) - self.squashed_mean) / self.squashed_deviation


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = ArraySource(rows).moments()
    return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, np.maximum(np.abs(mean), 1)).astype(np.float32)


def _pulled_in(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values))


class _Usual(NamedTuple):
    """The usual errors and codes of a model: mean squared error per feature, mean and spread of the codes.

    Computed in float64: users expect the digits of a distance not to depend on the number of rows scored at once, and
    the kernels' float32 sums do.
    """

    runtime: Runtime
    squash: _Squash | None
    error: np.ndarray
    center: np.ndarray
    whitening: np.ndarray

    @classmethod
    def of(cls, model: Model, squash: _Squash | None, rows: Rows) -> _Usual:
        # errors of usual size 1, for now, are the plain errors from which the usual ones are computed
        blank = cls(Runtime(model, np.float64), squash, np.ones(rows.shape[1]), np.zeros(0), np.zeros(0))
        parts = [(errors.sum(axis=0), codes) for errors, codes in blank._run(rows)]
        error, codes = sum(part for part, _ in parts) / rows.shape[0], np.concatenate([codes for _, codes in parts])
        spread, axes = np.linalg.eigh(np.atleast_2d(np.cov(codes.T, bias=True)))
        # along directions in which no code varies, rounding alone would make outliers
        seen = spread > 1e-6 * max(spread.max(), 1e-30)
        whitening = axes[:, seen] / np.sqrt(spread[seen] * max(seen.sum(), 1))
        return blank._replace(
            error=np.maximum(error, 1e-6 * max(error.max(), 1e-30)), center=codes.mean(axis=0), whitening=whitening
        )

    def errors(self, rows: Rows) -> np.ndarray:
        """Squared errors divided by the usual ones, ``[n_samples, n_features]``."""
        return np.concatenate([errors / self.error for errors, _ in self._run(rows)])

    def distances(self, rows: Rows) -> np.ndarray:
        """Mean of these, plus the squared distance of the code, ``[n_samples]``."""
        # an outlier may have a usual error and an unusual code: the error alone missed such rows
        return np.concatenate(
            [
                (errors / self.error).mean(axis=1) + np.square((codes - self.center) @ self.whitening).sum(axis=1)
                for errors, codes in self._run(rows)
            ]
        )

    def _run(self, rows: Rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Squared errors and codes, some rows at a time."""
        step = max(1, _VALUES_AT_ONCE // rows.shape[1])
        for start in range(0, rows.shape[0], step):
            some = rows[start : start + step]
            x: Any = some if self.squash is None else self.squash(some)
            codes = self.runtime.encode(x)
            yield np.square((x.toarray() if sp.issparse(x) else x) - self.runtime.decode(codes)), codes


def _offset(scores: np.ndarray, contamination: str | float) -> float:
    if not isinstance(contamination, str):
        return float(np.percentile(scores, 100.0 * contamination))
    roots = np.cbrt(-scores)  # of squared distances: nearly normal (Wilson & Hilferty 1931)
    middle = np.median(roots)
    return -float((middle + _DEVIATIONS * _MAD * np.median(np.abs(roots - middle))) ** 3)

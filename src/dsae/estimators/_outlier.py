"""An outlier detector with scikit-learn's interface."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import OutlierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from dsae.config import MISSING, did_you_mean, in_range, one_of, positive_int
from dsae.data import Rows, check_rows, in_memory
from dsae.estimators import _outlier_folder
from dsae.estimators._autoencoder import DeepSparseAutoencoder
from dsae.estimators._base import DSAEstimator, column_names, refuse_unknown, warn
from dsae.estimators._kept import given_back, kept
from dsae.estimators._members import HIDDEN, Plan, trained
from dsae.estimators._rarity import Rarity
from dsae.estimators._training import check_known
from dsae.estimators._usual import Squash, Usual, pieces
from dsae.estimators._warnings import advise_on_data
from dsae.features import TableRows
from dsae.runtime import Runtime
from dsae.store import Model, fetched

_SPARSE_MEMBER = {
    "hidden_layer_sizes": (HIDDEN,),
    "shrink": "random",
    "max_iter": 25,
    "batch_size": 64,
    "learning_rate_init": 1e-2,
    "scale": True,
}
_DENSITY, _EDGES = 0.2, 4  # active share of the weights, but at least so many per unit
_SAMPLE = 64, 1024  # rows of a member: a varying number finds dense and loose groups (Aggarwal & Sathe 2015)
_MASKS = 0.0, 0.5  # in turns: one alone found less (docs/design/outliers.md)
_DEVIATIONS = 3.0  # above the median, for contamination="auto"
_MAD = 1.4826  # standard deviation over median absolute deviation of a normal distribution


class DSAOutlierDetector(OutlierMixin, DSAEstimator):
    """Finds rows that sparse autoencoders cannot reconstruct, or reconstruct from an unusual code.

    An ensemble of small autoencoders with random edges and random code widths (Chen et al., Outlier detection with
    autoencoder ensembles, SDM 2017), each trained on a random subset of 64 to 1024 rows (variable subsampling, Aggarwal
    & Sathe 2015), every second one to fill in half of the values. In each, the distance of a row is the sum of three
    parts:

    - its squared error, per feature relative to the usual error there;
    - the squared Mahalanobis distance of its code;
    - the distance of its code to the nearest of the subset's, measured as their reconstructions differ.

    Each is divided by its mean over the rows of `fit`, the last is at most 5 then, and they weigh 2, 1 and 3. The
    distance of a row is the mean over the autoencoders, so that of a usual row is about 6.

    Outliers that are many and alike are learned by the autoencoders and have each other as neighbours. So a row's
    distance is at least how rare its values are, feature by feature: minus the mean logarithm of the shares of their
    bins in histograms of the same subsets (HBOS, Goldstein & Dengel 2012), brought to the mean and the standard
    deviation that distances have over the rows of `fit`. Not of a sparse matrix, in which most values are one.

    Features are standardised and their tails compressed by ``sign(x) log(1 + |x|)``, so that single extreme values
    dominate neither training nor distance. A sparse matrix is used unchanged.

    Parameters
    ----------
    estimator : DeepSparseAutoencoder, optional
        Copies of it are fitted to all rows. By default the members are trained side by side, on one thread and without
        torch; those of a sparse matrix one after the other, by `DeepSparseAutoencoder`.
    n_estimators : int
        Number of autoencoders.
    contamination : "auto" or float in (0, 0.5]
        Share of outliers among the rows of `fit`, which sets ``offset_``. By default a row is an outlier where the cube
        root of its distance, about normal for sums of squares (Wilson & Hilferty 1931), lies more than three robust
        standard deviations above the median.
    missing : {"error", "mask"}
        Whether NaN in the rows is refused, or a value that is not known: a row is then judged by what is known of it.
        One of which nothing is known gets the score of the features' means with the usual error, not NaN, so that it is
        hardly ever an outlier, and a warning.
    random_state : int, RandomState or None
        Makes a fit repeat.

    Attributes
    ----------
    estimators_ : list of Runtime
        The autoencoders. Those of dense rows take rows as they are squashed.
    offset_ : float
        ``decision_function(X) = score_samples(X) - offset_``.
    n_features_in_ : int
    table_ : TableRows or None
        Of a detector that was loaded, what makes rows of the table that it was fitted to.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> X[7] = 6
    >>> detector = DSAOutlierDetector(random_state=0).fit(X)
    >>> int(detector.score_samples(X).argmin()), int(detector.predict(X)[7])
    (7, -1)
    """

    table_: TableRows | None

    def __init__(
        self,
        estimator: DeepSparseAutoencoder | None = None,
        *,
        n_estimators: int = 20,
        contamination: str | float = "auto",
        missing: str = "error",
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
        source = in_memory("fit", X, training=True, missing=self.missing)
        rows, names = source.X, column_names(X, source)
        check_known(source, names, self.missing)
        advise_on_data(source, names, weight=False)
        squash = None if sp.issparse(rows) else Squash.fitted(rows)
        random = check_random_state(self.random_state)
        rng = np.random.default_rng(random.randint(np.iinfo(np.int32).max, size=4))
        # the members are too small for more threads, whose sums would differ, too
        with threadpool_limits(1, "blas"):
            given = self._members(rows, squash, rng)
            members = [Usual.of(m.model, squash, rows, m.sample, m.whole) for m in given]
            distances = np.mean([distances for _, distances in members], axis=0)
            rarity = None
            if squash is not None:
                known = squash(rows)
                rarity = Rarity.of(known, [m.sample for m in given], rng).in_units_of(distances, known)
                distances = np.maximum(distances, rarity(known))
        self._adopt([usual for usual, _ in members], rarity, names)
        self.offset_ = _offset(distances, self.contamination)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the distance of each row, ``[n_samples]``: higher is more normal, about -6 is usual."""
        return self._scores(self._checked("score_samples", X))

    def decision_function(self, X: Any) -> np.ndarray:
        """``score_samples(X) - offset_``: outliers are below 0."""
        return self._scores(self._checked("decision_function", X)) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for outliers and 1 for the others, ``[n_samples]``."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> np.ndarray:
        """Contribution of each feature to the error of each row, ``[n_samples, n_features]``; 1 is usual.

        The median, over the autoencoders that were trained on whole rows, of the squared error divided by the usual
        error in that feature; 0 where a value is not known.
        """
        rows = self._checked("explain", X)
        with threadpool_limits(1, "blas"):
            return np.median([usual.errors(rows) for usual in self._usual if usual.whole], axis=0)

    def save(self, folder: str | Path, *, table: TableRows | None = None) -> Path:
        """Write the fitted detector to a folder of its own, atomically; see docs/format.md.

        Parameters
        ----------
        folder : str or Path
        table : TableRows, optional
            What made the rows that it was fitted to: `dsae score` then takes the table itself, and so does a detector
            that is loaded, by ``detector.table_.transform(table)``.

        Raises
        ------
        ValueError
            If ``table`` gives rows of another width, or something that is not a detector is in the way.
        OSError
            If the folder cannot be written.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        parameters = kept(given := self.get_params(deep=False))
        if given["estimator"] is not None:
            parameters["estimator"] = kept(given["estimator"].get_params(deep=False))
        names = None if names is None else [str(name) for name in names]
        table = self.table_ if table is None else table
        if table is not None:
            names = list(table.get_feature_names_out())
            if len(names) != self.n_features_in_:
                raise ValueError(
                    f"[save] table must give {self.n_features_in_} columns, those of fit; got {len(names)}."
                )
        schema, offset = None if table is None else table.schema_, float(self.offset_)
        found = _outlier_folder.Detector(parameters, self._usual, self._rarity, offset, names, schema)
        return _outlier_folder.write(folder, found)

    @classmethod
    def load(cls, folder: str | Path) -> DSAOutlierDetector:
        """The fitted detector in a folder, or at an address of the Hugging Face Hub (``hf://user/repo``).

        It scores as the one that was saved, and has its parameters. Of ``estimator`` these are the parameters; a random
        generator is not kept.

        Raises
        ------
        ValueError
            If the folder holds no detector, or is damaged.
        OSError
            If it cannot be read.
        """
        found = _outlier_folder.read(fetched(folder, files=_outlier_folder.FILES))
        try:
            given = given_back(cls, found.parameters)
            if given.get("estimator") is not None:
                given["estimator"] = DeepSparseAutoencoder(**given_back(DeepSparseAutoencoder, given["estimator"]))
            detector = cls(**given)
            detector._check_parameters()
        except ValueError as error:
            raise ValueError(f"[load] {folder}: {error}") from None
        # rows of a table come from `table_`, as an array
        detector._adopt(found.members, found.rarity, found.feature_names if found.table is None else None)
        detector.offset_ = found.offset
        detector.table_ = None if found.table is None else TableRows.of(found.table)
        return detector

    def _adopt(self, members: list[Usual], rarity: Rarity | None, names: list[str] | None) -> None:
        self._usual, self._rarity, self.table_ = members, rarity, None
        self.estimators_ = [Runtime(usual.runtime.model) for usual in members]
        self.n_features_in_ = members[0].runtime.config.n_features
        vars(self).pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)

    def _check_parameters(self) -> None:
        positive_int("n_estimators", self.n_estimators)
        one_of("missing", self.missing, MISSING)
        if isinstance(self.contamination, str):
            if self.contamination != "auto":
                hint = did_you_mean(self.contamination, ("auto",))
                raise ValueError(
                    f"contamination must be a number in (0, 0.5], or 'auto'; got {self.contamination!r}.{hint}"
                )
        else:
            in_range("contamination", self.contamination, 0, 0.5, open_low=True)

    def _members(self, rows: Rows, squash: Squash | None, rng: np.random.Generator) -> list[_Member]:
        (n_samples, n_features), n = rows.shape, int(self.n_estimators)
        # spread evenly, so that seeds differ little, and each width once for whole rows and once for holed ones
        widths = np.linspace(1, max(2, min(n_features // 2, HIDDEN)), -(-n // 2)).round().astype(int)
        widths = np.repeat(widths, 2)[:n].tolist()
        sizes = rng.permutation(np.geomspace(*_SAMPLE, n).round().astype(int))
        # Sorted: rows are then read in the order of memory.
        samples = [np.sort(rng.permutation(n_samples)[:size]) for size in sizes]
        density = max(_DENSITY, min(1.0, _EDGES / n_features))
        if self.estimator is None and squash is not None:
            masks = np.resize(_MASKS, n).tolist()
            models = trained(squash(rows), Plan(widths, samples, masks, density), rng, self.missing)
            return [_Member(*each) for each in zip(models, samples, (not mask for mask in masks), strict=True)]
        found = []
        for width, sample in zip(widths, samples, strict=True):
            seed = int(rng.integers(np.iinfo(np.int32).max))
            if self.estimator is None:
                member: Any = DeepSparseAutoencoder(width, density=density, **_SPARSE_MEMBER)
                seen = rows[sample]
            else:
                member, seen = clone(self.estimator), rows if squash is None else squash(rows)
            member.set_params(random_state=seed, missing=self.missing)
            found.append(_Member(_fitted(member, seen).runtime_.model, sample, True))
        return found

    def _checked(self, verb: str, X: Any) -> Rows:
        check_is_fitted(self)
        source = in_memory(verb, X, missing=self.missing)
        self._check_source(verb, X, source)
        known = source.known() if self.missing == "mask" else None
        if known is not None and known.n_blank:
            warn(
                f"[{verb}] No value is known of {known.n_blank} rows, the first of which is row {known.first_blank}: "
                "they are scored as the features' means. Drop them."
            )
        return check_rows(verb, source.X, self.n_features_in_, finite=False)

    def _scores(self, rows: Rows) -> np.ndarray:
        with threadpool_limits(1, "blas"):
            distances = np.mean([usual.distances(rows) for usual in self._usual], axis=0)
            squash = self._usual[0].squash
            if self._rarity is None or squash is None:
                return -distances
            return -np.maximum(distances, np.concatenate([self._rarity(squash(some)) for some in pieces(rows)]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags


class _Member(NamedTuple):
    """A model, the rows with which it compares others, and whether it was trained on whole rows."""

    model: Model
    sample: np.ndarray
    whole: bool


def _fitted(member: DeepSparseAutoencoder, rows: Rows) -> DeepSparseAutoencoder:
    """Without the importance of its inputs, of which the detector makes no use."""
    member._measures_importance = False
    with warnings.catch_warnings():  # about constant features of a subset; those of all rows have been reported
        warnings.filterwarnings("ignore", r"\[fit\]", UserWarning)
        return member.fit(rows)


def _offset(distances: np.ndarray, contamination: str | float) -> float:
    if not isinstance(contamination, str):
        return -float(np.percentile(distances, 100 - 100.0 * contamination))
    roots = np.cbrt(distances)  # of squared distances: nearly normal (Wilson & Hilferty 1931)
    middle = np.median(roots)
    return -float((middle + _DEVIATIONS * _MAD * np.median(np.abs(roots - middle))) ** 3)

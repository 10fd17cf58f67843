"""Classifiers of real rows, which say of what class a row is that was made."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from dsae.data import JointSource
from dsae.estimators._modalities import rows_at_hand

_ROWS = 10_000
_FOLDS = 5


class Judge:
    """A logistic regression of one modality's real rows, divided by one number so that its penalty suits any unit.

    Dense rows are centred first: the intercept makes up for it, and solvers need fewer steps.

    Parameters
    ----------
    source : JointSource
    name : str
        The modality.
    classes, known : ndarray, shape (n_samples,)
        Classes of the rows, and which have one.

    Raises
    ------
    ValueError
        If the labelled rows of the modality are all of one class.
    """

    def __init__(self, source: JointSource, name: str, classes: np.ndarray, known: np.ndarray) -> None:
        has = source.has(name)
        chosen = np.flatnonzero(known[has])
        chosen = chosen[np.sort(np.random.default_rng(0).permutation(chosen.size)[:_ROWS])]
        self._classes = classes[has][chosen]
        if len(np.unique(self._classes)) < 2:
            raise ValueError(
                f"[judges] Rows of {name!r} must be of at least 2 classes; got {len(np.unique(self._classes))}. Give "
                "judges of other rows, or leave the modality out."
            )
        rms = float(np.sqrt(np.mean(np.square(source.of(name).moments()[1]))))
        self._unit = np.float32(rms or 1.0)
        rows = rows_at_hand(source, name)[chosen]
        self._centre = None if sp.issparse(rows) else rows.mean(axis=0)
        self._rows = self._scaled(rows)
        self._kinds, self._numbers = np.unique(self._classes, return_inverse=True)
        with _settled():
            self._fitted = LogisticRegression(max_iter=1000).fit(self._rows, self._numbers)

    def _scaled(self, rows: Any) -> Any:
        return (rows if self._centre is None else rows - self._centre) / self._unit

    def __call__(self, rows: Any) -> np.ndarray:
        """Classes of rows, ``[n_rows]``."""
        return self._kinds[self._fitted.predict(self._scaled(rows))]

    def accuracy(self) -> float:
        """The share of its rows whose class is told by a judge of the other folds; NaN where there are too few rows."""
        n_folds = min(_FOLDS, int(np.sort(np.bincount(self._numbers))[-2]))  # so that each fold trains on two classes
        if n_folds < 2:
            return float("nan")
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
        with _settled():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            told = cross_val_predict(LogisticRegression(max_iter=1000), self._rows, self._numbers, cv=folds)
        return float(np.mean(told == self._numbers))


@contextmanager
def _settled() -> Iterator[None]:
    """Without warnings of solvers: how good a judge is shows in ``accuracy``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield

"""What is usual of rows and of a model's errors and codes, and how far rows are from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.data import ArraySource, Rows
from dsae.runtime import Runtime
from dsae.store import Model

_VALUES_AT_ONCE = 2**18  # errors, or distances between codes, at a time; any such number does
WEIGHTS = 2.0, 1.0, 3.0  # of errors, codes and neighbours; chosen on tables, see docs/design/outliers.md
_FAR = 5.0  # times the mean: in a code of one latent the outermost rows were 50 times as far from the next as others
_EQUAL = 1e-6  # of the neighbours' distance from the mean: below it a distance is rounding
_LEAST_SPREAD = 1e-6  # of the largest: along directions in which no code varies, rounding alone would make outliers


class Squash(NamedTuple):
    """Standardise, compress the tails, standardise again; NaN stays."""

    mean: np.ndarray
    deviation: np.ndarray
    squashed_mean: np.ndarray
    squashed_deviation: np.ndarray

    @classmethod
    def fitted(cls, rows: np.ndarray) -> Squash:
        mean, deviation = _moments(rows)
        return cls(mean, deviation, *_moments(_pulled_in((rows - mean) / deviation)))

    def __call__(self, rows: Rows) -> np.ndarray:
        rows = rows.toarray() if sp.issparse(rows) else rows  # pyright: ignore
        return (_pulled_in((rows - self.mean) / self.deviation) - self.squashed_mean) / self.squashed_deviation


def pieces(rows: Rows) -> Iterator[Any]:
    """Some rows at a time; none of no rows."""
    step = max(1, _VALUES_AT_ONCE // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        yield rows[start : start + step]


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = ArraySource(rows).moments()
    return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, np.maximum(np.abs(mean), 1)).astype(np.float32)


def _pulled_in(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values))


class Usual(NamedTuple):
    """The usual errors and codes of a model.

    Computed in float64: users expect the digits of a distance not to depend on the number of rows scored at once, and
    the kernels' float32 sums do.

    Attributes
    ----------
    runtime : Runtime
    squash : Squash, optional
        What rows go through first.
    error : ndarray, shape (n_features,)
        Mean squared errors.
    center : ndarray, shape (n_components,)
        The mean code.
    whitening : ndarray, shape (n_components, n_directions)
        To directions in which the codes' variances sum to 1.
    metric : ndarray, shape (n_components, n_components)
        To directions in which codes are as far from each other as their reconstructions are, had these been linear.
    neighbours : ndarray, shape (n_neighbours, n_components)
        Codes of some rows, in these directions.
    nearest : float
        Mean distance of a row to the nearest of them.
    whole : bool
        Whether the model was trained on whole rows: its errors lie where a row is unusual, while those of a model that
        fills in what it does not see are spread over the features that it concludes from.
    """

    runtime: Runtime
    squash: Squash | None
    error: np.ndarray
    center: np.ndarray
    whitening: np.ndarray
    metric: np.ndarray
    neighbours: np.ndarray
    nearest: float
    whole: bool

    @classmethod
    def of(
        cls, model: Model, squash: Squash | None, rows: Rows, sample: np.ndarray, whole: bool = True
    ) -> tuple[Usual, np.ndarray]:
        """Of the rows of a fit, and the distance of each of them.

        Parameters
        ----------
        model : Model
        squash : Squash, optional
        rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
        sample : ndarray of int
            Numbers of the rows with which others are compared.
        whole : bool
            Whether the model was trained on whole rows.
        """
        none = np.zeros(0)
        blank = cls(Runtime(model, np.float64), squash, none, none, none, none, none, 1.0, whole)
        codes, errors, known, made, products = [], 0.0, 0, 0.0, 0.0
        for error, reconstructed, code in blank._run(rows):
            errors, known = errors + np.nansum(error, axis=0), known + (~np.isnan(error)).sum(axis=0)
            made, products = made + reconstructed.sum(axis=0), products + code.T @ reconstructed
            codes.append(code)
        codes, error = np.concatenate(codes), errors / np.maximum(known, 1)
        center = codes.mean(axis=0)
        spread = (codes - center).T @ (codes - center) / len(codes)
        slope = np.linalg.pinv(spread, _LEAST_SPREAD, hermitian=True) @ (products - np.outer(center, made)) / len(codes)
        metric = _root(slope @ slope.T)
        usual = blank._replace(
            error=np.maximum(error, _LEAST_SPREAD * max(error.max(), 1e-30)),
            center=center,
            whitening=_whitening(spread),
            metric=metric,
            neighbours=(codes[sample] - center) @ metric,
        )
        nearest = usual._to_nearest(codes)
        size = np.sqrt(np.square(usual.neighbours).sum(axis=1).mean())
        usual = usual._replace(nearest=max(float(nearest.mean()), _LEAST_SPREAD * float(size), 1e-30))
        off = np.concatenate([usual._mean(error) for error, _, _ in usual._run(rows)])
        return usual, usual._sum(off, codes, nearest)

    def errors(self, rows: Rows) -> np.ndarray:
        """Squared errors divided by the usual ones, ``[n_samples, n_features]``; 0 where a value is not known."""
        return np.concatenate([np.nan_to_num(error / self.error) for error, _, _ in self._run(rows)])

    def distances(self, rows: Rows) -> np.ndarray:
        """Of rows, ``[n_samples]``."""
        return np.concatenate(
            [self._sum(self._mean(error), code, self._to_nearest(code)) for error, _, code in self._run(rows)]
        )

    def _sum(self, off: np.ndarray, codes: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        # an outlier may have a usual error and an unusual code, or a code like the others' mean where there are none
        of_error, of_code, of_nearest = WEIGHTS
        return of_error * off + of_code * self._unlike(codes) + of_nearest * np.minimum(nearest / self.nearest, _FAR)

    def _mean(self, errors: np.ndarray) -> np.ndarray:
        """Of the relative errors that are known; of a row without any, the usual 1."""
        known = ~np.isnan(errors)
        total = np.where(known, errors / self.error, 0).sum(axis=1)
        return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), 1.0)

    def _unlike(self, codes: np.ndarray) -> np.ndarray:
        """The squared Mahalanobis distances of codes from the mean."""
        return np.square((codes - self.center) @ self.whitening).sum(axis=1)

    def _to_nearest(self, codes: np.ndarray) -> np.ndarray:
        """The distance to the nearest neighbour; one that is equal counts as the row itself."""
        found, step = [], max(1, _VALUES_AT_ONCE // len(self.neighbours))
        squares = np.square(self.neighbours).sum(axis=1)
        for start in range(0, len(codes), step):
            at = (codes[start : start + step] - self.center) @ self.metric
            closeness = squares - 2 * (at @ self.neighbours.T)  # less the row's own square
            first = closeness.argmin(axis=1)
            closeness[np.arange(len(at)), first] = np.inf
            nearest, second = self._distance_to(at, first), self._distance_to(at, closeness.argmin(axis=1))
            found.append(np.where(nearest > _EQUAL * np.sqrt(squares.mean()), nearest, second))
        return np.concatenate(found)

    def _distance_to(self, at: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        # from differences: those of squares have digits that depend on the rows beside
        return np.sqrt(np.square(at - self.neighbours[chosen]).sum(axis=1))

    def _run(self, rows: Rows) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Squared errors, NaN where a value is not known, reconstructions and codes, some rows at a time."""
        for some in pieces(rows):
            x: Any = some if self.squash is None else self.squash(some)
            codes = self.runtime.encode(x)
            made = self.runtime.decode(codes)
            yield np.square((x.toarray() if sp.issparse(x) else x) - made), made, codes


def _whitening(spread: np.ndarray) -> np.ndarray:
    variances, axes = np.linalg.eigh(spread)
    seen = variances > _LEAST_SPREAD * max(variances.max(), 1e-30)
    return axes[:, seen] / np.sqrt(variances[seen] * max(seen.sum(), 1))


def _root(square: np.ndarray) -> np.ndarray:
    """A matrix that gives the symmetric ``square`` when multiplied by its transpose."""
    values, axes = np.linalg.eigh(square)
    return axes * np.sqrt(np.maximum(values, 0))

"""How rare the values of rows are, feature by feature."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dsae.estimators._usual import pieces

_BINS = 4, 20  # of the coarsest and the finest histogram; together they are smooth


class Rarity(NamedTuple):
    """Histograms of every feature, of samples of rows, with as many bins as the sample's place among them says.

    The rarity of a row is minus the mean logarithm of the shares of its bins, over histograms and features that are
    known (HBOS, Goldstein & Dengel 2012). It tells of outliers that are many and alike, whose errors are small and
    whose neighbours are near.

    Attributes
    ----------
    low, width : ndarray, shape (n_histograms, n_features)
        Where the bins of a feature begin, and how wide they are.
    surprise : ndarray, shape (n_histograms, n_features, n_bins)
        Of each bin; the first and the last hold all that is beyond.
    unit : ndarray, shape (3,)
        Mean rarity, and factor and shift that bring rarities to the mean and the standard deviation of distances.
    """

    low: np.ndarray
    width: np.ndarray
    surprise: np.ndarray
    unit: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, samples: list[np.ndarray], rng: np.random.Generator) -> Rarity:
        """Of some ``rows``, standardised; NaN is not known."""
        n_bins = np.geomspace(*_BINS, len(samples)).round().astype(int)
        shape = len(samples), rows.shape[1]
        low, width = np.zeros(shape), np.ones(shape)
        surprise = np.zeros((*shape, _BINS[1] + 3))
        for i, (sample, n) in enumerate(zip(samples, n_bins, strict=True)):
            some = rows[sample].astype(np.float64)
            known = ~np.isnan(some)
            least = np.where(known, some, np.inf).min(axis=0)
            least = np.where(np.isfinite(least), least, 0.0)  # of a feature of which the sample knows nothing
            range_ = np.maximum(np.where(known, some, -np.inf).max(axis=0), least) - least
            width[i] = np.where(range_ > 0, range_ / n, 1.0)
            low[i] = least - (1 + rng.random(shape[1])) * width[i]  # a bin that is empty, and a random part of one
            place = _bins(some, low[i], width[i], n + 2)
            for j in range(shape[1]):
                counts = np.bincount(place[known[:, j], j], minlength=n + 3) + 1.0
                counts = np.pad(counts, (0, _BINS[1] - n), mode="edge")  # whatever lies beyond is in the last bin
                surprise[i, j] = np.log(known[:, j].sum() + n) - np.log(counts)
        return cls(low, width, surprise, np.array([0.0, 1.0, 0.0]))

    def in_units_of(self, distances: np.ndarray, rows: np.ndarray) -> Rarity:
        """The same, comparable with ``distances`` of the rows ``rows``."""
        plain = self(rows)
        factor = float(distances.std() / max(plain.std(), 1e-12 * max(abs(plain.mean()), 1e-30)))
        return self._replace(unit=np.array([plain.mean(), factor, distances.mean() - factor * plain.mean()]))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Of standardised rows, ``[n_rows]``; of a row of which nothing is known, the mean."""
        mean, factor, shift = self.unit
        found = [np.zeros(0)]
        for piece in pieces(rows):
            some = piece.astype(np.float64)
            known = ~np.isnan(some)
            total = np.zeros(len(some))
            for low, width, surprise in zip(self.low, self.width, self.surprise, strict=True):
                each = surprise[np.arange(some.shape[1]), _bins(some, low, width, surprise.shape[1] - 1)]
                total += np.where(known, each, 0.0).sum(axis=1)
            total /= len(self.low) * np.maximum(known.sum(axis=1), 1)
            found.append(factor * np.where(known.any(axis=1), total, mean) + shift)
        return np.concatenate(found)


def _bins(rows: np.ndarray, low: np.ndarray, width: np.ndarray, last: int) -> np.ndarray:
    return np.clip(np.floor(np.nan_to_num((rows - low) / width, posinf=last)), 0, last).astype(np.intp)

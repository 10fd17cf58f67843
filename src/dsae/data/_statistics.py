"""What one pass over all rows tells: mean and spread, smallest and largest value, and some rows at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._check import pieces
from dsae.data._known import Known

_SAMPLE_BYTES = 1 << 24  # 16 MiB of rows kept from the pass, but within these numbers of rows:
_IN_CACHE = 1 << 16  # numbers of a matrix whose float64 copy stays in a second-level cache
_LEAST_SAMPLE, _LARGEST_SAMPLE = 512, 4096  # what importances (512) and reports (4096) ask for


class Farthest(NamedTuple):
    """The row farthest from the mean.

    Attributes
    ----------
    number : int
        Its number in the data.
    share : float
        Of the squared deviation of all rows, in [0, 1].
    """

    number: int
    share: float


class Moments(NamedTuple):
    """Of some rows, float64: mean and sum of squared deviations of every column, and the farthest row.

    NaN is not known and counts nowhere: ``known`` is the number of the other values of every column, or their weight.
    """

    mean: np.ndarray
    square: np.ndarray
    known: np.ndarray
    row: int
    row_square: float

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of every column."""
        return np.sqrt(self.square / np.where(self.known > 0, self.known, 1))

    def farthest(self) -> Farthest:
        """With its share of all."""
        total = self.square.sum()
        return Farthest(self.row, float(min(1.0, self.row_square / total)) if total > 0 else 0.0)


class Statistics:
    """Moments merged chunk by chunk (Chan, Golub & LeVeque 1979) in float64; a CSR chunk is not densified.

    Parameters
    ----------
    n_features : int
    missing : bool
        Whether rows may hold NaN, and so `known` is wanted.
    """

    def __init__(self, n_features: int, missing: bool = False) -> None:
        self.known = Known(n_features) if missing else None
        self.low, self.high = np.inf, -np.inf
        self._mean, self._square, self._known = np.zeros(n_features), np.zeros(n_features), np.zeros(n_features)
        self._row, self._row_square = 0, -1.0  # so that a row is found even if all are equal
        self._rng = np.random.default_rng(0)  # a pass over the same rows keeps the same sample
        self._keys: np.ndarray = np.zeros(0)
        self._kept: list[Batch] = []

    def update(self, batch: Batch) -> None:
        """Add rows."""
        rows = batch.rows
        if batch.weight is not None:
            new = weighted_moments(rows, batch.weight)
        else:
            new = sparse_moments(rows) if sp.issparse(rows) else _quick_moments(rows)
        self._add(new._replace(row=int(batch.numbers[new.row])), *extremes(rows))
        if self.known is not None:
            self.known.update(batch)
        self._keep(batch)

    def _add(self, new: Moments, low: float, high: float) -> None:
        if new.row_square > self._row_square:
            self._row, self._row_square = new.row, new.row_square
        step, total = new.mean - self._mean, self._known + new.known
        some = np.where(total > 0, total, 1)  # of a column of which nothing is known yet
        self._square += new.square + step**2 * (self._known * new.known / some)
        self._mean += step * (new.known / some)
        self._known = total
        self.low, self.high = min(self.low, low), max(self.high, high)

    @staticmethod
    def merged(parts: Sequence[Statistics]) -> Statistics:
        """Of all rows, from those of some of them each: the kept rows of all are one sample."""
        found = Statistics(parts[0]._mean.size, parts[0].known is not None)
        for part in parts:
            found._add(part._moments, part.low, part.high)
            if found.known is not None and part.known is not None:
                found.known.merge(part.known)
            found._keys, found._kept = np.append(found._keys, part._keys), [*found._kept, *part._kept]
        return found

    def keep_at_most(self, n: int) -> None:
        """Forget all but ``n`` of the rows kept of the pass."""
        if self._keys.size > n:
            best = np.sort(np.argpartition(self._keys, n)[:n])
            self._keys, self._kept = self._keys[best], [Batch.stack(self._kept)[best]]

    @property
    def most_kept(self) -> int:
        """Rows that a pass keeps: as many of any width as take some MiB."""
        each = max((n_bytes(batch.rows) // max(1, batch.n_rows) for batch in self._kept), default=1)
        return _most_kept(each)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every column, float32."""
        return self._mean.astype(np.float32), self._moments.deviation.astype(np.float32)

    def farthest(self) -> Farthest:
        """The row farthest from the mean of those that came with it."""
        return self._moments.farthest()

    @property
    def _moments(self) -> Moments:
        return Moments(self._mean, self._square, self._known, self._row, self._row_square)

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` rows at random, of some thousand that were kept of the pass, each as likely as any."""
        kept = Batch.stack(self._kept)
        return kept[rng.permutation(kept.n_rows)[:n]]

    def _keep(self, batch: Batch) -> None:
        """The rows with the smallest of random keys, so that every row has the same chance (Efraimidis 2006)."""
        each = max(1, n_bytes(batch.rows) // batch.n_rows)
        most = _most_kept(each)
        keys = self._rng.random(batch.n_rows)
        bound = self._keys.max() if self._keys.size >= most else np.inf
        chosen = np.flatnonzero(keys < bound)
        if not chosen.size:
            return
        self._keys, self._kept = np.append(self._keys, keys[chosen]), [*self._kept, batch[chosen]]
        self.keep_at_most(most)


def _most_kept(each: int) -> int:
    """Rows to keep of ``each`` bytes."""
    return min(_LARGEST_SAMPLE, max(_LEAST_SAMPLE, _SAMPLE_BYTES // max(1, each)))


def n_bytes(rows: Any) -> int:
    """What they take in memory."""
    return rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes if sp.issparse(rows) else rows.nbytes


def extremes(rows: Rows) -> tuple[float, float]:
    """The smallest and the largest value that is known; infinity and minus infinity where none is."""
    values = rows.data if sp.issparse(rows) else rows
    zero = () if values.size == math.prod(rows.shape) else (0.0,)  # what is not stored is zero
    # fmin and fmax pass over NaN, min and max would return it.
    low = np.fmin.reduce(values, axis=None, initial=np.inf)
    high = np.fmax.reduce(values, axis=None, initial=-np.inf)
    return min(float(low), *zero, np.inf), max(float(high), *zero, -np.inf)


def dense_moments(rows: np.ndarray) -> Moments:
    """Of rows in memory, some at a time."""
    mean, known = np.zeros(rows.shape[1]), np.full(rows.shape[1], float(len(rows)))
    for _, piece in pieces(rows, _IN_CACHE):
        mean += piece.astype(np.float64).sum(axis=0)
    mean /= len(rows)
    whole = not np.isnan(mean).any()
    if not whole:
        mean, known = _known_mean(rows)
    square, row, row_square = np.zeros(rows.shape[1]), 0, -1.0
    for start, piece in pieces(rows, _IN_CACHE):
        deviations = piece.astype(np.float64)
        deviations -= mean
        deviations *= deviations
        if not whole:
            np.nan_to_num(deviations, copy=False, nan=0.0)
        square += deviations.sum(axis=0)
        of_rows = deviations.sum(axis=1)
        if of_rows.max() > row_square:
            row, row_square = start + int(of_rows.argmax()), float(of_rows.max())
    return Moments(mean, square, known, row, row_square)


def _known_mean(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of what is known of every column, 0 where nothing is, and how much that is."""
    sums, known = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for _, piece in pieces(rows):
        here = ~np.isnan(piece)
        sums += np.where(here, piece, 0).sum(axis=0, dtype=np.float64)
        known += here.sum(axis=0)
    return sums / np.maximum(known, 1), known


def _quick_moments(rows: np.ndarray) -> Moments:
    mean = rows.mean(axis=0, dtype=np.float64)
    if np.isnan(mean).any():
        return dense_moments(rows)
    near = mean.astype(np.float32)  # ten times as fast as differences in float64; what rounding adds is taken off
    deviations = np.square(rows - near)
    square = np.maximum(deviations.sum(axis=0, dtype=np.float64) - len(rows) * (mean - near) ** 2, 0)
    of_rows = deviations.sum(axis=1)
    row = int(of_rows.argmax())
    return Moments(mean, square, np.full(mean.size, float(len(rows))), row, float(of_rows[row]))


def weighted_moments(rows: Rows, weight: np.ndarray) -> Moments:
    """Of rows that count by their weights: so do what is known and the squares."""
    weight, width = weight.astype(np.float64), rows.shape[1]
    if not sp.issparse(rows):
        return _weighted_dense(rows, weight)
    at, columns = np.repeat(np.arange(len(weight)), np.diff(rows.indptr)), rows.indices
    missing = np.isnan(rows.data)
    known = weight.sum() - np.bincount(columns[missing], weight[at[missing]], width)
    values, each = np.where(missing, 0, rows.data), weight[at]
    mean = np.bincount(columns, each * values, width) / np.where(known > 0, known, 1)
    # values that are not stored are zero; rows and columns start as if all of theirs were
    apart = each * (np.where(missing, 0, np.square(values - mean[columns])) - mean[columns] ** 2)
    square = np.maximum(weight.sum() * mean**2 + np.bincount(columns, apart, width), 0)
    of_rows = weight * (mean @ mean) + np.bincount(at, apart, len(weight))
    row = int(of_rows.argmax())
    return Moments(mean, square, known, row, float(of_rows[row]))


def _weighted_dense(rows: np.ndarray, weight: np.ndarray) -> Moments:
    sums, known, square = np.zeros((3, rows.shape[1]))
    for start, piece in pieces(rows):
        each = weight[start : start + len(piece), None] * ~np.isnan(piece)
        sums += (each * np.nan_to_num(piece, nan=0.0)).sum(axis=0)
        known += each.sum(axis=0)
    mean = sums / np.where(known > 0, known, 1)
    row, row_square = 0, -1.0
    for start, piece in pieces(rows):
        apart = weight[start : start + len(piece), None] * np.nan_to_num(np.square(piece - mean), nan=0.0)
        square += apart.sum(axis=0)
        of_rows = apart.sum(axis=1)
        if of_rows.max() > row_square:
            row, row_square = start + int(of_rows.argmax()), float(of_rows.max())
    return Moments(mean, square, known, row, row_square)


def sparse_moments(rows: Rows) -> Moments:
    """Of CSR rows, some values at a time; a stored NaN is not known, while what is not stored is zero."""
    n, width = rows.shape
    sums, counts, unknown = np.zeros(width), np.zeros(width), np.zeros(width)
    for start, values in pieces(rows.data):
        columns = rows.indices[start : start + len(values)]
        missing = np.isnan(values)
        if missing.any():
            unknown += np.bincount(columns[missing], minlength=width)
            values = np.where(missing, 0, values)
        sums += np.bincount(columns, values, width)
        counts += np.bincount(columns, minlength=width)
    known = n - unknown
    mean = sums / np.maximum(known, 1)
    # values that are not stored are zero, so they deviate by the mean; rows start as if all of theirs were
    square, of_rows = (n - counts) * mean**2, np.full(n, mean @ mean)
    for start, values in pieces(rows.data):
        columns = rows.indices[start : start + len(values)]
        deviations = (values - mean[columns]) ** 2
        if unknown.any():
            np.nan_to_num(deviations, copy=False, nan=0.0)
        square += np.bincount(columns, deviations, width)
        ends = np.clip(rows.indptr, start, start + len(values))
        at = np.repeat(np.arange(n), np.diff(ends))
        of_rows += np.bincount(at, deviations - mean[columns] ** 2, n)
    row = int(of_rows.argmax())
    return Moments(mean, square, known, row, float(of_rows[row]))

"""Reconstruction errors, accumulated batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy

from dsae.config import explained_variance
from dsae.metrics._table import METRICS

_VALUES_AT_ONCE = 2**20  # 8 MiB of float64 each for rows and reconstructions
_KNOWN_BYTES = 2**26


class Reconstruction:
    """Streaming reconstruction errors; the result does not depend on the division of rows into batches.

    Sums are float64. The mean of the evaluation set, which FVU needs, is merged batch by batch (Chan, Golub &
    LeVeque 1979), so the data are read once and large means lose no digits. A CSR batch is densified in small pieces.
    NaN in a row is a value that is not known, and counts nowhere.

    Parameters
    ----------
    metrics : iterable of str
        Names of further ones, such as ``"bce"``, the cross entropy, for which rows and reconstructions must lie in
        [0, 1], or ``"deviance_explained"``, for which rows must be counts.

    Examples
    --------
    >>> r = Reconstruction()
    >>> r.update([[0.0, 1.0]], [[0.0, 0.5]])
    >>> r.update([[1.0, 0.0]], [[1.0, 0.0]])
    >>> result = r.result()
    >>> result["squared_error_per_row"], result["mse"], result["fvu"]
    (0.125, 0.0625, 0.25)
    """

    def __init__(self, *, metrics: Iterable[str] = ()) -> None:
        also = set(metrics)
        self._shares = _Shares() if "deviance_explained" in also else None
        if self._shares is not None:
            also.add("deviance")
        self.n_samples, self._worth = 0, 0.0
        self._per_row = {name: m.per_row for name, m in METRICS.items() if m.per_row and (m.default or name in also)}
        self._sums = dict.fromkeys(self._per_row, 0.0)
        self._mean, self._known = np.zeros(0), np.zeros(0)  # of every feature, the latter a number of values
        self._spread = 0.0

    def update(self, X: Any, X_hat: Any, weight: np.ndarray | None = None) -> None:
        """Add rows and their reconstructions.

        Parameters
        ----------
        X, X_hat : array-like or scipy sparse, shape (n_samples, n_features)
        weight : ndarray, shape (n_samples,), optional
            How much each row counts, in the means and in the spread.

        Raises
        ------
        ValueError
            If the shapes differ, or a cross entropy is requested for values outside [0, 1].
        """
        at = 0
        for x, x_hat in _pieces(X, X_hat):
            own = None if weight is None else np.asarray(weight[at : at + x.shape[0]], np.float64)
            at += x.shape[0]
            if self.n_samples and x.shape[1] != self._mean.size:
                raise ValueError(
                    f"[update] X must have {self._mean.size} columns, like the rows before; got {x.shape}."
                )
            known = ~np.isnan(x)
            whole = bool(known.all())
            if not whole:
                x, x_hat = np.where(known, x, 0), np.where(known, x_hat, 0)  # so that they differ by nothing
            for name, per_row in self._per_row.items():
                found = per_row(x, x_hat)
                self._sums[name] += float(found.sum() if own is None else found @ own)
            if self._shares is not None:
                self._shares.update(x, own, None if whole else known)
            self._worth += x.shape[0] if own is None else own.sum()
            if own is not None:
                self._merge(x, known * own[:, None])
            else:
                self._merge(x, None if whole else known)

    def _merge(self, x: np.ndarray, counts: np.ndarray | None) -> None:
        """Rows of whose values ``counts`` says which are known, or how much they count."""
        if not self.n_samples:
            self._mean, self._known = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        n = self._known
        n_new = np.full(x.shape[1], float(x.shape[0])) if counts is None else counts.sum(axis=0)
        total = np.where(n + n_new > 0, n + n_new, 1)
        mean = x.mean(axis=0) if counts is None else (counts * x).sum(axis=0) / np.where(n_new > 0, n_new, 1)
        step, apart = mean - self._mean, np.square(x - mean)  # merged as by Chan, Golub & LeVeque (1979)
        self._spread += float((apart if counts is None else counts * apart).sum())
        self._spread += float((n * n_new / total) @ np.square(step))
        self._mean, self._known = self._mean + step * (n_new / total), n + n_new
        self.n_samples += x.shape[0]

    def result(self) -> dict[str, float]:
        """Errors over all rows so far.

        Returns
        -------
        dict
            ``mse`` (mean over all known values), ``squared_error_per_row`` (summed over the known features, mean over
            rows), ``fvu`` (squared error over the squared distance from the mean of these rows; 0 for a perfect
            reconstruction, infinite for an imperfect one of constant rows), ``cosine`` (between a row and its
            reconstruction, mean over rows) and those requested, such as ``bce`` (nats per row) or
            ``deviance_explained`` (of the Poisson deviance from rows that are all shared out alike).

        Raises
        ------
        ValueError
            If there were no rows.
        """
        if not self.n_samples:
            raise ValueError("[result] No rows were given; call update first.")
        worth = self._worth or 1.0
        means = {name: total / worth for name, total in self._sums.items()}
        squared = means["squared_error_per_row"]
        fvu = _ratio(squared * worth, self._spread)
        per_row = float(self._known.sum()) / worth
        return {"mse": squared / per_row if per_row else math.nan, "fvu": fvu} | means | self._explained(means)

    def _explained(self, means: Mapping[str, float]) -> dict[str, float]:
        if self._shares is None:
            return {}
        left = _ratio(means["deviance"] * self._worth, self._shares.deviance())
        return {"deviance_explained": explained_variance(left)}


class _Shares:
    """The Poisson deviance of rows from their totals times the shares of the features in all of them: of the best
    reconstruction that is the same for every row but for its total.

    Where values are not known, the shares of the others are what they have of these, and those of a feature are of the
    totals of rows in which it is known. Which values are known is kept of rows of up to 64 MiB, which then stand for
    the others.
    """

    def __init__(self) -> None:
        self._sums: Any = 0.0
        self._met: Any = 0.0  # totals of the rows in which a feature is known
        self._inner = self._whole = self._holed = self._kept_totals = 0.0  # sum of x log x, less the same over totals
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._bytes = 0

    def update(self, x: np.ndarray, weight: np.ndarray | None, known: np.ndarray | None) -> None:
        totals, weight = x.sum(axis=1), np.ones(x.shape[0]) if weight is None else weight
        self._sums = self._sums + weight @ x
        self._inner += float(weight @ (xlogy(x, x).sum(axis=1) - xlogy(totals, totals)))
        totals = weight * totals
        if known is None:
            self._whole += float(totals.sum())
            self._met = self._met + totals.sum()
            return
        self._met = self._met + totals @ known
        holed = ~known.all(axis=1)
        self._whole += float(totals[~holed].sum())
        self._holed += float(totals[holed].sum())
        if holed.any() and self._bytes < _KNOWN_BYTES:
            packed = np.packbits(known[holed], axis=1)
            self._kept.append((packed, totals[holed]))
            self._bytes, self._kept_totals = self._bytes + packed.nbytes, self._kept_totals + float(totals[holed].sum())

    def deviance(self) -> float:
        shares = self._sums / np.where(self._met > 0, self._met, 1.0)
        apart = self._whole * np.log(shares.sum() or 1.0)
        if self._kept_totals > 0:
            of_known = (np.unpackbits(packed, axis=1, count=shares.size) @ shares for packed, _ in self._kept)
            logs = sum(float(xlogy(totals, sums).sum()) for sums, (_, totals) in zip(of_known, self._kept, strict=True))
            apart += logs * self._holed / self._kept_totals
        return max(0.0, 2 * float(self._inner - xlogy(self._sums, shares).sum() + apart))


def mse(X: Any, X_hat: Any) -> float:
    """Mean squared error over rows and features.

    Parameters
    ----------
    X, X_hat : array-like or scipy sparse, shape (n_samples, n_features)

    Raises
    ------
    ValueError
        If the shapes differ, here and in the other errors.

    Examples
    --------
    >>> mse([[0.0, 1.0]], [[0.0, 0.5]])
    0.125
    """
    return _of(X, X_hat)["mse"]


def squared_error_per_row(X: Any, X_hat: Any) -> float:
    """Squared error summed over the features, mean over rows (Hinton & Salakhutdinov 2006).

    Examples
    --------
    >>> squared_error_per_row([[0.0, 1.0]], [[0.0, 0.5]])
    0.25
    """
    return _of(X, X_hat)["squared_error_per_row"]


def fvu(X: Any, X_hat: Any) -> float:
    """Fraction of variance unexplained, about the mean of the rows given; ``1 - fvu`` is the score.

    Examples
    --------
    >>> fvu([[0.0], [2.0]], [[1.0], [1.0]])
    1.0
    """
    return _of(X, X_hat)["fvu"]


def cosine(X: Any, X_hat: Any) -> float:
    """Cosine between a row and its reconstruction, mean over rows: 1 if both are zero, 0 if one is.

    Examples
    --------
    >>> cosine([[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 0.0]])
    0.5
    """
    return _of(X, X_hat)["cosine"]


def bce(X: Any, X_hat: Any) -> float:
    """Cross entropy per row in nats, ``-sum_j x_j log xhat_j + (1 - x_j) log(1 - xhat_j)``, mean over rows.

    Reconstructions are clipped to [1e-7, 1 - 1e-7], the precision of float32. For values between 0 and 1 even a perfect
    reconstruction has a positive cross entropy.

    Raises
    ------
    ValueError
        If rows or reconstructions leave [0, 1].

    Examples
    --------
    >>> round(bce([[0.0, 1.0]], [[0.5, 0.5]]), 4)
    1.3863
    """
    return _of(X, X_hat, "bce")["bce"]


def deviance(X: Any, X_hat: Any) -> float:
    """Poisson deviance per row, ``2 sum_j x_j log(x_j / xhat_j) - x_j + xhat_j``, mean over rows.

    Also of models with a negative binomial or multinomial likelihood, so that they can be compared. Reconstructions
    below 1e-7 count as that.

    Raises
    ------
    ValueError
        If rows hold negative numbers.

    Examples
    --------
    >>> round(deviance([[0.0, 2.0]], [[1.0, 1.0]]), 4)
    2.7726
    """
    return _of(X, X_hat, "deviance")["deviance"]


def deviance_explained(X: Any, X_hat: Any) -> float:
    """Share of the Poisson deviance that a reconstruction explains; 1 is perfect.

    What is to be explained is the deviance of the rows from their totals times the shares of the features in all rows:
    what remains when only totals are known.

    Examples
    --------
    >>> deviance_explained([[0.0, 2.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]])
    0.0
    >>> round(deviance_explained([[0.0, 2.0], [2.0, 0.0]], [[0.5, 1.5], [1.5, 0.5]]), 3)
    0.585
    """
    return _of(X, X_hat, "deviance_explained")["deviance_explained"]


def row_squared_errors(X: Any, X_hat: Any) -> np.ndarray:
    """Squared error of each row, summed over those of its features that are known: float64 ``[n_samples]``.

    Examples
    --------
    >>> row_squared_errors([[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.5], [1.0, 1.0]])
    array([0.25, 0.  ])
    """
    return np.concatenate([np.nansum(np.square(x - x_hat), axis=1) for x, x_hat in _pieces(X, X_hat)])


def _of(X: Any, X_hat: Any, *metrics: str) -> dict[str, float]:
    errors = Reconstruction(metrics=metrics)
    errors.update(X, X_hat)
    return errors.result()


def _pieces(X: Any, X_hat: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    X, X_hat = _rows(X), _rows(X_hat)
    if X.shape != X_hat.shape or len(X.shape) != 2:
        raise ValueError(f"X and X_hat must be 2-D and of one shape; got {X.shape} and {X_hat.shape}.")
    step = max(1, _VALUES_AT_ONCE // max(X.shape[1], 1))
    for start in range(0, X.shape[0], step):
        piece = slice(start, start + step)
        yield _float64(X[piece]), _float64(X_hat[piece])


def _rows(X: Any) -> Any:
    return X.tocsr() if sp.issparse(X) else np.asarray(X)


def _float64(rows: Any) -> np.ndarray:
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows, dtype=np.float64)


def _ratio(error: float, spread: float) -> float:
    if spread > 0:
        return error / spread
    return 0.0 if error == 0 else math.inf

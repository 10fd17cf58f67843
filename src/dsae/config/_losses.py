"""Reconstruction losses: one record each, with everything that any part of the library needs to know about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsae.config._activations import LARGEST_LOG_RATE
from dsae.config._checks import one_of
from dsae.config._lazy import Lazy

if TYPE_CHECKING:
    import numpy as np
    from scipy import special
else:
    np, special = Lazy("numpy"), Lazy("scipy.special")


def explained_variance(fvu: float) -> float:
    """``1 - fvu``; for constant rows 1 if perfect, else 0, as in `sklearn.metrics.r2_score`."""
    return 0.0 if fvu == math.inf else 1.0 - fvu


@dataclass(frozen=True)
class Extra:
    """Numbers per feature that a loss trains beside the weights, such as a dispersion.

    Parameters
    ----------
    name : str
        Its name in the torch loss and in the model folder.
    start : callable
        ``start(mean, deviation)``: where training begins, float32 ``[n_features]``, from the features' moments.
    """

    name: str
    start: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Loss:
    """A reconstruction loss, a mean over rows and features; its torch half has the same name in `dsae.nn.LOSSES`.

    Parameters
    ----------
    name : str
        Name that users write.
    link : str
        Output activation with which it can be computed from the last layer's pre-activations alone.
    tile : callable, optional
        ``tile(z, target)``: from pre-activations of some outputs of the last layer, the summed loss (float64) and its
        derivative divided by ``factor``; arrays of one shape. With exposure ``tile(z, target, offset, *extras)``,
        followed by the extras' gradients: ``offset`` ``[n_rows, 1]`` is the logarithm of the rows' totals, less that of
        the sum of ``exp(z)`` over the row if outputs are coupled. Without a tile, whole rows of outputs are computed.
    factor : float
        Multiplies the derivatives of ``tile`` and of the kernel.
    kernel : int, optional
        Its number in ``csrc/tiled_loss.cpp``; without one, torch computes it.
    needs_link : bool
        Whether no other output activation is allowed.
    low, high : float
        Bounds of the values it can be trained on.
    metric : str
        Its error metric in `dsae.metrics.METRICS`.
    score_metric : str
        The metric from which an estimator's ``score`` comes.
    score : callable
        Maps that metric's value to the score.
    unit : callable, optional
        ``unit(X, X_hat, **extras)``: the error of every value, float64, which is 0 where it is exact and from which a
        model's errors and scores of rows come. By default the squared difference.
    start : callable, optional
        ``start(mean)``: the output's initial bias from the features' means, float32 ``[n_features]``. By default the
        output activation brings it to the mean.
    extras : tuple of Extra
        Parameters trained beside the weights.
    exposure : bool
        Whether a row's total scales its output. The torch half takes the totals as ``exposure=``; a reconstruction is
        the decoder's output times the row's total.
    couples_outputs : bool
        Whether an output's loss depends on the others of its row, as a multinomial's does.

    counts : bool
        Whether the rows are to be counts, so that fractions are probably a mistake.
    transform : str
        The input transform that goes with it, a name in `dsae.config.TRANSFORMS`.

    Notes
    -----
    Sparse rows are never densified as a whole batch: a loss is computed for a few outputs at a time, or, if it has no
    tile, for a few rows at a time.

    Examples
    --------
    >>> LOSSES["bce"].link, LOSSES["bce"].metric
    ('sigmoid', 'bce')
    """

    name: str
    link: str
    tile: Callable[..., tuple[Any, ...]] | None = None
    factor: float = 1.0
    kernel: int | None = None
    needs_link: bool = False
    low: float = -math.inf
    high: float = math.inf
    metric: str = "mse"
    score_metric: str = "fvu"
    score: Callable[[float], float] = explained_variance
    unit: Callable[..., np.ndarray] | None = None
    start: Callable[[np.ndarray], np.ndarray] | None = None
    extras: tuple[Extra, ...] = ()
    exposure: bool = False
    couples_outputs: bool = False
    counts: bool = False
    transform: str = "none"

    @property
    def tiled(self) -> bool:
        """Whether it can be computed for a few outputs at a time."""
        return self.tile is not None and (self.exposure or not self.couples_outputs)

    @property
    def bounds(self) -> str:
        """``[0, 1]``, for messages."""
        left = "(-inf" if self.low == -math.inf else f"[{self.low:g}"
        return f"{left}, {'inf)' if self.high == math.inf else f'{self.high:g}]'}"


def _squared(z: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    residual = z - target
    return float(np.square(residual.astype(np.float64)).sum()), residual


def _cross_entropy(z: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    return float((np.logaddexp(0.0, z) - target * z).sum()), special.expit(z) - target


def _poisson(
    z: np.ndarray, target: np.ndarray, offset: np.ndarray, largest: float = LARGEST_LOG_RATE
) -> tuple[float, np.ndarray]:
    """Half the deviance of counts whose rates are ``exp(z + offset)``."""
    rate = np.exp(np.minimum(z, largest) + offset)  # bounded before the offset, as the activation exp is
    return float((rate - target * (z + offset) + special.xlogy(target, target) - target).sum()), rate - target


def _multinomial(z: np.ndarray, target: np.ndarray, offset: np.ndarray) -> tuple[float, np.ndarray]:
    """That of a Poisson whose exposure brings a row's rates to its total: gradients are the same (Baker 1994)."""
    return _poisson(z, target, offset, math.inf)


def _negative_binomial(
    z: np.ndarray, target: np.ndarray, offset: np.ndarray, log_dispersion: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Minus the log probability of counts of mean ``m = exp(z + offset)`` and variance ``m + m^2 / dispersion``."""
    size = dispersion(log_dispersion)
    mean = np.exp(np.minimum(z, LARGEST_LOG_RATE) + offset)
    grown = np.log1p(mean / size)
    loss = (target + size) * grown + target * (np.log(size) - z - offset)
    loss += special.gammaln(size) - special.gammaln(target + size) + special.gammaln(target + 1)
    by_size = special.digamma(size) - special.digamma(target + size) + grown + (target - mean) / (size + mean)
    inside = np.abs(log_dispersion) < LARGEST_LOG_DISPERSION
    return float(loss.sum()), size * (mean - target) / (size + mean), (by_size * size).sum(axis=0) * inside


def dispersion(logarithm: np.ndarray) -> np.ndarray:
    """The dispersion of every feature, from 1e-3 to 1e3."""
    return np.exp(np.clip(logarithm, -LARGEST_LOG_DISPERSION, LARGEST_LOG_DISPERSION))


def _shares(mean: np.ndarray) -> np.ndarray:
    """Logarithm of every feature's share of the mean total; of one that never occurred a tenth of the rarest one's."""
    mean = mean.astype(np.float64)
    seen = mean[mean > 0]
    if not seen.size:
        return np.full(mean.shape, -math.log(mean.size), np.float32)  # all alike
    return np.log(np.where(mean > 0, mean, 0.1 * seen.min()) / seen.sum()).astype(np.float32)


def _moment_dispersion(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Its logarithm by the method of moments; at most that of 10, since the totals' spread is yet to be explained."""
    mean = mean.astype(np.float64)
    excess = np.maximum(np.square(deviation, dtype=np.float64) - mean, 1e-12)
    return np.log(np.clip(np.square(mean) / excess, 0.01, 10.0)).astype(np.float32)


def unit_deviance(x: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Poisson deviance of every value, ``2 (x log(x / rate) - x + rate)``; rates below 1e-7 count as that.

    Examples
    --------
    >>> unit_deviance(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])).round(3).tolist()
    [2.0, 0.0, 0.773]
    """
    x, rate = np.asarray(x, np.float64), np.maximum(np.asarray(rate, np.float64), SMALLEST_RATE)
    return 2 * np.maximum(special.xlogy(x, x / rate) - x + rate, 0)  # rounding


def _unit_deviance_nb(x: np.ndarray, rate: np.ndarray, log_dispersion: np.ndarray) -> np.ndarray:
    """Deviance of every value at the dispersion of its feature."""
    x, rate = np.asarray(x, np.float64), np.maximum(np.asarray(rate, np.float64), SMALLEST_RATE)
    size = dispersion(log_dispersion.astype(np.float64))
    return 2 * np.maximum(special.xlogy(x, x / rate) - (x + size) * np.log((x + size) / (rate + size)), 0)


LARGEST_LOG_DISPERSION = 7.0  # beyond a thousand a negative binomial of usual counts is a Poisson
SMALLEST_RATE = 1e-7  # a count of 1 where none was expected costs 30, not infinity
_COUNTS: dict[str, Any] = {
    "needs_link": True,
    "low": 0.0,
    "metric": "deviance",
    "score_metric": "deviance_explained",
    "score": lambda explained: explained,
    "start": _shares,
    "exposure": True,
    "counts": True,
    "transform": "log1p",  # measured: docs/design/counts.md
}

LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", link="identity", tile=_squared, factor=2.0, kernel=0),
        Loss(
            "bce",
            link="sigmoid",
            tile=_cross_entropy,
            kernel=1,
            needs_link=True,
            low=0.0,
            high=1.0,
            metric="bce",
        ),
        Loss("poisson", link="exp", tile=_poisson, kernel=2, unit=unit_deviance, **_COUNTS),
        Loss(
            "nb",
            link="exp",
            tile=_negative_binomial,
            kernel=3,
            unit=_unit_deviance_nb,
            extras=(Extra("log_dispersion", _moment_dispersion),),
            **_COUNTS,
        ),
        Loss(
            "multinomial",
            link="softmax",
            tile=_multinomial,
            kernel=4,
            unit=unit_deviance,
            couples_outputs=True,
            **_COUNTS,
        ),
    )
}


def loss_of(name: Any) -> Loss:
    """The record of a loss; an unknown one raises ValueError."""
    one_of("loss", name, LOSSES)
    return LOSSES[name]


def has_exposure(name: Any) -> bool:
    """Whether a model's loss has exposure; a model folder may name a loss that is not registered here, or no loss."""
    return isinstance(name, str) and name in LOSSES and LOSSES[name].exposure


def exposed(output: np.ndarray, rows: Any) -> np.ndarray:
    """A decoder's output ``[n_rows, n_features]`` times the totals of ``rows``, an array or a CSR matrix."""
    return output * np.asarray(rows.sum(axis=1), dtype=output.dtype).reshape(-1, 1)


def exposed_by_known(output: np.ndarray, rows: Any) -> np.ndarray:
    """Shares ``[n_rows, n_features]`` times the number at which those of known values of ``rows`` have their total."""
    whole: Any = rows.toarray() if hasattr(rows, "toarray") else rows
    known = ~np.isnan(whole)
    totals = np.where(known, whole, 0).sum(axis=1, dtype=np.float64)
    shares = np.where(known, output, 0).sum(axis=1, dtype=np.float64)
    factors = np.where(shares > 0, totals / np.where(shares > 0, shares, 1.0), totals)
    return output * factors.astype(output.dtype)[:, None]

"""Reconstruction losses: one record each, with everything that any part of the library needs to know about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    tile : callable
        ``tile(z, target)``: from pre-activations of the last layer, the summed loss (float64) and its derivative
        divided by ``factor``; arrays of one shape.
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

    Notes
    -----
    Sparse rows are never densified as a whole batch: a loss is computed for a few outputs at a time, or, if it has
    extras or exposure or couples outputs, for a few rows at a time.

    Examples
    --------
    >>> LOSSES["bce"].link, LOSSES["bce"].metric
    ('sigmoid', 'bce')
    """

    name: str
    link: str
    tile: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]
    factor: float = 1.0
    kernel: int | None = None
    needs_link: bool = False
    low: float = -math.inf
    high: float = math.inf
    metric: str = "mse"
    score_metric: str = "fvu"
    score: Callable[[float], float] = explained_variance
    start: Callable[[np.ndarray], np.ndarray] | None = None
    extras: tuple[Extra, ...] = ()
    exposure: bool = False
    couples_outputs: bool = False

    @property
    def tiled(self) -> bool:
        """Whether a few outputs can be computed without the others, and without anything but the weights."""
        return not (self.couples_outputs or self.exposure or self.extras)

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

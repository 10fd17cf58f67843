"""Activations: one record each, with everything that any part of the library needs to know about it."""

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

Place = str  # "hidden", "code" or "output"
_ANYWHERE = ("hidden", "code", "output")
_SQRT2 = math.sqrt(2)  # gain of He et al. (2015): half of the inputs of a relu are lost
# exp(15) is 3.3e6, far beyond any rate or share of a total; others clamp at 1e6 (Eraslan et al. 2019).
LARGEST_LOG_RATE = 15.0


@dataclass(frozen=True)
class Activation:
    """An activation of rows; its torch module has the same name in `dsae.nn.ACTIVATIONS`.

    Parameters
    ----------
    name : str
        Name that users write.
    apply : callable
        ``apply(rows, k, thresholds)``, in place, on rows ``[n_rows, width]`` of float32 or float64.
    kernel : int, optional
        Its place in the table of ``csrc/activate.cpp``; without one, models that use it run on numpy.
    places : tuple of str
        Which layers it may follow: ``"hidden"``, ``"code"``, ``"output"``.
    gain : float
        Factor of a layer's initial weights.
    zeros : bool
        Whether it gives exact zeros, so that codes can be CSR matrices.
    sparse : bool
        Whether most of a code is zero by construction: a dictionary, which has a linear encoder by default.
    takes_k, needs_k : bool
        Whether ``k``, the non-zeros per code, is accepted, and whether it is required. If it is accepted but not
        required, a penalty brings codes to it (`dsae.shrink.TargetL0`).
    threshold : bool
        Whether it has a threshold per unit, trained and saved with the model.
    by_row : bool
        Whether a unit depends on the others of its row.
    linear : bool
        Whether it is the identity, so that a model can centre and scale its output.
    rate : bool
        Whether units lie in 0..1 and never at zero, for ``target_rate``.
    fires_above : callable
        ``fires_above(width)``: above which magnitude a unit counts as firing.
    scalable : bool
        Whether f(c z) = c f(z) for c > 0, thresholds scaled with z.
    slope : callable, optional
        ``slope(z, moved)``: from derivatives ``moved [n, width, m]`` of pre-activations ``z [n, width]`` to those of
        what it gives. Jacobians are symmetric, so that it serves in both directions. Contributions through deeper
        networks need it.

    Examples
    --------
    >>> [name for name, activation in ACTIVATIONS.items() if activation.by_row]
    ['softmax', 'topk']
    """

    name: str
    apply: Callable[[np.ndarray, int, Any], None]
    kernel: int | None = None
    places: tuple[Place, ...] = _ANYWHERE
    gain: float = 1.0
    zeros: bool = False
    sparse: bool = False
    takes_k: bool = False
    needs_k: bool = False
    threshold: bool = False
    by_row: bool = False
    linear: bool = False
    rate: bool = False
    fires_above: Callable[[int], float] = lambda width: 0.0
    scalable: bool = False
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    @property
    def independent(self) -> bool:
        """Whether units vary freely: not those of a dictionary, which are mostly zero, nor of a softmax: sum 1."""
        return not (self.sparse or self.by_row)

    @property
    def signed(self) -> bool:
        """Whether a unit may be negative, or never zero."""
        return self.threshold or not self.zeros


def _identity(rows: np.ndarray, k: int, thresholds: Any) -> None:
    pass


def _relu(rows: np.ndarray, k: int, thresholds: Any) -> None:
    np.maximum(rows, 0, out=rows)


def _sigmoid(rows: np.ndarray, k: int, thresholds: Any) -> None:
    special.expit(rows, out=rows)


def _exp(rows: np.ndarray, k: int, thresholds: Any) -> None:
    np.exp(np.minimum(rows, LARGEST_LOG_RATE, out=rows), out=rows)


def _softmax(rows: np.ndarray, k: int, thresholds: Any) -> None:
    rows[:] = special.softmax(rows, axis=1)


def _topk(rows: np.ndarray, k: int, thresholds: Any) -> None:
    np.maximum(rows, 0, out=rows)
    rest = np.argsort(-rows, axis=1, kind="stable")[:, k:]  # ties go to the lower index
    np.put_along_axis(rows, rest, 0, axis=1)


def _above_threshold(rows: np.ndarray, k: int, thresholds: Any) -> None:
    rows[rows <= thresholds] = 0


def _by_unit(slope: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda z, moved: slope(z)[..., None] * moved


def _softmax_slope(z: np.ndarray, moved: np.ndarray) -> np.ndarray:
    shares = special.softmax(z, axis=-1)[..., None]
    return shares * (moved - (shares * moved).sum(axis=-2, keepdims=True))


_sigmoid_slope = _by_unit(lambda z: special.expit(z) * special.expit(-z))
_exp_slope = _by_unit(lambda z: np.exp(np.minimum(z, LARGEST_LOG_RATE)) * (z < LARGEST_LOG_RATE))

_DICTIONARY: dict[str, Any] = {
    "places": ("code",),
    "gain": _SQRT2,
    "zeros": True,
    "sparse": True,
    "takes_k": True,
    "scalable": True,
}

ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("identity", _identity, kernel=0, linear=True, scalable=True, slope=lambda z, moved: moved),
        Activation("relu", _relu, kernel=1, gain=_SQRT2, zeros=True, scalable=True, slope=_by_unit(lambda z: z > 0)),
        # On above 0.5, nearer to 1 than to 0; of a softmax above its share when all are equal.
        Activation("sigmoid", _sigmoid, kernel=2, rate=True, fires_above=lambda width: 0.5, slope=_sigmoid_slope),
        Activation(
            "softmax",
            _softmax,
            kernel=4,
            by_row=True,
            rate=True,
            fires_above=lambda width: 1 / width,
            slope=_softmax_slope,
        ),
        Activation("topk", _topk, kernel=5, needs_k=True, by_row=True, **_DICTIONARY),
        Activation("batchtopk", _above_threshold, kernel=3, needs_k=True, threshold=True, **_DICTIONARY),
        Activation("jumprelu", _above_threshold, kernel=3, threshold=True, **_DICTIONARY),
        Activation("exp", _exp, kernel=6, places=("output",), slope=_exp_slope),
    )
}


def activation_names(place: Place) -> tuple[str, ...]:
    """Names of the activations that may follow a ``"hidden"``, ``"code"`` or ``"output"`` layer.

    Examples
    --------
    >>> activation_names("hidden")
    ('identity', 'relu', 'sigmoid', 'softmax')
    """
    return tuple(name for name, activation in ACTIVATIONS.items() if place in activation.places)


HIDDEN_ACTIVATIONS, CODE_ACTIVATIONS = activation_names("hidden"), activation_names("code")


def activation_of(name: str) -> Activation:
    """The record of an activation; an unknown one raises ValueError."""
    one_of("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]

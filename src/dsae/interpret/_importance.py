"""Importance of the inputs of a model."""

from __future__ import annotations

import numpy as np

from dsae.config import one_of
from dsae.runtime import Runtime
from dsae.store import Model


def feature_importances(
    model: Model | Runtime, *, method: str = "sensitivity", scale: np.ndarray | None = None
) -> np.ndarray:
    """Importance of every input.

    Parameters
    ----------
    model : Model or Runtime
    method : {"sensitivity", "strength", "path"}
        ``sensitivity`` was gathered during training: how far the reconstruction moves when the input moves by its
        usual amount: its mean absolute deviation times the root mean square of its column of the Jacobian
        ``d x^ / d x`` (a derivative-based sensitivity measure, Sobol & Kucherenko 2009), as a running mean over epochs.
        For models without it, built by hand or saved by an older version, ``strength`` is used.
        ``strength`` is ``sum_r |W_rj|`` over the first encoder layer, the neuron strength of QuickSelection
        (Atashgahi et al. 2022). ``path`` sums over all paths to the code, ``1^T |W_L| ... |W_1|``: an input whose edges
        end in hidden units that lead nowhere has importance 0.
    scale : array-like, shape (n_features,), optional
        Spread of each input, such as its standard deviation, for the two methods that read weights. Weights are per
        unit of the input; with this they are per unit of its spread, which compares inputs measured in different
        units. What training gathered is in the model's own unit already (``scale=True`` of the estimator makes that
        the standard deviation), and is not changed.

    Returns
    -------
    ndarray of float64, shape (n_features,)
        Not negative, sum 1; uniform where nothing is left to tell inputs apart.

    Raises
    ------
    ValueError
        If the method is unknown or ``scale`` has another width or negative entries.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.topology import Layer, Topology
    >>> layer = Layer(Topology.from_mask([[1, 1, 0]]), np.float32([3, -1]), np.zeros(1, "f4"))
    >>> config = AutoencoderConfig(n_features=3, n_components=1)
    >>> feature_importances(Model(config, {"encoder.0": layer}), method="strength")
    array([0.75, 0.25, 0.  ])
    """
    one_of("method", method, ("sensitivity", "strength", "path"))
    if isinstance(model, Runtime):
        model = model.model
    if scale is not None:
        scale = _checked(scale, model.config.n_features)
    if method == "sensitivity" and model.importance is not None:
        return _shares(model.importance.astype(np.float64))
    strength = _strength(model, deep=method == "path")
    return _shares(strength if scale is None else strength * scale)


def most_important(importances: np.ndarray, n: int) -> np.ndarray:
    """Positions of the ``n`` largest importances, the largest first; ties go to the lower position.

    Examples
    --------
    >>> most_important(np.array([0.1, 0.5, 0.4]), 2)
    array([1, 2])
    """
    return np.argsort(-np.asarray(importances), kind="stable")[:n]


def _strength(model: Model, *, deep: bool) -> np.ndarray:
    encoder = [layer for name, layer in model.layers.items() if name.startswith("encoder.")]
    used = encoder if deep else encoder[:1]
    # From the code backwards: one product of matrix and vector a layer, never a product of matrices.
    strength = np.ones(used[-1].topology.shape[0])
    for layer in reversed(used):
        strength = abs(layer.to_csr()).T.astype(np.float64) @ strength
    return strength


def _shares(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else np.full(values.size, 1 / values.size)


def _checked(scale: np.ndarray, n_features: int) -> np.ndarray:
    scale = np.asarray(scale, dtype=np.float64)
    if scale.shape != (n_features,) or not (scale >= 0).all():
        raise ValueError(
            f"[feature_importances] scale must hold {n_features} numbers of at least 0, one per input; "
            f"got shape {scale.shape}."
        )
    return scale

"""Which inputs a model looks at."""

from __future__ import annotations

import numpy as np

from dsae.config import one_of
from dsae.runtime import Runtime
from dsae.store import Model


def feature_importances(
    model: Model | Runtime, *, method: str = "strength", scale: np.ndarray | None = None
) -> np.ndarray:
    """Importance of every input, from the encoder's weights.

    Parameters
    ----------
    model : Model or Runtime
    method : {"strength", "path"}
        ``strength`` is ``sum_r |W_rj|`` over the first encoder layer, the neuron strength of QuickSelection
        (Atashgahi et al. 2022). ``path`` adds up all paths to the code, ``1^T |W_L| ... |W_1|``: an input
        whose edges end in hidden units that lead nowhere counts nothing.
    scale : array-like, shape (n_features,), optional
        Spread of each input, such as its standard deviation. Weights are per unit of the input; with this
        they are per unit of its spread, which compares inputs measured in different units.

    Returns
    -------
    ndarray of float64, shape (n_features,)
        Not negative, sum 1; uniform where no weight is left to tell inputs apart.

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
    >>> feature_importances(Model(config, {"encoder.0": layer}))
    array([0.75, 0.25, 0.  ])
    """
    one_of("method", method, ("strength", "path"))
    encoder = [layer for name, layer in model.layers.items() if name.startswith("encoder.")]
    used = encoder if method == "path" else encoder[:1]
    strength = np.ones(used[-1].topology.shape[0])
    for layer in reversed(used):
        strength = abs(layer.to_csr()).T.astype(np.float64) @ strength
    if scale is not None:
        strength = strength * _checked(scale, strength.size)
    total = strength.sum()
    return strength / total if total > 0 else np.full(strength.size, 1 / strength.size)


def _checked(scale: np.ndarray, n_features: int) -> np.ndarray:
    scale = np.asarray(scale, dtype=np.float64)
    if scale.shape != (n_features,) or not (scale >= 0).all():
        raise ValueError(
            f"[feature_importances] scale must hold {n_features} numbers of at least 0, one per input; "
            f"got shape {scale.shape}."
        )
    return scale

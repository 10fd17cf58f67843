"""The canonical form of a dictionary: one layer each way, from which and to which every format is mapped."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from dsae.config import AutoencoderConfig, has_exposure, listed
from dsae.store import Model
from dsae.topology import Layer, Topology

# A layer with fewer zeros is faster and smaller as a full one; trained dictionaries have a few by chance.
_NEARLY_FULL = 0.9
_ROWS_AT_ONCE = 1 << 22  # weights: 32 MiB of float64


@dataclass
class OneLayer:
    """``z = act(encoder @ x + encoder_bias)``, ``x_hat = decoder @ z + decoder_bias``.

    Attributes
    ----------
    encoder : ndarray, shape (n_components, n_features)
    encoder_bias : ndarray, shape (n_components,)
    decoder : ndarray, shape (n_features, n_components)
    decoder_bias : ndarray, shape (n_features,)
    code : {"relu", "topk", "batchtopk", "jumprelu"}
    k : int, optional
    threshold : ndarray, shape (n_components,), optional
        Not negative.
    names : list of str, optional
        Of the features.
    origin : dict
        Where it comes from, as JSON can hold it.
    """

    encoder: np.ndarray
    encoder_bias: np.ndarray
    decoder: np.ndarray
    decoder_bias: np.ndarray
    code: str
    k: int | None = None
    threshold: np.ndarray | None = None
    names: list[str] | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, title: str, codes: Collection[str]) -> Self:
        """That of a model; what the format ``title``, with codes ``codes``, cannot say raises ValueError."""
        _check(model, title, codes)
        (into, bias), (out, out_bias) = ((layer.to_dense(), layer.bias) for layer in model.layers.values())
        code, k = model.config.code_activation, model.config.k
        return cls(into, bias, out, out_bias, code, k, model.threshold, model.feature_names)

    def subtracting(self, offset: np.ndarray) -> None:
        """Make it the map of rows from which ``offset`` is subtracted first: ``encoder @ (x - offset)``."""
        self.encoder_bias = self.encoder_bias - product(self.encoder, offset)

    def rescale(self, factors: np.ndarray) -> None:
        """Multiply each latent without a threshold by its factor, and divide its atom by it; 0 turns it off."""
        factors = factors.astype(np.float64)
        self.encoder = self.encoder * factors[:, None]
        self.encoder_bias = self.encoder_bias * factors
        self.decoder = self.decoder / np.where(factors > 0, factors, 1.0)

    def to_model(self) -> Model:
        """The model of dsae; weights that are zero leave the topology."""
        with np.errstate(over="ignore"):
            pairs = ((self.encoder, self.encoder_bias), (self.decoder, self.decoder_bias))
            layers = {f"{half}.0": _layer(*pair) for half, pair in zip(("encoder", "decoder"), pairs, strict=True)}
            threshold = None if self.threshold is None else np.maximum(self.threshold, 0).astype(np.float32)
        if threshold is not None and np.isnan(threshold).any():
            raise ValueError("the thresholds must be numbers; some are NaN.")
        for name, (_, values, bias) in layers.items():
            if not (np.isfinite(values).all() and np.isfinite(bias).all()):
                half = name.removesuffix(".0")
                raise ValueError(f"the weights of the {half} must be finite in float32; some are NaN or too large.")
        n_components, n_features = self.encoder.shape
        config = AutoencoderConfig(
            n_features=n_features,
            n_components=n_components,
            code_activation=self.code,
            k=self.k,
            density={name: max(topology.density, 1 / topology.size) for name, (topology, *_) in layers.items()},
        )
        return Model(config, layers, threshold, training={"imported": self.origin}, feature_names=self.names)


def product(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """``matrix @ vector`` in float64, without a float64 copy of the matrix."""
    vector = vector.astype(np.float64)
    step = max(1, _ROWS_AT_ONCE // max(1, matrix.shape[1]))
    parts = [matrix[i : i + step].astype(np.float64) @ vector for i in range(0, len(matrix), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def norms_of(rows: np.ndarray) -> np.ndarray:
    """The norms of rows, in float64."""
    step = max(1, _ROWS_AT_ONCE // max(1, rows.shape[1]))
    parts = [np.linalg.norm(rows[i : i + step].astype(np.float64), axis=1) for i in range(0, len(rows), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _layer(weights: np.ndarray, bias: np.ndarray) -> Layer:
    weights, bias = np.array(weights, np.float32, order="C"), np.array(bias, np.float32)  # not those of a file
    live = weights != 0
    if np.count_nonzero(live) > _NEARLY_FULL * weights.size:
        return Layer(Topology.full((weights.shape[0], weights.shape[1])), weights.ravel(), bias)
    return Layer(Topology.from_mask(live), weights[live], bias)


def _check(model: Model, title: str, codes: Collection[str]) -> None:
    config, layers = model.config, f"{title} holds one encoder and one decoder layer"
    depth = len(config.encoder_widths) - 1, len(config.decoder_widths) - 1
    if depth != (1, 1):
        raise ValueError(
            f"{layers}; the model has {depth[0]} and {depth[1]}. Export it to onnx, or fit it with "
            "hidden_layer_sizes=()."
        )
    if config.n_outputs is not None or model.training.get("target"):
        raise ValueError(
            f"{title} holds models that reconstruct their own rows; this one was fitted to a target (a transcoder)."
        )
    if not config.output.linear or has_exposure(model.training.get("loss", "mse")):
        raise ValueError(
            f"{title} holds models with a linear output; this one has output_activation={config.output_activation!r}, "
            f"loss={model.training.get('loss', 'mse')!r}. Export it to onnx, or fit it with loss='mse'."
        )
    if config.input_transform != "none":
        raise ValueError(
            f"{title} holds no transform of the input; this one has input_transform={config.input_transform!r}. "
            "Transform the rows yourself, and fit without."
        )
    if model.inputs is not None:
        raise ValueError(f"{title} holds models of known values; this one takes NaN, missing='mask'. Fit it without.")
    if config.code_activation not in codes:
        raise ValueError(
            f"{title} holds codes by {listed(codes)}; this one has code_activation={config.code_activation!r}."
        )
    if model.threshold is not None and (model.threshold < 0).any():
        raise ValueError(
            f"{title} holds thresholds of at least 0; {int((model.threshold < 0).sum())} of this one's are negative."
        )

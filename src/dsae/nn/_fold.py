"""Layers as plain arrays, with the centring and scaling of the data folded into the outer ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dsae.config import AutoencoderConfig
from dsae.nn._linear import SparseLinear, bias_of
from dsae.topology import Layer

Moments = tuple[np.ndarray, np.ndarray]


def to_layer(layer: SparseLinear) -> Layer:
    """A copy of its weights, for input as the layer takes it."""
    values = layer.values.detach().float().cpu().numpy().copy()
    return Layer(layer.topology.bare(), values, bias_of(layer).detach().float().cpu().numpy().copy())


def fold(layers: Mapping[str, Layer], config: AutoencoderConfig, into: Moments, out: Moments) -> dict[str, Layer]:
    """Layers for input ``x`` from layers for input ``(x - mean) / scale``, with the output transformed back.

    ``into`` and ``out`` are mean and scale of the input and of the output.
    """
    folded, (mean, scale) = dict(layers), into
    first, last = next(iter(layers)), list(layers)[-1]
    topology, values, bias = layers[first]
    scaled = values / scale[topology.cols]
    shift = np.bincount(topology.rows, scaled * mean[topology.cols], minlength=topology.shape[0])
    folded[first] = Layer(topology, scaled.astype(np.float32), (bias - shift).astype(np.float32))
    if config.output.linear:
        mean, scale = out
        topology, values, bias = layers[last]
        folded[last] = Layer(
            topology,
            (values * scale[topology.rows]).astype(np.float32),
            (bias * scale + mean).astype(np.float32),
        )
    return folded

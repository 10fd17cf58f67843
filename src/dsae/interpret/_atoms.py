"""Atoms: what a latent adds to the reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from dsae.config import ACTIVATIONS, listed
from dsae.runtime import Runtime
from dsae.store import Model
from dsae.topology import Layer

_Kind = TypeVar("_Kind", Model, Runtime)
_SCALABLE = tuple(name for name, activation in ACTIVATIONS.items() if activation.scalable)


def atoms(
    model: Model | Runtime,
    *,
    latents: Sequence[int] | np.ndarray | None = None,
    base: np.ndarray | None = None,
    step: float | np.ndarray = 1.0,
) -> np.ndarray:
    """Decoder response to each latent alone: ``decode(base + step * e_i) - decode(base)``.

    With the default base and step and a one-layer decoder that ends linearly, this is the decoder's column.
    In a deeper decoder the response depends on where it is taken: the mean code as base and each latent's
    standard deviation as step show what the latent does to a typical row.

    Parameters
    ----------
    model : Model or Runtime
    latents : sequence of int, optional
        Which; all by default.
    base : array-like, shape (n_components,), optional
        Code to start from; zero by default.
    step : float or array-like, shape (n_components,)
        How far each latent moves.

    Returns
    -------
    ndarray of float32, shape (n_latents, n_features)
        Or as wide as what the model predicts, where that has other columns.

    Raises
    ------
    ValueError
        If a latent does not exist, or ``base`` or ``step`` has another width than the code.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=3, n_components=1)
    >>> encoder = Layer(Topology.from_mask([[1, 0, 0]]), np.float32([1]), np.zeros(1, "f4"))
    >>> decoder = Layer(Topology.from_mask([[1], [0], [1]]), np.float32([3, -1]), np.ones(3, "f4"))
    >>> atoms(Model(config, {"encoder.0": encoder, "decoder.0": decoder}))
    array([[ 3.,  0., -1.]], dtype=float32)
    """
    runtime = model if isinstance(model, Runtime) else Runtime(model)
    width = runtime.config.n_components
    chosen = np.arange(width) if latents is None else np.asarray(latents, dtype=np.intp).ravel()
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < width):
        raise ValueError(f"[atoms] latents must lie in 0..{width - 1}; got {chosen.min()}..{chosen.max()}.")
    start = _per_latent("base", 0.0 if base is None else base, width)
    steps = _per_latent("step", step, width)
    if not chosen.size:
        return np.zeros((0, runtime.config.output_width), np.float32)
    # One latent a row moves; what a nonlinear decoder gives for both codes is subtracted, so this holds for any depth.
    codes = np.repeat(start[None, :], chosen.size, axis=0)
    codes[np.arange(chosen.size), chosen] += steps[chosen]
    return runtime.decode(codes) - runtime.decode(start[None, :])


def normalize_atoms(model: _Kind) -> _Kind:
    """The same model with atoms of unit norm: a latent's scale goes from its atom into its code.

    Latents are then comparable, and their activations are in the units of the data. Encoder rows, biases and
    thresholds are multiplied by the norms of the atoms. A latent without an atom stays as it is. The model maps rows to
    the same reconstructions, but for rounding; with one exception: a topk code keeps its largest latents, which may be
    others where the norms of atoms differ. They are then those that add most.

    Parameters
    ----------
    model : Model or Runtime
        With a decoder of one layer, and a code that may be rescaled: identity, relu, topk, batchtopk or jumprelu.

    Returns
    -------
    Model or Runtime
        Of the same kind, without the state from which `partial_fit` continues.

    Raises
    ------
    ValueError
        If the model has another decoder or code.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=2, n_components=1, code_activation="relu")
    >>> encoder = Layer(Topology.full((1, 2)), np.float32([1, 0]), np.zeros(1, "f4"))
    >>> decoder = Layer(Topology.full((2, 1)), np.float32([3, 4]), np.zeros(2, "f4"))
    >>> unit = normalize_atoms(Model(config, {"encoder.0": encoder, "decoder.0": decoder}))
    >>> unit.layers["decoder.0"].values, unit.layers["encoder.0"].values
    (array([0.6, 0.8], dtype=float32), array([5., 0.], dtype=float32))
    """
    if isinstance(model, Runtime):
        return Runtime(normalize_atoms(model.model), model.dtype)
    config, names = model.config, list(model.layers)
    if len(config.decoder_widths) > 2 or config.code_activation not in _SCALABLE:
        raise ValueError(
            f"[normalize_atoms] The model must have a decoder of one layer and a code of {listed(_SCALABLE)}, which "
            f"may be rescaled; got {len(config.decoder_widths) - 1} decoder layer(s) and {config.code_activation!r}."
        )
    into, out = names[-2], names[-1]
    topology, values, bias = model.layers[out]
    squares = np.bincount(topology.cols, np.square(values, dtype=np.float64), minlength=config.n_components)
    norms = np.where(squares > 0, np.sqrt(squares), 1.0)
    decoder = Layer(topology, (values / norms[topology.cols]).astype(np.float32), bias)
    topology, values, bias = model.layers[into]
    encoder = Layer(topology, (values * norms[topology.rows]).astype(np.float32), (bias * norms).astype(np.float32))
    threshold = None if model.threshold is None else (model.threshold * norms).astype(np.float32)
    layers = {**model.layers, into: encoder, out: decoder}
    return replace(model, layers=layers, threshold=threshold, learning=None, sampler=None)


def _per_latent(name: str, value, width: int) -> np.ndarray:
    array = np.asarray(value, dtype=np.float32)
    if array.shape not in ((), (width,)):
        raise ValueError(f"[atoms] {name} must be one number or {width}, one per latent; got shape {array.shape}.")
    return np.broadcast_to(array, (width,))

"""Initial models: with a random topology, or from existing weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dsae.config import LARGEST_DENSE_START, LOSSES, AutoencoderConfig, Loss, TrainConfig, transformed
from dsae.data import ArraySource, Source, filled
from dsae.linear import principal_layers
from dsae.nn import Autoencoder, bias_of, target_nnz
from dsae.shrink import METHODS, method_for
from dsae.store import Inputs
from dsae.topology import Layer, Topology, inactive_edges, neighbour_edges, weakest_blocks

_ROW_NORM = 0.1  # of a dictionary's latents (docs/design/codes.md)
# Enough to tell which features occur together, and of how many values, dense ones or stored.
_ROWS, _VALUES = 1 << 16, 1 << 24


def start_model(
    config: AutoencoderConfig,
    train: TrainConfig,
    generator: torch.Generator,
    moments: tuple[np.ndarray, np.ndarray],
    init: Mapping[str, Layer] | None = None,
    threshold: np.ndarray | None = None,
    target: np.ndarray | None = None,
    near: Source | None = None,
    output: tuple[np.ndarray, np.ndarray] | None = None,
) -> Autoencoder:
    """A model that is ready to train.

    Parameters
    ----------
    config, train
        Architecture and settings. Methods that shrink gradually start with half of the edges, where those fit in
        memory, or all of ``init``; the others with the final number of edges.
    generator : torch.Generator
    moments : tuple of ndarray, shape (n_features,)
        Mean and scale by which inputs are standardised.
    init : mapping of str to Layer, optional
        Weights to start from instead of random ones. Where the method does not shrink gradually, the largest by
        magnitude are kept; if there are too few, zeros are added at random.
    threshold : ndarray, shape (n_components,), optional
        Of the code activation, to go with ``init``.
    target : ndarray, shape (n_features,), optional
        Mean of the rows as they are given, where an input transform makes that another than the input's: outputs
        start at it, and it stands for values not known.
    near : Source, optional
        Rows by which edges start, where the settings say so.
    output : tuple of ndarray, shape (n_outputs,), optional
        Mean and scale of what is predicted, where that is not the rows themselves: outputs start at this mean.
    """
    start = start_nnz(config, train, fresh=init is None)
    sizes = {name: n_out * n_in for name, (n_out, n_in) in config.layer_shapes.items()}
    initial = {name: count / sizes[name] for name, count in start.items()}
    topologies, first = None, {}
    if init is None and near is not None and train.init_topology == "neighbours":
        topologies = _near(config, train, start, near, generator.initial_seed())
    if init is None and near is not None and train.init_topology == "principal":
        first = _principal(config, start, near, moments, generator.initial_seed())
        topologies = {name: layer.topology for name, layer in first.items()}
    model = Autoencoder(config.replace(density=initial), generator, topologies)
    model.config, model.fills_by_total = config, LOSSES[train.loss].exposure
    for name, layer in first.items():
        model.layers[name].values.data.copy_(torch.from_numpy(layer.values))
    stand_in = None if target is None else torch.from_numpy(target)
    aimed = None if output is None else (torch.from_numpy(output[0]), torch.from_numpy(output[1]))
    model.set_moments(torch.from_numpy(moments[0]), torch.from_numpy(moments[1]), stand_in, aimed)
    if init is not None:
        final, rng = target_nnz(config), np.random.default_rng(generator.initial_seed())
        given = {name: layer.in_blocks(config.block_size) for name, layer in init.items()}
        fitted = {name: _grown(_largest(given[name], start[name]), final[name], rng) for name in given}
        model.set_layers(fitted, threshold)
    else:
        _start_output(model, LOSSES[train.loss], model.stand_in if aimed is None else aimed[0])
        if config.code.sparse and len(model.layers) == 2:
            _start_dictionary(model, np.random.default_rng(generator.initial_seed()))
    model.switch_unconnected()
    return model


def start_nnz(config: AutoencoderConfig, train: TrainConfig, fresh: bool = True) -> dict[str, int]:
    """Number of active weights with which each layer starts; of weights that have learned, as many as fit in memory."""
    final = target_nnz(config)
    if train.shrink == "none":
        return final
    schedule = METHODS[train.shrink].schedule
    most = _densest(config, schedule.densest if fresh else 1.0)
    found = {}
    for name, (n_out, n_in) in config.layer_shapes.items():
        nnz = final[name]
        if fresh and method_for(train.shrink, n_out * n_in).schedule.start == 1:
            found[name] = nnz
        else:
            found[name] = round(max(nnz, min(schedule.start * nnz, most[name], max(2 * nnz, LARGEST_DENSE_START))))
    return found


def _near(
    config: AutoencoderConfig, train: TrainConfig, counts: Mapping[str, int], source: Source, seed: int
) -> dict[str, Topology]:
    """Edges of the outer layers by what features occur with."""
    shapes = config.layer_shapes
    if config.block_size > 1:
        raise ValueError(f"init_topology='neighbours' needs block_size=1; got {config.block_size}.")
    if train.zero_diagonal and len(shapes) > 2:
        raise ValueError(f"zero_diagonal=True needs hidden_layer_sizes=(); got {config.hidden_layer_sizes}.")
    first, last = next(iter(shapes)), list(shapes)[-1]
    rng = np.random.default_rng(seed)
    rows = source.sample(min(_ROWS, len(source)), rng).rows
    wanted = counts[first], counts[last]
    into, out = neighbour_edges(rows, shapes[first][0], wanted, rng, zero_diagonal=train.zero_diagonal)
    if shapes[last][1] != shapes[first][0]:
        out = neighbour_edges(rows, shapes[last][1], wanted, rng)[1]
    return {first: into, last: out}


def _principal(
    config: AutoencoderConfig, counts: Mapping[str, int], source: Source, moments: Any, seed: int
) -> dict[str, Layer]:
    """Both layers along the principal directions of the rows as they enter."""
    if config.hidden_layer_sizes or config.decoder_widths[1:-1] or config.code_activation != "identity":
        raise ValueError(
            "init_topology='principal' needs hidden_layer_sizes=() and code_activation='identity'; got "
            f"{config.hidden_layer_sizes} and {config.code_activation!r}."
        )
    if config.block_size > 1 or config.n_components > config.n_features:
        raise ValueError(
            "init_topology='principal' needs block_size=1 and at most as many components as features; got "
            f"{config.block_size} and {config.n_components} of {config.n_features}."
        )
    rng = np.random.default_rng(seed)
    rows = filled(source.sample(_n_rows(source), rng).rows, source.moments()[0])
    rows = transformed(rows, config.input_transform, config.input_total)
    names = list(config.layer_shapes)
    layers = principal_layers(rows, moments, config.n_components, (counts[names[0]], counts[names[1]]), rng)
    if not config.output.linear:  # a logarithm of rates has no unit
        topology, values, bias = layers[1]
        layers = layers[0], Layer(topology, values * moments[1][topology.rows], bias)
    return dict(zip(names, layers, strict=True))


def _n_rows(source: Source) -> int:
    stored = source.n_features
    if isinstance(source, ArraySource) and sp.issparse(source.X):
        stored = max(1, source.X.nnz // len(source))
    return max(1, min(_ROWS, len(source), _VALUES // stored))


def _densest(config: AutoencoderConfig, densest: float) -> dict[str, int]:
    """Edges of a density of ``densest``, or of twice the final one where that is more, spread as the final ones are."""

    def share(density: float) -> float:
        return min(1.0, max(densest, 2 * density))

    if isinstance(config.density, Mapping):
        return target_nnz(config.replace(density={name: share(value) for name, value in config.density.items()}))
    return target_nnz(config.replace(density=share(config.density)))


def inputs_of(source: Source, mean: np.ndarray, earlier: Inputs | None = None) -> Inputs:
    """What stands for values that are not known: the means that the model centres by, and ranges of all rows so far."""
    known = source.known()
    low, high = (np.where(known.columns, values, mean) for values in (known.low, known.high))
    if earlier is not None:
        low, high = np.minimum(low, earlier.low), np.maximum(high, earlier.high)
    return Inputs(mean.astype(np.float32), low.astype(np.float32), high.astype(np.float32))


def start_extras(
    model: Autoencoder, loss: Loss, moments: tuple[np.ndarray, np.ndarray], earlier: Mapping[str, np.ndarray]
) -> None:
    """Give a model what its loss trains beside the weights: as it was, or from the features' means and deviations."""
    found = {extra.name: earlier.get(extra.name) for extra in loss.extras}
    started = {extra.name: extra.start(*moments) for extra in loss.extras if found[extra.name] is None}
    model.set_extras({name: np.asarray(value, np.float32) for name, value in (found | started).items()})


@torch.no_grad()
def _start_output(model: Autoencoder, loss: Loss, mean: torch.Tensor) -> None:
    """Initialise the output bias so that first outputs are the features' means, if loss or activation define how."""
    if loss.start is not None:
        bias = torch.from_numpy(loss.start(mean.cpu().numpy()))
    else:
        bias = model.activations[-1].start(mean)
    if bias is not None:
        bias_of(model.decoder[-1]).copy_(bias)


@torch.no_grad()
def _start_dictionary(model: Autoencoder, rng: np.random.Generator) -> None:
    """Start with small rows of the encoder and, as far as the decoder has edges for it, with the same atoms.

    A few steps of Adam then turn a row towards an atom; a larger row stays near where it was drawn, and the decoder
    learns the training rows by heart.
    """
    encoder, decoder = model.layers.values()
    encoder.values.mul_(_ROW_NORM / model.config.code.gain)
    if encoder.block_size == 1 and decoder.topology.shape == encoder.topology.shape[::-1]:
        transposed, slots = encoder.topology.transpose
        atoms = Layer(transposed, encoder.values.detach().numpy()[slots], np.zeros(0, np.float32))
        topology, values, _ = _grown(_largest(atoms, decoder.nnz), decoder.nnz, rng)
        decoder.adopt(topology)
        decoder.values.copy_(torch.from_numpy(values))


def _largest(layer: Layer, nnz: int) -> Layer:
    topology, values, bias = layer
    if topology.nnz <= nnz:
        return layer
    rewiring = topology.rewire(weakest_blocks(topology, np.abs(values), topology.nnz - nnz))
    return Layer(rewiring.new, rewiring.move(values), bias)


def _grown(layer: Layer, nnz: int, rng: np.random.Generator) -> Layer:
    topology, values, bias = layer
    if topology.nnz >= nnz:
        return layer
    rewiring = topology.rewire(np.zeros(topology.n_blocks, bool), inactive_edges(topology, nnz - topology.nnz, rng))
    return Layer(rewiring.new, rewiring.move(values), bias)


def dense_layers(init: Any, config: AutoencoderConfig) -> dict[str, Layer]:
    """Layers from one ``(weight [out, in], bias [out])`` each, in order; zero weights are not stored.

    Raises
    ------
    ValueError
        If ``init`` is something else, or its shapes differ from those of ``config``.
    """
    expected = f"one (weight [out, in], bias [out]) for each of {config.layer_shapes}"
    try:
        pairs = [(_weight(weight), np.asarray(bias, np.float32)) for weight, bias in init]
    except (TypeError, ValueError):
        raise ValueError(
            f"init must be a fitted model, a model folder, or {expected}; got {type(init).__name__}."
        ) from None
    shapes = [weight.shape for weight, _ in pairs]
    if shapes != list(config.layer_shapes.values()) or any(bias.shape != weight.shape[:1] for weight, bias in pairs):
        raise ValueError(f"init must give {expected}; got weights of shape {shapes}.")
    layers = {}
    for name, (weight, bias) in zip(config.layer_shapes, pairs, strict=True):
        if sp.issparse(weight):
            layers[name] = Layer(Topology(weight.shape, weight.indptr, weight.indices), weight.data, bias)
        else:
            layers[name] = Layer(Topology.from_mask(weight), weight[weight != 0], bias)
    return layers


def _weight(given: Any) -> Any:
    """A matrix of float32; what a sparse one stores are its edges, zeros among them."""
    if not sp.issparse(given):
        return np.asarray(given, np.float32)
    weight = sp.csr_matrix(given, dtype=np.float32, copy=True)
    weight.sum_duplicates()
    return weight

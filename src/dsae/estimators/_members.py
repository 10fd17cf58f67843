"""Small autoencoders for tables, trained side by side: each product is one call for all of them.

A step of one such network is a few microseconds of arithmetic, so what a call costs is what counts
(docs/design/outliers.md). numpy alone computes them: an outlier detector of dense rows needs no torch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dsae.config import AutoencoderConfig
from dsae.store import Inputs, Model
from dsae.topology import Layer, Topology, random_topology

HIDDEN = 64  # units on either side of the code
_STEPS, _BATCH, _RATE = 300, 64, 1e-2
_BETA, _BETA_SQUARE, _EPS = 0.9, 0.999, 1e-8  # Adam's (Kingma & Ba 2015)
_RELU = (True, False, True, False)  # of each layer; the code and the output are linear


class Plan(NamedTuple):
    """What to train.

    Attributes
    ----------
    widths : sequence of int
        Of the members' codes.
    samples : sequence of ndarray of int
        Rows that each member learns from.
    masks : sequence of float
        Share of the values that a step of each member does not see.
    density : float
        Active share of the weights of each layer.
    """

    widths: list[int]
    samples: list[np.ndarray]
    masks: list[float]
    density: float


def trained(rows: np.ndarray, plan: Plan, rng: np.random.Generator, missing: str = "error") -> list[Model]:
    """Autoencoders with random edges, by Adam on the squared error of all values from those that a step sees.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_samples, n_features)
        Standardised. NaN is not known: 0, its feature's mean, stands for it, and the error leaves it out.
    plan : Plan
    rng : numpy.random.Generator
    missing : {"error", "mask"}
        Whether the members take NaN.
    """
    n_members, n_features = len(plan.widths), rows.shape[1]
    topologies = [_topologies(n_features, width, plan.density, rng) for width in plan.widths]
    shapes = [(n_features, HIDDEN), (HIDDEN, max(plan.widths))]
    shapes += [(n_out, n_in) for n_in, n_out in reversed(shapes)]
    numbers, edges = _Numbers.zeros(n_members, shapes), _Numbers.zeros(n_members, shapes)
    for member, layers in enumerate(topologies):
        for i, topology in enumerate(layers):
            at = member, topology.cols, topology.rows
            # As torch.nn.Linear starts, by the inputs that a unit has.
            bound = 1 / np.sqrt(topology.fan_in[topology.rows])
            numbers.weights[i][at] = rng.uniform(-bound, bound)
            edges.weights[i][at] = 1
            edges.biases[i][member, :, : topology.shape[0]] = 1  # narrower codes are padded to the widest
    _descend(numbers, edges, rows, plan, rng)
    inputs = _inputs(rows) if missing == "mask" else None
    return [_model(numbers, member, layers, inputs) for member, layers in enumerate(topologies)]


class _Numbers(NamedTuple):
    """A number for each weight and bias of all members, in one array.

    Attributes
    ----------
    flat : ndarray of float32
    weights : list of ndarray, shape (n_members, n_in, n_out)
        Its parts, by layer.
    biases : list of ndarray, shape (n_members, 1, n_out)
    """

    flat: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]

    @classmethod
    def zeros(cls, n_members: int, shapes: list[tuple[int, int]]) -> _Numbers:
        stacks = [(n_members, n_in, n_out) for n_in, n_out in shapes] + [(n_members, 1, n_out) for _, n_out in shapes]
        ends = np.cumsum([np.prod(stack) for stack in stacks])
        flat = np.zeros(ends[-1], np.float32)
        parts = [part.reshape(stack) for part, stack in zip(np.split(flat, ends[:-1]), stacks, strict=True)]
        return cls(flat, parts[: len(shapes)], parts[len(shapes) :])


def _topologies(n_features: int, width: int, density: float, rng: np.random.Generator) -> list[Topology]:
    shapes = ((HIDDEN, n_features), (width, HIDDEN), (HIDDEN, width), (n_features, HIDDEN))
    return [random_topology(shape, density, rng) for shape in shapes]


def _descend(numbers: _Numbers, edges: _Numbers, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Adam at a rate that falls to zero; each member draws its batches from its own rows."""
    gradient = _Numbers.zeros(len(plan.samples), [weight.shape[1:] for weight in numbers.weights])
    mean, square, change = (np.zeros_like(numbers.flat) for _ in range(3))
    masks = np.array(plan.masks, np.float32)[:, None, None]
    for step in range(1, _STEPS + 1):
        batch = rows[np.stack([sample[rng.integers(0, sample.size, _BATCH)] for sample in plan.samples])]
        _differentiate(numbers, gradient, batch, rng.random(batch.shape, np.float32) >= masks)
        np.multiply(gradient.flat, edges.flat, out=gradient.flat)  # inactive weights get no moments, and so stay 0
        mean += np.float32(1 - _BETA) * (gradient.flat - mean)
        np.square(gradient.flat, out=change)
        square += np.float32(1 - _BETA_SQUARE) * (change - square)
        np.divide(mean, np.sqrt(square, out=change) + np.float32(_EPS), out=change)
        # Both corrections of Adam's moments in one factor.
        rate = _RATE * (1 - (step - 1) / _STEPS) * np.sqrt(1 - _BETA_SQUARE**step) / (1 - _BETA**step)
        np.subtract(numbers.flat, np.float32(rate) * change, out=numbers.flat)


def _differentiate(numbers: _Numbers, gradient: _Numbers, target: np.ndarray, seen: np.ndarray) -> None:
    """Of the mean squared error of each member's batch; ``target`` and ``seen`` are ``[n_members, n_rows, width]``."""
    known = ~np.isnan(target)
    target = np.where(known, target, np.float32(0))
    entering, y = [], target * seen
    for weight, bias, relu in zip(numbers.weights, numbers.biases, _RELU, strict=True):
        entering.append(y)
        y = np.matmul(y, weight)
        y += bias
        if relu:
            np.maximum(y, 0, out=y)
    scale = 2 / np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)  # each member has a mean of its own
    dy = (y - target) * known * scale.astype(np.float32)
    for i in reversed(range(len(_RELU))):
        np.matmul(entering[i].transpose(0, 2, 1), dy, out=gradient.weights[i])
        dy.sum(axis=1, keepdims=True, out=gradient.biases[i])
        if i:
            dy = np.matmul(dy, numbers.weights[i].transpose(0, 2, 1))
            if _RELU[i - 1]:
                dy *= entering[i] > 0


def _inputs(rows: np.ndarray) -> Inputs:
    return Inputs(np.zeros(rows.shape[1], np.float32), np.fmin.reduce(rows), np.fmax.reduce(rows))


def _model(numbers: _Numbers, member: int, topologies: list[Topology], inputs: Inputs | None) -> Model:
    width, n_features = topologies[1].shape[0], topologies[0].shape[1]
    config = AutoencoderConfig(n_features, width, (HIDDEN,), missing="error" if inputs is None else "mask")
    layers = {}
    for i, (name, topology) in enumerate(zip(config.layer_shapes, topologies, strict=True)):
        values = numbers.weights[i][member, topology.cols, topology.rows]
        layers[name] = Layer(topology, values, numbers.biases[i][member, 0, : topology.shape[0]].copy())
    density = {name: layer.topology.density for name, layer in layers.items()}
    return Model(config.replace(density=density), layers, inputs=inputs)

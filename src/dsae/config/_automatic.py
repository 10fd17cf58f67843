"""Settings that are chosen from the shape of the data unless the user sets them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dsae.config._activations import activation_of
from dsae.config._model import AutoencoderConfig

_WIDE = 4096  # features; more are learned with fewer units and smaller steps
# A layer of more possible weights never starts nearly dense: gradients, moments and a rewiring take up to 70 bytes for
# each weight, and a step of wide sparse rows the square of an output's weights (docs/design/sparse_input.md).
LARGEST_DENSE_START = 1 << 21
# Measured break-even: a stored value of a CSR batch costs one vector operation per edge, a panel's line four
# (docs/design/sparse_input.md). Batches that are fuller become dense.
DENSE_ABOVE = 1 / 16

# Seconds that a fit with default settings may take, and how many times those of PCA.
_SHORTEST, _LONGEST, _TIMES_PCA = 20.0, 600.0, 50.0
# Seconds of one thread (docs/design/shrinking.md): a multiply-add of PCA by the covariance, on dense and on sparse
# rows, ...
_COVARIANCE, _DENSE_PCA, _SPARSE_PCA = 1.2e-11, 5e-11, 2.2e-10
# ... of sparse and of dense products in a step, and of one that finds its operands one by one; of an edge and an output
# for each sample in the tiled loss; of a pair of weights, an edge and an output in Gram matrices; of an edge in the
# optimiser's pass, a value that enters, all else of a step.
_PRODUCT, _DENSE_PRODUCT, _SCATTERED = 3e-11, 2.5e-11, 4e-9
_TILED_EDGE, _TILED_OUTPUT = 1.25e-10, 7.6e-10
_PAIR, _GRAM_EDGE, _GRAM_OUTPUT = 4e-10, 1.4e-8, 3e-8
_EDGE, _VALUE, _WIDE_VALUE, _BESIDE = 4e-9, 1e-9, 3e-9, 1.5e-3  # batches of wide rows leave the cache
_PROBE = 2  # steps whose time an epoch takes beside its own, at most
# Mean density of a gradual schedule above its last one, as a share of what it starts above that: a cubic curve over
# three quarters of the training.
_MORE = 0.19


def automatic_widths(shape: tuple[int, int], n_components: int, code_activation: str) -> tuple[int, ...]:
    """Default hidden widths, sized to the number of samples.

    Parameters
    ----------
    shape : tuple of int
        Rows and features of the data. Up to 4096 features get two layers. Wider data have too few rows for so many
        weights, and get one layer of at most 256 units, fewer if there are few rows (docs/design/shrinking.md).
    n_components, code_activation
        As in `AutoencoderConfig`. Codes by topk, batchtopk and jumprelu are dictionaries and get a linear encoder, as
        do codes as wide as the data.

    Examples
    --------
    >>> automatic_widths((60_000, 784), 32, "identity"), automatic_widths((60_000, 784), 4096, "topk")
    ((1024, 256), ())
    >>> automatic_widths((11_000, 10_000), 32, "identity"), automatic_widths((1_600, 20_000), 32, "identity")
    ((256,), (64,))
    """
    n_samples, n_features = shape
    # A dictionary reads its inputs itself, and a code as wide as the data needs nothing in between.
    if activation_of(code_activation).sparse or n_components >= n_features:
        return ()
    return (1024, 256) if n_features <= _WIDE else (max(2 * n_components, min(256, n_samples // 25)),)


def automatic_epochs(model: AutoencoderConfig, n_samples: int, stored: float, batch_size: int) -> int:
    """Default number of epochs: as many as make 4,000 steps, between 10 and 100, but no more than end in time.

    In time is 50 times what PCA of the same data takes, at least 20 seconds and at most 10 minutes. What both take is a
    function of shapes alone, on one thread of a processor of 2023 that others use, too: a fit is never shortened
    because a machine is slow, and runs repeat.

    Parameters
    ----------
    model : AutoencoderConfig
    n_samples : int
    stored : float
        Values of a row that are stored, all of them where rows are dense.
    batch_size : int

    Examples
    --------
    >>> model = AutoencoderConfig(n_features=784, hidden_layer_sizes=(1024, 256), n_components=32, density=0.05)
    >>> automatic_epochs(model, 1_000, 784, 256), automatic_epochs(model, 60_000, 784, 256)
    (100, 10)
    """
    n_steps = math.ceil(n_samples / batch_size)
    wanted = max(10, min(100, math.ceil(4_000 / n_steps)))
    in_time = min(_LONGEST, max(_SHORTEST, _TIMES_PCA * _pca_seconds(model, n_samples, stored)))
    epoch = (n_steps + _PROBE) * _step_seconds(model, stored, batch_size)
    return max(1, min(wanted, math.floor(in_time / epoch)))


def _pca_seconds(model: AutoencoderConfig, n_samples: int, stored: float) -> float:
    """By the covariance where that is small, else randomised, with ten more components and 16 passes over the data."""
    width, n_components = model.n_features, model.n_components + 10
    sparse = stored < model.n_features
    passes = 16 * n_samples * stored * n_components * (_SPARSE_PCA if sparse else _DENSE_PCA)
    by_covariance = _COVARIANCE * width**2 * (n_samples + 10 * width)
    return passes if sparse or width > 1000 else min(passes, by_covariance)


def _step_seconds(model: AutoencoderConfig, stored: float, batch_size: int) -> float:
    """Of one step, over a whole training: products and the optimiser's pass, layer by layer, and all that is beside."""
    shapes, sparse = list(model.layer_shapes.values()), stored <= DENSE_ABOVE * model.n_features
    value = _WIDE_VALUE if model.n_features > _WIDE else _VALUE
    seconds = _BESIDE + batch_size * value * (stored if sparse else 3 * model.n_features)
    for i, (name, (n_out, n_in)) in enumerate(model.layer_shapes.items()):
        density = model.density.get(name, 1.0) if isinstance(model.density, Mapping) else model.density
        final = density * n_out * n_in
        edges = final + _MORE * max(0.0, 0.5 - density) * n_out * n_in * (n_out * n_in <= LARGEST_DENSE_START)
        if sparse and i == 0:
            products = 2 * _SCATTERED * batch_size * stored * edges / n_in
        elif sparse and i == len(shapes) - 1:
            by_gram = (_PAIR * edges / n_out + _GRAM_EDGE) * edges + _GRAM_OUTPUT * n_out
            by_gram += 3 * _SCATTERED * batch_size * stored * edges / n_out
            products = min(by_gram, batch_size * (_TILED_EDGE * edges + _TILED_OUTPUT * n_out))
        else:
            products = 3 * batch_size * min(_PRODUCT * edges, _DENSE_PRODUCT * n_out * n_in)
        seconds += products + _EDGE * edges
    return seconds


def automatic_rate(n_features: int, code_activation: str = "identity", density: float = 1.0) -> float:
    """Default learning rate, half as large for more than 4096 features (docs/design/shrinking.md).

    3e-3; 0.01 times the root of the density for dictionaries, whatever their width, ``k`` and number of steps
    (docs/design/codes.md). The root, since an edge's rate is the rate over the active share of its unit's inputs: steps
    of a row of weights have then the same length at any density.

    Parameters
    ----------
    n_features : int
    code_activation
        As in `AutoencoderConfig`; that of other codes for a dictionary with hidden layers.
    density : float
        Of the encoder.

    Examples
    --------
    >>> automatic_rate(784), automatic_rate(10_000), automatic_rate(784, "topk"), automatic_rate(784, "topk", 0.09)
    (0.003, 0.0015, 0.01, 0.003)
    """
    rate = 3e-3
    if activation_of(code_activation).sparse:
        rate = round(0.01 * math.sqrt(density), 5)  # docs/design/codes.md
    return rate if n_features <= _WIDE else rate / 2

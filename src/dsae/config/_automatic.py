"""Settings that are chosen from the shape of the data unless the user sets them."""

from __future__ import annotations

import math

from dsae.config._activations import activation_of

_WIDE = 4096  # features; more are learned with fewer units and smaller steps


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
    if activation_of(code_activation).sparse or n_components >= n_features:
        return ()
    return (1024, 256) if n_features <= _WIDE else (max(2 * n_components, min(256, n_samples // 25)),)


def automatic_epochs(n_samples: int, batch_size: int) -> int:
    """Default number of epochs: as many as make 4,000 steps, between 10 and 100.

    Examples
    --------
    >>> automatic_epochs(60_000, 256), automatic_epochs(1_000, 256)
    (18, 100)
    """
    return max(10, min(100, math.ceil(4_000 / math.ceil(n_samples / batch_size))))


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
        rate = round(0.01 * math.sqrt(density), 5)
    return rate if n_features <= _WIDE else rate / 2

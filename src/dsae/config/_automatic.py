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


def automatic_rate(n_features: int) -> float:
    """Default learning rate: 3e-3 for up to 4096 features, half of that for more (docs/design/shrinking.md).

    Examples
    --------
    >>> automatic_rate(784), automatic_rate(10_000)
    (0.003, 0.0015)
    """
    return 3e-3 if n_features <= _WIDE else 1.5e-3

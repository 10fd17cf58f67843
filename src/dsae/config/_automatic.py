"""Settings chosen from the shape of the data where the user leaves them open."""

from __future__ import annotations

import math

from dsae.config._activations import activation_of

_WIDE = 4096  # features; more are learned with fewer units and smaller steps


def automatic_widths(shape: tuple[int, int], n_components: int, code_activation: str) -> tuple[int, ...]:
    """Hidden widths where none are given, as wide as the rows can teach.

    Parameters
    ----------
    shape : tuple of int
        Rows and features of the data. Two layers for up to 4096 features; wider data have more weights than rows could
        settle, and get one layer of at most 256 units, of fewer where rows are few (docs/design/shrinking.md).
    n_components, code_activation
        As in `AutoencoderConfig`. Codes by topk, batchtopk and jumprelu are dictionaries, which have a linear encoder;
        so have codes as wide as the data.

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
    """Epochs where no number is given: at least 10, and as many as make 4,000 steps, up to 100.

    Examples
    --------
    >>> automatic_epochs(60_000, 256), automatic_epochs(1_000, 256)
    (18, 100)
    """
    return max(10, min(100, math.ceil(4_000 / math.ceil(n_samples / batch_size))))


def automatic_rate(n_features: int) -> float:
    """Learning rate where none is given: 3e-3 for up to 4096 features, half of that beyond (docs/design/shrinking.md).

    Examples
    --------
    >>> automatic_rate(784), automatic_rate(10_000)
    (0.003, 0.0015)
    """
    return 3e-3 if n_features <= _WIDE else 1.5e-3

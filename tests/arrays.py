"""What the tests of the kernels share."""

import numpy as np
import pytest

from dsae import kernels

# Shape and density of layers: without inputs, outputs or edges, with few and with all.
LAYERS = {
    "shape, density": [
        ((0, 3), 1.0),
        ((3, 0), 1.0),
        ((1, 1), 1.0),
        ((33, 70), 0.0),
        ((33, 70), 0.1),
        ((70, 33), 1.0),
        ((130, 257), 0.03),
    ]
}

native = pytest.mark.skipif(not kernels.NATIVE, reason="the extension is not built")


def floats(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)

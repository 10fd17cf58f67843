"""What the tests of the kernels share."""

import numpy as np
import pytest

from dsae import kernels

native = pytest.mark.skipif(not kernels.NATIVE, reason="the extension is not built")


def floats(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)

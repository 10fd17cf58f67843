"""Dictionaries of one layer with any code."""

import numpy as np
import pytest

from dsae.runtime import Runtime

CODES = {"relu": None, "topk": 3, "batchtopk": 3, "jumprelu": None}


@pytest.fixture
def make_dictionary(make_model):
    def make(code="topk", live=1.0, mean=3.0, **more):
        """Of rows around ``mean``, which its biases take away as training would."""
        more.setdefault("k", CODES[code])
        made = make_model(6, 10, live, code_activation=code, density=max(live, 0.01), **more)
        (into, values, bias), (out, atoms, _) = made.layers.values()
        lower = bias - np.float32(mean) * np.bincount(into.rows, values, 10).astype(np.float32)
        layers = {"encoder.0": (into, values, lower), "decoder.0": (out, atoms, np.full(6, mean, np.float32))}
        made.layers.update({name: type(made.layers[name])(*layer) for name, layer in layers.items()})
        return Runtime(made)

    return make

"""Random models of any shape."""

import numpy as np
import pytest

from dsae.config import AutoencoderConfig
from dsae.store import Model
from dsae.topology import Layer, Topology


@pytest.fixture
def make_model():
    def make(n_features=12, n_components=5, density=0.4, seed=0, threshold=None, **config):
        rng = np.random.default_rng(seed)
        layers = {}
        architecture = AutoencoderConfig(n_features=n_features, n_components=n_components, **config)
        for name, shape in architecture.layer_shapes.items():
            topology = Topology.from_mask(rng.random(shape) < density)
            values = rng.normal(0, 1, topology.nnz).astype(np.float32)
            layers[name] = Layer(topology, values, rng.normal(0, 0.1, shape[0]).astype(np.float32))
        return Model(architecture, layers, threshold=threshold)

    return make

"""Random models of any shape."""

import numpy as np
import pytest

from dsae.config import AutoencoderConfig
from dsae.store import Model
from dsae.topology import Layer, Topology

STARTS = {}


def pytest_collection_modifyitems(config, items):
    """One process opens one browser and makes the pages once; one starts the ranks once."""
    for module in {item.module for item in items if hasattr(item, "module")}:
        STARTS[module] = [
            (g, g.bit_generator.state) for g in vars(module).values() if isinstance(g, np.random.Generator)
        ]
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        for part, group in (("tests/browser/", "browser"), ("tests/train/test_world.py", "ranks")):
            if part in item.path.as_posix():
                item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A test draws the same numbers alone, in any order and in any process."""
    for generator, state in STARTS.get(getattr(item, "module", None), ()):
        generator.bit_generator.state = state


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def make_model():
    def make(n_features=12, n_components=5, live=0.4, seed=0, model=None, **config):
        rng = np.random.default_rng(seed)
        architecture = AutoencoderConfig(n_features=n_features, n_components=n_components, **config)
        layers, size = {}, architecture.block_size
        for name, shape in architecture.layer_shapes.items():
            groups = rng.random((-(-shape[0] // size), shape[1])) < live
            topology = Topology.from_mask(np.repeat(groups, size, axis=0)[: shape[0]], size)
            values = rng.normal(0, 1, topology.nnz).astype(np.float32)
            layers[name] = Layer(topology, values, rng.normal(0, 0.3, shape[0]).astype(np.float32))
        gated = architecture.code_activation in ("batchtopk", "jumprelu")
        threshold = rng.random(n_components).astype(np.float32) if gated else None
        return Model(architecture, layers, threshold, **(model or {}))

    return make

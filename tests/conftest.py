"""Random models of any shape, random numbers that depend on no other test, and how processes share the tests."""

import gc
import os
import random
import sys

import numpy as np
import pytest
from tests.fresh import interpreter

from dsae.config import AutoencoderConfig
from dsae.store import Model
from dsae.topology import Layer, Topology

# Servers of tests are on this machine, wherever a proxy leads.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
STARTS = {}
# What takes longest is begun first: then no process is left with one of these when the others have nothing more to do.
LONGEST = (
    "tests/browser/",
    "tests/contract/test_docs.py",
    "tests/train/test_world.py",
    "tests/contract/test_scikit_learn.py",
    "tests/estimators/test_autoencoder.py",
    "tests/contract/test_hostile_model.py",
    "tests/contract/test_memory.py",
    "tests/kernels/",
    "tests/cluster/",
    "tests/train/test_sensitivity.py",
)


def pytest_collection_modifyitems(config, items):
    for module in {item.module for item in items if hasattr(item, "module")}:
        STARTS[module] = [
            (g, g.bit_generator.state) for g in vars(module).values() if isinstance(g, np.random.Generator)
        ]
    if hasattr(config, "workerinput"):
        places = {
            item: next((i for i, part in enumerate(LONGEST) if part in item.nodeid), len(LONGEST)) for item in items
        }
        items.sort(key=places.__getitem__)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """One process has all tests of a file, whose fixtures and imports it makes once, and one the browser."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "browser" if "tests/browser/" in nodeid else nodeid.partition("::")[0]

    return ByFile(config, log)


def pytest_collection_finish():
    """What imports have made stays; a collection of garbage need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A test draws the same numbers alone, in any order and in any process."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    for generator, state in STARTS.get(getattr(item, "module", None), ()):
        generator.bit_generator.state = state


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """Make `os.fsync` do nothing, since disks can be slow; tests of syncing patch it themselves."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def fresh():
    """Run a script in a process of its own; see `tests.fresh`."""
    with interpreter() as run:
        yield run


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

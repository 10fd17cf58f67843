"""A zero weight takes no memory: what training holds, counted and measured."""

import numpy as np
import pytest
import torch

from dsae import kernels
from dsae.nn import SparseLinear
from dsae.shrink import METHODS, Rewire
from dsae.shrink._base import Clock
from dsae.train import swap_parameter

WIDE = """
import resource
import torch
from dsae.nn import SparseLinear
from dsae.shrink import METHODS, Clock, Rewire
from dsae.train import swap_parameter

width, n_rows = 200_000, 16
layer = SparseLinear(width, width, density=1e-5)
optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
for method in ("set", "rigl"):
    before = layer.topology.indices
    shrinker = Rewire(METHODS[method], final={"layer": layer.nnz}, seed=0)
    optimizer.zero_grad()
    x = torch.randn(n_rows, width, requires_grad=True)
    layer(x).square().mean().backward()
    optimizer.step()
    for name, rewiring in shrinker.rewire({"layer": layer}, Clock(1, 4, 1)).items():
        swap_parameter(optimizer, layer, rewiring)
    assert layer.nnz == 400_000
    assert not (layer.topology.indices == before).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(not kernels.NATIVE, reason="scipy makes copies")
def test_a_layer_of_forty_billion_zeros_trains_in_two_gigabytes(fresh):
    """Dense, its weights alone would be 160 GB. Usually it takes 0.9, more where the system grants huge pages."""
    run = fresh(WIDE)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 2 << 30


SPARSE = """
import resource
import numpy as np
import scipy.sparse as sp
from dsae import DeepSparseAutoencoder

n_rows, width = 2048, 200_000
columns = np.random.default_rng(0).integers(width // 20, size=(n_rows, 20)) * 20 + np.arange(20)
X = sp.csr_matrix((np.ones(columns.size, np.float32), columns.ravel(), np.arange(0, columns.size + 1, 20)))
X.resize(n_rows, width)
settings = {"hidden_layer_sizes": (), "density": 0.01, "batch_size": n_rows, "max_iter": 1, "random_state": 0}
for changes in ({"shrink": "random"}, {"shrink": "rigl", "loss": "bce", "output_activation": "sigmoid"}):
    dsa = DeepSparseAutoencoder(16, **settings, **changes).fit(X)
    assert dsa.transform(X).shape == (n_rows, 16)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(not kernels.NATIVE, reason="scipy makes copies")
def test_sparse_rows_are_never_held_as_wide_as_they_are(fresh):
    """Libraries and all, less than a single array of one batch by all features."""
    run = fresh(SPARSE)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 4 * 2048 * 200_000


def held(layer: SparseLinear, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of everything whose size grows with the edges."""
    topology = layer.topology
    transposed, slots = topology.transpose
    arrays = [topology.indices, transposed.indices, slots]
    cached = [value for t in (topology, transposed) for value in vars(t).values() if isinstance(value, np.ndarray)]
    arrays += [a for a in cached if a.size >= layer.nnz and all(a is not b for b in arrays)]
    tensors = [layer.values, layer.values.grad, *optimizer.state[layer.values].values()]
    return sum(a.nbytes for a in arrays) + sum(t.nbytes for t in tensors if t is not None and t.ndim)


@pytest.mark.parametrize("method", ["random", "set", "rigl"])
def test_training_holds_at_most_32_bytes_for_each_edge(method):
    """Values, gradient, Adam's moments, indices, transpose; the rest is scratch of one pass, 4 bytes."""
    layer = SparseLinear(600, 500, density=0.1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    shrinker = Rewire(METHODS[method], final={"layer": layer.nnz}, seed=0)
    for step in range(1, 4):
        optimizer.zero_grad()
        layer(torch.randn(20, 600, requires_grad=True)).square().mean().backward()
        optimizer.step()
        assert held(layer, optimizer) <= 28 * layer.nnz
        for rewiring in shrinker.rewire({"layer": layer}, Clock(step, 4, 1)).values():
            swap_parameter(optimizer, layer, rewiring)

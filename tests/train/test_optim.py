"""Adam for active weights: torch's where nothing is missing, and steps in proportion to what is."""

import numpy as np
import pytest
import torch

from dsae import kernels, ops
from dsae.nn import SparseLinear
from dsae.topology import Topology
from dsae.train import SparseAdam

both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def descend(layer, make, steps=5):
    optimizer = make(layer)
    x = torch.randn(20, layer.in_features, generator=torch.Generator().manual_seed(1)).to(layer.values)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    return layer.values.detach().clone(), layer.bias.detach().clone()


def sparse_adam(layer):
    return SparseAdam({"layer": layer}, layer.parameters(), lr=0.01)


def make_layer(density, dtype, topology=None):
    return SparseLinear(8, 6, density=density, topology=topology, generator=torch.Generator().manual_seed(0)).to(dtype)


@both
def test_a_full_layer_learns_as_with_torchs_adam(dtype):
    ours = descend(make_layer(1.0, dtype), sparse_adam)
    theirs = descend(make_layer(1.0, dtype), lambda layer: torch.optim.Adam(layer.parameters(), 0.01))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@both
def test_rows_of_equal_fan_in_have_the_rate_over_the_density(dtype):
    topology = Topology.from_mask(np.tile([1, 0, 0, 1, 0, 0, 0, 0], (6, 1)))
    ours, bias = descend(make_layer(1, dtype, topology), lambda layer: SparseAdam({"layer": layer}, lr=0.01))
    theirs, _ = descend(make_layer(1, dtype, topology), lambda layer: torch.optim.Adam([layer.values], 0.04))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert (bias == 0).all()


def test_the_first_step_is_inverse_to_the_rows_inputs_but_never_above_the_mean():
    topology = Topology.from_mask(
        [[1] * 8, [1] * 4 + [0] * 4, [1] + [0] * 7, [0] * 8, [1] * 4 + [0] * 4, [1] * 3 + [0] * 5]
    )
    layer = make_layer(1, torch.float32, topology)
    before = layer.values.detach().clone()
    layer.values.grad = torch.randn_like(layer.values)
    SparseAdam({"layer": layer}, lr=0.01).step()
    moved = (layer.values.detach() - before).abs() / 0.01
    mean = topology.nnz / 6
    expected = 8 / np.maximum(np.diff(topology.indptr), mean).repeat(np.diff(topology.indptr))
    np.testing.assert_allclose(moved, expected, rtol=1e-4)
    np.testing.assert_allclose(ops.edge_rates(topology), expected)


def test_the_kernel_is_the_plain_twin():
    layers = [make_layer(0.4, dtype) for dtype in (torch.float32, torch.float64)]
    native, plain = (descend(layer, sparse_adam, steps=20) for layer in layers)
    torch.testing.assert_close(native, tuple(t.float() for t in plain), rtol=1e-3, atol=1e-5)


def test_mean_rates_by_layer():
    layers = {"a": make_layer(0.25, torch.float32), "b": make_layer(1.0, torch.float32)}
    optimizer = SparseAdam(layers)
    optimizer.set_rate(0.1)
    assert optimizer.rates() == pytest.approx({"a": 0.4, "b": 0.1})


@both
def test_a_layer_without_edges_and_a_parameter_without_gradient_stay(dtype):
    layer = make_layer(1, dtype, Topology.empty((6, 8)))
    layer(torch.randn(5, 8)).sum().backward()
    layer.bias.grad = None
    SparseAdam({"layer": layer}, layer.parameters()).step()
    assert (layer.bias == 0).all()


def test_a_full_layer_of_many_inputs_has_the_rate_of_1024():
    layer = SparseLinear(4096, 2)
    assert SparseAdam({"layer": layer}, lr=0.1).rates() == pytest.approx({"layer": 0.1 / 4})
    np.testing.assert_allclose(ops.edge_rates(layer.topology), 1 / 4)


@both
def test_what_is_fused_is_what_would_follow_the_step(dtype):
    alone, fused = make_layer(0.4, dtype), make_layer(0.4, dtype)
    magnitude = torch.zeros_like(fused.values.detach())
    mean, threshold = magnitude.clone(), 0.03
    steps = {"alone": SparseAdam({"a": alone}, lr=0.01), "fused": SparseAdam({"a": fused}, lr=0.01)}
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        alone.values.grad = fused.values.grad = torch.randn(alone.nnz, generator=generator).to(dtype)
        steps["alone"].step()
        with torch.no_grad():
            alone.values.copy_(torch.nn.functional.softshrink(alone.values, threshold))
        mean.lerp_(alone.values.grad.abs(), 0.1)
        steps["fused"].step(fused={"a": ops.Fused(magnitude, 0.9, threshold)})
        assert torch.equal(fused.values, alone.values)
    assert 0 < (fused.values == 0).sum() < fused.nnz
    torch.testing.assert_close(magnitude, mean, rtol=1e-6, atol=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_one_pass_over_all_parameters_is_one_over_each(threads):
    """Cut anywhere: the parts of the threads do not end where parameters do."""
    before = kernels.set_threads(threads)
    try:
        generator = torch.Generator().manual_seed(0)
        sizes = (300_000, 7, 0, 50_001)
        state = [[torch.rand(n, generator=generator) for _ in range(4)] for n in sizes]
        alone = [[t.clone() for t in tensors] for tensors in state]
        ops.adam_step([ops.AdamParameter(*tensors, 0.1, 3) for tensors in state], (0.9, 0.999), 1e-8)
        kernels.set_threads(1)
        for tensors in alone:
            ops.adam_step([ops.AdamParameter(*tensors, 0.1, 3)], (0.9, 0.999), 1e-8)
    finally:
        kernels.set_threads(before)
    for one, other in zip(state, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_training_does_without_torchs_compiler(fresh):
    """Whose import takes longer than a fit of small data."""
    code = (
        "import sys, numpy as np; from dsae import DeepSparseAutoencoder as D; "
        "X = np.random.default_rng(0).random((40, 6), np.float32); "
        "[D(2, max_iter=1, shrink=shrink, density=0.5).fit(X) for shrink in ('tempered', 'saliency')]; "
        "print('torch._dynamo' in sys.modules)"
    )
    assert fresh(code).stdout == "False\n"

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from dsae.nn import SparseLinear
from dsae.nn._linear import DENSE_ABOVE
from dsae.topology import Topology

DENSITIES = [0.02, 0.1, 0.3, 0.6, 1.0]


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_rows", [1, 17, 100])
def test_is_the_dense_layer_it_says(density, bias, n_rows):
    layer = SparseLinear(40, 30, density=density, bias=bias)
    x = torch.randn(n_rows, 40)
    torch.testing.assert_close(layer(x), layer.to_dense()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("density", DENSITIES)
def test_panels_in_panels_out(density):
    layer = SparseLinear(40, 30, density=density)
    x = torch.randn(2, 40, 64)
    wanted = layer.to_dense()(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(layer(x), wanted, rtol=1e-5, atol=1e-5)


def test_one_sample_has_one_dimension_as_in_torch():
    layer = SparseLinear(40, 30, density=0.2)
    x = torch.randn(40)
    torch.testing.assert_close(layer(x), layer.to_dense()(x))


@pytest.mark.parametrize("density", DENSITIES)
def test_density_promised_is_density_obtained(density):
    assert SparseLinear(40, 30, density=density).nnz == round(density * 1200)


def test_both_executors_have_the_same_gradients(monkeypatch):
    layer = SparseLinear(40, 30, density=0.2)
    x = torch.randn(50, 40, requires_grad=True)
    weight = torch.randn(50, 30)
    gradients = []
    for crossover in (DENSE_ABOVE, 0.0):
        monkeypatch.setattr("dsae.nn._linear.DENSE_ABOVE", crossover)
        gradients.append(torch.autograd.grad((layer(x) * weight).sum(), (x, layer.values, layer.bias)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_values_are_scaled_by_the_live_fan_in():
    mask = np.zeros((2, 1000))
    mask[0, :900], mask[1, :9] = 1, 1
    layer = SparseLinear(1000, 2, topology=Topology.from_mask(mask))
    assert layer.values[:900].abs().max() <= 1 / 30
    assert 1 / 30 < layer.values[900:].abs().max() <= 1 / 3


@pytest.mark.parametrize("density", [None, 0.25])
def test_from_dense_keeps_the_largest(density):
    linear = nn.Linear(8, 6)
    layer = SparseLinear.from_dense(linear, density)
    kept = layer.to_dense().weight
    assert layer.nnz == (48 if density is None else 12)
    assert torch.equal(kept[kept != 0], linear.weight[kept != 0])
    assert linear.weight[kept == 0].abs().max().item() <= kept[kept != 0].abs().min() if density else (kept != 0).all()
    assert torch.equal(layer.bias, linear.bias)


def test_state_dict_carries_the_topology():
    one, other = SparseLinear(20, 10, density=0.1), SparseLinear(20, 10, density=0.4)
    buffer = io.BytesIO()
    torch.save(one.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.nnz == one.nnz
    x = torch.randn(3, 20)
    assert torch.equal(one(x), other(x))


def test_a_copy_is_independent():
    layer = SparseLinear(20, 10, density=0.1)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.values.zero_()
    assert layer.values.abs().sum() > 0


def test_same_seed_same_layer():
    layers = [SparseLinear(20, 10, density=0.1, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert np.array_equal(layers[0].topology.indices, layers[1].topology.indices)
    assert torch.equal(layers[0].values, layers[1].values)


@pytest.mark.parametrize("shape", [(5, 41), (41,), (2, 41, 64), (1, 1, 40, 1)])
def test_wrong_width_is_refused(shape):
    with pytest.raises(ValueError, match=r"\[SparseLinear\] Expected rows \[batch, 40\] or panels"):
        SparseLinear(40, 30, density=0.2)(torch.zeros(shape))


@pytest.mark.parametrize("density", [0, -1, 1.5, float("nan"), "half", True])
def test_density_outside_its_range_is_refused(density):
    with pytest.raises(ValueError, match=r"density must be a number in \(0, 1\]"):
        SparseLinear(4, 3, density=density)


def test_topology_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"topology must have shape \(3, 4\); got \(4, 3\)"):
        SparseLinear(4, 3, topology=Topology.full((4, 3)))


def test_a_layer_beyond_the_index_range_is_refused():
    with pytest.raises(ValueError, match="lower density"):
        SparseLinear(100_000, 100_000)


@pytest.mark.parametrize("other", [(21, 10), (20, 11)])
def test_the_state_of_another_shape_is_refused(other):
    with pytest.raises(ValueError, match=r"Expected a layer of shape \(10, 20\); got"):
        SparseLinear(20, 10, density=0.1, bias=False).load_state_dict(SparseLinear(*other, bias=False).state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_input_of_another_dtype_is_cast(dtype, density):
    layer, x = SparseLinear(20, 10, density=density), torch.randint(3, (4, 20))
    torch.testing.assert_close(layer(x.to(dtype)), layer(x.float()))


def test_a_weight_of_another_rank_is_refused():
    with pytest.raises(
        ValueError, match=r"\[from_dense\] Expected a weight \[out_features, in_features\]; got shape \(3,\)"
    ):
        SparseLinear.from_dense(torch.ones(3))


@pytest.mark.parametrize("density", [0.2, 0.8, 1.0])
def test_autocast(density):
    layer = SparseLinear(20, 10, density=density)
    with torch.autocast("cpu", torch.bfloat16):
        y = nn.Sequential(nn.Linear(20, 20), layer)(torch.randn(4, 20))
    y.float().sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(layer.values.grad).all()

import copy
import inspect
import io
import pickle

import numpy as np
import pytest
import torch
from tests.covering import covering, each
from torch import nn

from dsae import ops
from dsae.nn import SparseLinear
from dsae.nn._executor import DENSE_ABOVE
from dsae.topology import Topology

DENSITIES = [0.02, 0.1, 0.3, 0.6, 1.0]


@covering(density=DENSITIES, bias=[True, False], n_rows=[1, 17, 100], block_size=[1, 4, 8], by="density")
def test_is_the_dense_layer_it_says(density, bias, n_rows, block_size):
    layer = SparseLinear(40, 30, density=density, bias=bias, block_size=block_size)
    assert abs(layer.nnz - density * 1200) <= block_size / 2 + 0.5
    assert layer.block_size == block_size
    x = torch.randn(n_rows, 40)
    torch.testing.assert_close(layer(x), layer.to_dense()(x), rtol=1e-5, atol=1e-5)


@each(density=DENSITIES)
def test_panels_in_panels_out(density):
    layer = SparseLinear(40, 30, density=density)
    x = torch.randn(100, 40)
    y = layer(ops.pack(x))
    assert isinstance(y, ops.Panels)
    torch.testing.assert_close(ops.unpack(y), layer.to_dense()(x), rtol=1e-5, atol=1e-5)


# [batch, tokens, features] with as many tokens as features, or 16, 32 or 64 features, is no stack of panels
SHAPES = [(), (1,), (7,), (0,), (2, 40), (40, 40), (3, 64), (2, 3, 5), (2, 0, 3), (1, 1, 1, 1)]


@each(leading=SHAPES)
@each({"width, density, dtype": [(40, 0.2, None), (40, 1.0, None), (64, 0.1, torch.float64)]})
def test_every_shape_is_that_of_a_linear_layer(leading, width, density, dtype):
    layer = SparseLinear(width, 30, density=density, dtype=dtype)
    dense, x = layer.to_dense(), torch.randn(*leading, width, dtype=dtype, requires_grad=True)
    y, wanted = layer(x), dense(x)
    assert (y.shape, y.dtype) == (wanted.shape, wanted.dtype)
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(wanted)
    (dx, d_values, d_bias), (dx_wanted, d_weight, d_bias_wanted) = (
        torch.autograd.grad((out * weight).sum(), (x, *parameters))
        for out, parameters in ((y, layer.parameters()), (wanted, dense.parameters()))
    )
    live = d_weight.view(-1)[torch.tensor(layer.topology.flat)]
    for got, expected in ((dx, dx_wanted), (d_values, live), (d_bias, d_bias_wanted)):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_rows_that_are_not_contiguous():
    layer, x = SparseLinear(40, 30, density=0.2), torch.randn(40, 5, 3).transpose(0, 2)
    torch.testing.assert_close(layer(x), layer.to_dense()(x), rtol=1e-5, atol=1e-5)


@each({"n_in, n_out": [(0, 3), (3, 0)]})
def test_a_layer_without_weights(n_in, n_out):
    layer, x = SparseLinear(n_in, n_out), torch.randn(5, n_in)
    assert torch.equal(layer(x), layer.bias.expand(5, n_out))


def test_it_takes_what_a_linear_layer_takes():
    like_torch = list(inspect.signature(nn.Linear).parameters)
    assert list(inspect.signature(SparseLinear).parameters)[: len(like_torch)] == like_torch
    layer = SparseLinear(4, 3, False, "meta", torch.float16, density=0.5)
    assert (layer.bias, layer.values.device.type, layer.values.dtype) == (None, "meta", torch.float16)
    with pytest.raises(ValueError, match="bias must be True or False"):
        SparseLinear(4, 3, 0.5)


@each(density=[0.1, 0.8])
def test_a_layer_on_another_device_is_planned_there(density):
    """torch's ``meta`` device stands for one that cannot share memory."""
    layer = SparseLinear(20, 10, device="meta", density=density)
    x = torch.empty(2, 3, 20, device="meta", requires_grad=True)
    y = layer(x)
    assert (y.shape, y.device.type, layer.executor) == ((2, 3, 10), "meta", "dense")
    y.sum().backward()
    assert layer.values.grad.shape == layer.values.shape
    assert not SparseLinear(20, 10, density=density).to("meta").values.is_cpu


def test_the_torch_utilities_for_parameters():
    layer = SparseLinear(20, 10, density=0.2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(2 * vector, layer.parameters())
    torch.testing.assert_close(nn.utils.parameters_to_vector(layer.parameters()), 2 * vector)
    layer(torch.randn(3, 20)).square().sum().backward()
    nn.utils.clip_grad_norm_(layer.parameters(), 1e-3)
    assert nn.utils.get_total_norm([p.grad for p in layer.parameters()]) <= 1.001e-3


@each(density=DENSITIES)
def test_density_promised_is_density_obtained(density):
    assert SparseLinear(40, 30, density=density).nnz == round(density * 1200)


def test_both_executors_have_the_same_gradients(monkeypatch):
    layer = SparseLinear(40, 30, density=0.2)
    x = torch.randn(50, 40, requires_grad=True)
    weight = torch.randn(50, 30)
    gradients = []
    monkeypatch.setattr("dsae.nn._executor.SMALL", 0)
    for crossover in (DENSE_ABOVE, 0.0):
        monkeypatch.setattr("dsae.nn._executor.DENSE_ABOVE", crossover)
        gradients.append(torch.autograd.grad((layer(x) * weight).sum(), (x, layer.values, layer.bias)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_values_are_scaled_by_the_live_fan_in():
    mask = np.zeros((2, 1000))
    mask[0, :900], mask[1, :9] = 1, 1
    layer = SparseLinear(1000, 2, topology=Topology.from_mask(mask))
    assert layer.values[:900].abs().max() <= 1 / 30
    assert 1 / 30 < layer.values[900:].abs().max() <= 1 / 3


@each(density=[None, 0.25])
def test_from_dense_keeps_the_largest(density):
    linear = nn.Linear(8, 6)
    layer = SparseLinear.from_dense(linear, density)
    kept = layer.to_dense().weight
    assert layer.nnz == (48 if density is None else 12)
    assert torch.equal(kept[kept != 0], linear.weight[kept != 0])
    assert linear.weight[kept == 0].abs().max().item() <= kept[kept != 0].abs().min() if density else (kept != 0).all()
    assert torch.equal(layer.bias, linear.bias)


@each(block_size=[4, 8])
def test_from_dense_keeps_the_blocks_with_the_largest_sums(block_size):
    dense = nn.Linear(9, 16)
    layer = SparseLinear.from_dense(dense, 0.25, block_size=block_size)
    assert layer.nnz == 36 - 36 % block_size
    kept = layer.to_dense().weight != 0
    assert torch.equal(layer.to_dense().weight, dense.weight * kept)
    sums = dense.weight.detach().abs().view(-1, block_size, 9).sum(1)
    blocks = kept.view(-1, block_size, 9)[:, 0]
    assert sums[blocks].min() >= sums[~blocks].max()


def test_a_state_dict_carries_the_blocks():
    layer = SparseLinear(9, 13, density=0.4, block_size=4)
    other = SparseLinear(9, 13, density=0.1)
    other.load_state_dict(layer.state_dict())
    assert other.block_size == 4
    assert torch.equal(other.to_dense().weight, layer.to_dense().weight)
    state = SparseLinear(9, 13, density=0.4).state_dict()
    del state["_extra_state"]["block_size"]  # of an earlier version
    other.load_state_dict(state)
    assert other.block_size == 1


def test_state_dict_carries_the_topology():
    one, other = SparseLinear(20, 10, density=0.1), SparseLinear(20, 10, density=0.4)
    buffer = io.BytesIO()
    torch.save(one.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.nnz == one.nnz
    x = torch.randn(3, 20)
    assert torch.equal(one(x), other(x))


@each(copied=[copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], density=[0.1, 0.8])
def test_a_copy_is_equal_and_independent(density, copied):
    layer, x = SparseLinear(20, 10, density=density), torch.randn(3, 20)
    layer(x).sum().backward()  # what is cached on the way
    twin = copied(layer)
    assert torch.equal(twin(x), layer(x))
    with torch.no_grad():
        twin.values.zero_()
    twin.rewire(twin.topology.rewire(np.ones(twin.nnz, bool)))
    assert layer.values.abs().sum() > 0
    assert layer(x).shape == (3, 10)


def test_same_seed_same_layer():
    layers = [SparseLinear(20, 10, density=0.1, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert np.array_equal(layers[0].topology.indices, layers[1].topology.indices)
    assert torch.equal(layers[0].values, layers[1].values)


@each(shape=[(), (5, 41), (41,), (2, 40, 64), (1, 1, 40, 1)])
def test_wrong_width_is_refused(shape):
    with pytest.raises(ValueError, match=r"\[SparseLinear\] Expected x \[..., 40\]"):
        SparseLinear(40, 30, density=0.2)(torch.zeros(shape))


@each(density=[0, -1, 1.5, float("nan"), "half", True])
def test_density_outside_its_range_is_refused(density):
    with pytest.raises(ValueError, match=r"density must be a number in \(0, 1\]"):
        SparseLinear(4, 3, density=density)


def test_topology_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"topology must have shape \(3, 4\); got \(4, 3\)"):
        SparseLinear(4, 3, topology=Topology.full((4, 3)))


def test_a_layer_beyond_the_index_range_is_refused():
    with pytest.raises(ValueError, match="lower density"):
        SparseLinear(100_000, 100_000)


@each(other=[(21, 10), (20, 11)])
def test_the_state_of_another_shape_is_refused(other):
    with pytest.raises(ValueError, match=r"Expected a layer of shape \(10, 20\); got"):
        SparseLinear(20, 10, density=0.1, bias=False).load_state_dict(SparseLinear(*other, bias=False).state_dict())


@each(dtype=[torch.float16, torch.bfloat16, torch.float64, torch.int64], density=[0.1, 1.0])
def test_input_of_another_dtype_is_cast(dtype, density):
    layer, x = SparseLinear(20, 10, density=density), torch.randint(3, (4, 20))
    torch.testing.assert_close(layer(x.to(dtype)), layer(x.float()))


def test_a_weight_of_another_rank_is_refused():
    with pytest.raises(
        ValueError, match=r"\[from_dense\] Expected a weight \[out_features, in_features\]; got shape \(3,\)"
    ):
        SparseLinear.from_dense(torch.ones(3))


@each(density=[0.2, 0.8, 1.0])
def test_autocast(density):
    layer = SparseLinear(20, 10, density=density)
    with torch.autocast("cpu", torch.bfloat16):
        y = nn.Sequential(nn.Linear(20, 20), layer)(torch.randn(4, 20))
    y.float().sum().backward()
    assert y.dtype == torch.float32
    assert torch.isfinite(layer.values.grad).all()
    x = torch.randn(4, 20)
    with torch.autocast("cpu", torch.bfloat16):
        got = layer(x)
    assert torch.equal(got, layer(x))


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # from within torch.func
@covering(density=[0.3, 1.0], dtype=[torch.float32, torch.float64], bias=[True, False], by="density")
def test_torch_func_sees_the_dense_layer(density, dtype, bias):
    layer = SparseLinear(6, 4, density=density, dtype=dtype, bias=bias)
    dense, x = layer.to_dense(), torch.randn(5, 6, dtype=dtype)
    func = torch.func

    def energy(module):
        return lambda rows: module(rows).square().sum()

    def by_sample(module):
        def energy_of(parameters, row):
            return func.functional_call(module, parameters, (row,)).square().sum()

        parameters = {name: p.detach() for name, p in module.named_parameters()}
        return func.vmap(func.grad(energy_of), in_dims=(None, 0))(parameters, x)

    transforms = {
        "vmap": lambda module: func.vmap(module)(x),
        "vmap of sequences": lambda module: func.vmap(module)(x.expand(3, 5, 6)),
        "grad": lambda module: func.grad(energy(module))(x),
        "jvp": lambda module: func.jvp(module, (x,), (x,))[1],
        "jacrev": lambda module: func.jacrev(module)(x),
        "hessian": lambda module: func.hessian(energy(module))(x),
    }
    for name, transformed in transforms.items():
        torch.testing.assert_close(
            transformed(layer), transformed(dense), msg=lambda text, name=name: f"{name}: {text}"
        )
    sparse, full = by_sample(layer), by_sample(dense)
    edges = torch.from_numpy(layer.topology.flat.astype(np.int64))
    torch.testing.assert_close(sparse["values"], full["weight"].flatten(1)[:, edges])
    assert not bias or torch.equal(sparse["bias"], full["bias"])


@each(dtype=[torch.float32, torch.float64], given=["rows", "panels"])
def test_second_derivatives_raise_rather_than_vanish(dtype, given):
    layer = SparseLinear(6, 4, density=0.3, dtype=dtype)
    x = torch.randn(5, 6, dtype=dtype, requires_grad=True)
    y = layer(x) if given == "rows" else layer(ops.pack(x)).tensor
    with pytest.raises(
        RuntimeError, match=r"\[SparseLinear\] .* got create_graph=True. Take second derivatives of .* to_dense"
    ):
        y.sum().backward(create_graph=True)  # its gradient with respect to the weights depends on x
    y.sum().backward()


@pytest.mark.filterwarnings("ignore")  # torch's own
def test_torch_can_export_it():
    model = torch.nn.Sequential(SparseLinear(12, 8, density=0.3), torch.nn.ReLU(), SparseLinear(8, 4)).eval()
    x = torch.rand(3, 12)
    shapes = ({0: torch.export.Dim("batch", min=2)},)
    exported = torch.export.export(model, (x,), dynamic_shapes=shapes)
    for rows in (x, torch.rand(70, 12)):
        torch.testing.assert_close(exported.module()(rows), model(rows))
    assert exported.state_dict["0.values"].shape == model[0].values.shape  # not a matrix: weights stay few
    before = model(x)
    torch.testing.assert_close(model.double()(x.double()), before.double(), rtol=1e-5, atol=1e-6)  # as before exporting

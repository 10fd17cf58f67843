"""Native kernels equal plain torch, and derivatives are right."""

import numpy as np
import pytest
import torch
from tests.covering import covering, each

from dsae import ops
from dsae.ops import _native, _torch
from dsae.topology import Topology, promising_edges, random_topology

SHAPES = [(1, 1), (5, 3), (3, 40), (33, 17), (70, 129)]
DENSITIES = [0.0, 0.1, 0.5, 1.0]
ROWS = [1, 16, 20, 64, 130]


def make(shape, density, n_rows, dtype=torch.float32, block_size=1):
    rng = np.random.default_rng(0)
    topology = random_topology(shape, density, rng, block_size) if density else Topology.empty(shape, block_size)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(topology.nnz, generator=generator, dtype=dtype)
    bias = torch.randn(shape[0], generator=generator, dtype=dtype)
    x = torch.randn(n_rows, shape[1], generator=generator, dtype=dtype)
    return topology, values, bias, x


BLOCKS = [1, 4, 8]


@covering(shape=SHAPES, density=DENSITIES, n_rows=ROWS, block_size=BLOCKS, by="shape")
def test_native_equals_plain_torch(shape, density, n_rows, block_size):
    topology, values, bias, rows = make(shape, density, n_rows, block_size=block_size)
    x = _torch.pack(rows)
    torch.testing.assert_close(_native.pack(rows), x)
    y = _torch.spmm(values, bias, x, topology)
    torch.testing.assert_close(_native.spmm(values, bias, x, topology), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(_native.unpack(y, n_rows), _torch.unpack(y, n_rows))
    torch.testing.assert_close(_native.sddmm(y, x, topology), _torch.sddmm(y, x, topology), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(_native.sum_samples(y), _torch.sum_samples(y), rtol=1e-4, atol=1e-4)
    dx = _torch.spmm_transposed(values, y, topology)
    torch.testing.assert_close(_native.spmm_transposed(values, y, topology), dx, rtol=1e-4, atol=1e-4)
    both = zip(_native.backward(values, y, x, topology), _torch.backward(values, y, x, topology), strict=True)
    for got, expected in both:
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-3)


@covering(shape=[(1, 1), (3, 20), (17, 9)], density=DENSITIES, block_size=BLOCKS, by="shape")
def test_gradients_of_the_twin_are_exact(shape, density, block_size):
    topology, values, bias, rows = make(shape, density, 5, torch.float64, block_size)
    for tensor in (values, bias, rows):
        tensor.requires_grad_(True)

    def on_panels(values, bias, rows):
        return ops.unpack(ops.linear(values, bias, ops.pack(rows), topology))

    def on_rows(values, bias, rows):
        return ops.linear(values, bias, rows, topology)

    assert torch.autograd.gradcheck(on_panels, (values, bias, rows))
    assert torch.autograd.gradcheck(on_rows, (values, bias, rows))


@covering(n_rows=[1, 20, 130], needed=[(0,), (1,), (2,), (0, 2), (0, 1, 2)], block_size=BLOCKS, by="n_rows")
def test_gradients_of_the_kernels_equal_those_of_a_dense_layer(n_rows, needed, block_size):
    """Whichever of values, bias and input need one."""
    topology, *inputs = make((33, 17), 0.3, n_rows, block_size=block_size)
    wanted_of = [inputs[i].requires_grad_(True) for i in needed]
    values, bias, rows = inputs
    dense = torch.nn.functional.linear(rows, ops.dense(values, topology), bias)
    weight = torch.randn_like(dense)
    wanted = torch.autograd.grad((dense * weight).sum(), wanted_of)
    on_panels = ops.unpack(ops.linear(values, bias, ops.pack(rows), topology))
    for sparse in (on_panels, ops.linear(values, bias, rows, topology)):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-4)
        got = torch.autograd.grad((sparse * weight).sum(), wanted_of)
        for one, other in zip(got, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@each(n_rows=ROWS)
def test_unpack_reverses_pack(n_rows):
    rows = torch.randn(n_rows, 7)
    assert torch.equal(ops.unpack(ops.pack(rows)), rows)


def test_a_dense_matrix_gives_its_gradient_back_to_the_edges():
    topology, values, *_ = make((33, 17), 0.3, 1)
    given = torch.randn(17, 33).T  # not contiguous
    for numbers in (values, values.double()):
        numbers = numbers.detach().requires_grad_(True)
        (got,) = torch.autograd.grad((ops.dense(numbers, topology) * given).sum(), numbers)
        torch.testing.assert_close(got, given.reshape(-1)[torch.tensor(topology.flat)].to(got))


def test_a_full_topology_is_a_view():
    topology = Topology.full((3, 4))
    values = torch.randn(12)
    assert ops.dense(values, topology).data_ptr() == values.data_ptr()


def absent_gradient(x, dy, topology):
    """|dL/dw| of every edge, -1 where one lives."""
    gradient = (dy.T @ x).abs()
    gradient.view(-1)[torch.tensor(topology.flat)] = -1
    return gradient


def grow(x, dy, topology, n, seed=0):
    """The mask of what is grown."""
    grown = ops.absent_gradient_topk(x, dy, topology, n, np.random.default_rng(seed))
    mask = torch.zeros(topology.shape, dtype=torch.bool)
    mask.view(-1)[torch.tensor(grown.flat)] = True
    return mask


@covering(shape=SHAPES, n=[0, 1, 7, 10_000], packed=[True, False], dtype=[torch.float32, torch.float64], by="shape")
def test_growth_takes_the_largest_absent_gradients(shape, n, packed, dtype):
    topology, _, _, x = make(shape, 0.3, 20, dtype)
    dy = torch.randn(20, shape[0], dtype=dtype)
    mask = grow(*(ops.pack(x), ops.pack(dy)) if packed else (x, dy), topology, n)
    gradient = absent_gradient(x, dy, topology)
    wanted = min(n, topology.size - topology.nnz)
    assert mask.sum() == wanted
    best = gradient.view(-1).topk(wanted).values
    torch.testing.assert_close(gradient[mask].sort(descending=True).values, best, rtol=1e-4, atol=1e-5)


@each(n=[1, 50, 2000])
def test_growth_of_a_large_layer_takes_the_best_of_what_could_be_large(n, monkeypatch):
    monkeypatch.setattr("dsae.ops._grow._ALWAYS_SCORED", 100)
    topology, _, _, x = make((70, 129), 0.1, 20)
    x, dy = x * torch.rand(129), torch.randn(20, 70) * torch.rand(70)
    n_edges = topology.nnz + n + 100
    candidates = promising_edges(topology, dy.norm(dim=0).numpy(), x.norm(dim=0).numpy(), n_edges)
    assert candidates.nnz < n_edges < topology.size
    mask = grow(x, dy, topology, n)
    scores = absent_gradient(x, dy, topology)
    best = scores.view(-1)[torch.tensor(candidates.flat)].topk(n).values
    torch.testing.assert_close(scores[mask].sort(descending=True).values, best, rtol=1e-4, atol=1e-5)
    assert torch.equal(mask, grow(x, dy, topology, n, seed=6)), "chance has no say"


@each(value=[0.0, float("nan")])
def test_growth_without_a_gradient_is_by_chance_and_as_much_as_asked_for(value):
    topology, _, _, x = make((70, 129), 0.1, 20)
    dy = torch.full((20, 70), value)
    dy[:, 3] = 1.0
    mask = grow(x, dy, topology, 300)
    assert mask.sum() == 300
    assert not mask.view(-1)[torch.tensor(topology.flat)].any()
    assert mask[3].sum() == 129 - topology.indptr[4] + topology.indptr[3]
    assert not torch.equal(mask, grow(x, dy, topology, 300, seed=6))


def test_wrong_shapes_are_refused():
    topology, values, bias, _ = make((5, 3), 0.5, 4)
    with pytest.raises(
        ValueError, match=r"\[linear\] Expected rows \[batch, 3\], or Panels of them; got shape \(2, 3, 16\)"
    ):
        ops.linear(values, bias, torch.zeros(2, 3, 16), topology)
    with pytest.raises(ValueError, match=r"got shape \(20, 4\)"):
        ops.linear(values, bias, ops.pack(torch.zeros(20, 4)), topology)
    with pytest.raises(ValueError, match="40 rows do not fill"):
        ops.unpack(ops.Panels(torch.zeros(1, 4, 32), 40))


def test_the_tape_keeps_input_and_output_gradient_only_while_recording():
    topology, values, bias, rows = make((5, 3), 0.5, 4)
    values.requires_grad_(True)
    tape = ops.Tape()
    ops.linear(values, bias, ops.pack(rows), topology, tape).tensor.sum().backward()
    assert tape.x is None
    tape.recording = True
    ops.linear(values, bias, ops.pack(rows), topology, tape).tensor.sum().backward()
    assert tape.x is not None
    assert tape.dy is not None
    assert tape.dy.tensor.shape == (1, 5, 16)

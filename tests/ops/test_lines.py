"""Products on lines of 16 bits: what they round, what they keep, and where the table takes them."""

import copy

import numpy as np
import pytest
import torch
from tests.arrays import native
from tests.covering import pairs

from dsae import ops
from dsae.nn import SparseLinear
from dsae.topology import random_topology

pytestmark = native


def gradients(layer, x, lines, panels, needs_input):
    """Output and gradients of a layer, dy being a fixed random array."""
    values, bias = (p.detach().clone().requires_grad_() for p in (layer.values, layer.bias))
    x = x.clone().requires_grad_(needs_input)
    out = ops.linear(values, bias, ops.pack(x) if panels else x, layer.topology, layer.tape, lines)
    rows = ops.unpack(out) if isinstance(out, ops.Panels) else out
    dy = torch.randn(rows.shape, generator=torch.Generator().manual_seed(1))
    rows.backward(dy)
    return rows.detach(), values.grad, bias.grad, x.grad


def relative(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pairs(n_rows=[1, 16, 17, 64, 100], panels=[True, False], needs_input=[True, False], rounds=["all", "forward", "rest"])
def test_products_differ_by_rounding_and_only_where_asked(n_rows, panels, needs_input, rounds):
    torch.manual_seed(0)
    layer, x = SparseLinear(70, 33, density=0.3), torch.randn(n_rows, 70)
    lines = ops.Lines(rounds != "rest", rounds != "forward", rounds != "forward")
    exact = gradients(layer, x, None, panels, needs_input)
    rounded = gradients(layer, x, lines, panels, needs_input)
    narrow = n_rows <= 16  # such panels have no lines of 16 bits
    for (got, expected), by_lines in zip(
        zip(rounded, exact, strict=True), (lines.forward, lines.sddmm, False, lines.backward), strict=True
    ):
        if expected is None:
            assert got is None
        elif by_lines and not narrow:
            assert 0 < relative(got, expected) < 2**-7
        else:
            assert torch.equal(got, expected)


def test_a_recorded_input_is_the_one_that_the_gradient_saw():
    layer, x = SparseLinear(70, 33, density=0.3), torch.randn(40, 70)
    layer.tape.recording = True
    _, d_values, _, _ = gradients(layer, x, ops.Lines(True, True, True), False, True)
    seen, dy = (ops.unpack(part) for part in (layer.tape.x, layer.tape.dy))
    assert torch.equal(seen, x.bfloat16().float())
    at_edges = (dy.bfloat16().float().T @ seen).numpy()[layer.topology.rows, layer.topology.indices]
    np.testing.assert_allclose(d_values, at_edges, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa", ["baseline", "x86-64-v3", "x86-64-v4", "numpy"])
def test_the_table_depends_on_shape_and_density_alone(isa):
    small, sparse, large = (
        ops.lines_for(random_topology(shape, density, np.random.default_rng(0)), isa)
        for shape, density in (((32, 256), 0.5), ((300, 20000), 0.01), ((1024, 784), 0.05))
    )
    assert small is None
    assert sparse is None or not sparse.forward
    assert (large is not None) == isa.startswith("x86")
    if large is not None:
        assert large.forward
        assert not (large.backward and large.sddmm)


def test_layers_round_only_while_gradients_are_taken():
    layer, x = SparseLinear(784, 1024, density=0.05), torch.randn(32, 784)
    exact = layer(x).detach()
    layer.rounding = "x86-64-v3"
    with torch.no_grad():
        assert torch.equal(layer(x), exact)
    assert 0 < relative(layer(x).detach(), exact) < 2**-8
    layer.double()
    torch.testing.assert_close(layer(x.double()).float(), exact)
    assert copy.deepcopy(layer).rounding == "x86-64-v3"

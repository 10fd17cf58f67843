"""A loss computed a few rows at a time is the loss of all rows, with the same gradients."""

import numpy as np
import pytest
import torch
from tests.covering import pairs

from dsae import ops
from dsae.topology import Topology, random_topology

N_ROWS, N_IN, N_OUT = 11, 6, 9


@pytest.fixture
def parts():
    generator = torch.Generator().manual_seed(0)
    topology = random_topology((N_OUT, N_IN), 0.5, np.random.default_rng(0))
    shapes = {"x": (N_ROWS, N_IN), "values": topology.nnz, "bias": N_OUT, "width": N_OUT, "target": (N_ROWS, N_OUT)}
    return topology, {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()
    }


def multinomial(z, target, width):
    return -(target * (z * width).log_softmax(1)).mean()


def whole(parts, topology):
    z = parts["x"] @ ops.dense(parts["values"], topology).T + parts["bias"]
    z.retain_grad()
    return z, multinomial(z, parts["target"], parts["width"])


def in_pieces(parts, topology, height, by_gemm, tape=None):
    def measure(z, piece, width):
        assert len(z) <= height
        return multinomial(z, parts["target"][piece], width)

    weights = parts["values"], parts["bias"], parts["x"]
    return ops.loss_by_rows(*weights, topology, measure, height, (parts["width"],), tape, by_gemm=by_gemm)


@pairs(height=[1, 4, N_ROWS, 100], by_gemm=[False, True], dtype=[torch.float32, torch.float64])
def test_pieces_give_the_loss_and_the_gradients_of_all_rows(parts, height, by_gemm, dtype):
    topology, given = parts
    one, other = ({k: t.to(dtype, copy=True).requires_grad_(k != "target") for k, t in given.items()} for _ in range(2))
    tape = ops.Tape()
    tape.recording = True
    z, expected = whole(one, topology)
    found = in_pieces(other, topology, height, by_gemm, tape)
    tight = {"rtol": 1e-4, "atol": 1e-6}
    torch.testing.assert_close(found, expected, **tight)
    (3 * expected).backward()
    (3 * found).backward()
    for name in ("x", "values", "bias", "width"):
        torch.testing.assert_close(other[name].grad, one[name].grad, **tight)
    torch.testing.assert_close(3 * tape.dy.norms(), z.grad.norm(dim=0), **tight)
    full = Topology.full((N_OUT, N_IN))
    torch.testing.assert_close(3 * tape.dy.at(full).view(N_OUT, N_IN), z.grad.T @ one["x"], **tight)


def test_only_what_needs_a_gradient_gets_one(parts):
    topology, given = parts
    given["bias"].requires_grad_()
    in_pieces(given, topology, 4, False).backward()
    assert [name for name, t in given.items() if t.grad is not None] == ["bias"]
    with torch.no_grad():
        assert not in_pieces(given, topology, 4, False).requires_grad

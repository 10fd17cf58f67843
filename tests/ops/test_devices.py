"""The verbs stay on the device of their tensors: torch's ``meta`` tensors have no numbers to bring to the CPU."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each

from dsae import ops
from dsae.config import loss_of
from dsae.nn import move_values
from dsae.ops import _torch
from dsae.topology import random_topology

TOPOLOGY = random_topology((20, 50), 0.2, np.random.default_rng(0))
X = ops.SparseRows.of(sp.random(16, 50, 0.1, "csr", np.float32, rng=0))
CENTRED = X.centred(torch.full((50,), 0.1), torch.ones(50))


def numbers(*shape):
    return torch.empty(*shape, device="meta", requires_grad=True)


def there(*found):
    return all(t.device.type == "meta" for t in found if t is not None)


def test_this_check_can_fail():
    with pytest.raises(RuntimeError, match="device"):
        numbers(3) + torch.empty(3)
    with pytest.raises(RuntimeError, match="meta"):
        numbers(3).sum().item()


def test_products():
    values, bias, rows, dy = numbers(TOPOLOGY.nnz), numbers(20), numbers(16, 50), numbers(16, 20)
    assert there(ops.linear(values, bias, rows, TOPOLOGY))
    assert there(ops.linear(values, bias, ops.pack(rows), TOPOLOGY).tensor)
    assert there(*_torch.backward(values, _torch.pack(dy), _torch.pack(rows), TOPOLOGY), ops.dense(values, TOPOLOGY))
    for x in (X, CENTRED):
        assert there(x.coo(values), x.dense(values))  # meta has no sparse products


@each(loss=["mse", "bce"])
def test_losses_of_sparse_rows(loss):
    values, bias, h = numbers(TOPOLOGY.nnz), numbers(50), numbers(16, 20)
    transposed, needs = TOPOLOGY.transpose[0], ops._rows.Needs(True, True)
    for target in (X, CENTRED):
        with torch.no_grad():
            assert there(*_torch.tiled_loss(values, bias, _torch.pack(h), transposed, target, loss_of(loss), needs)[:4])
        for by_gemm in (False, True):
            got = ops.tiled_loss(values, bias, h, transposed, target, loss, by_gemm=by_gemm)
            assert there(*torch.autograd.grad(2 * got, (values, bias, h)))
        assert there(target.dense(h), target.tile(3, 9, h))


def test_what_a_step_does_to_the_values():
    values, grad, mean, square = (numbers(TOPOLOGY.nnz).detach() for _ in range(4))
    fused = ops.Fused(numbers(TOPOLOGY.nnz).detach(), threshold=1e-3)
    ops.adam_step([ops.AdamParameter(values, grad, mean, square, 1e-3, 1, TOPOLOGY, fused)], (0.9, 0.999), 1e-8)
    assert there(move_values(values, TOPOLOGY.rewire(np.arange(TOPOLOGY.nnz) < 3)))

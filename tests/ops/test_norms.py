"""Norms of what comes back to a layer's inputs are those of the product."""

import numpy as np
import torch
from tests.covering import pairs

from dsae import ops
from dsae.ops import _norms
from dsae.topology import random_topology


@pairs(
    shape=[(30, 7), (5, 40), (12, 1)],
    density=[0.05, 0.5, 1.0],
    n_rows=[1, 70],
    block_size=[1, 4],
    how=["pairs", "product", "gemm"],
    dtype=[torch.float32, torch.float64],
)
def test_they_are_those_of_the_product(monkeypatch, shape, density, n_rows, block_size, how, dtype):
    monkeypatch.setattr(_norms, "_by_pairs", lambda topology, n_rows: how == "pairs")
    topology = random_topology(shape, density, np.random.default_rng(0), block_size)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(topology.nnz, generator=generator).to(dtype)
    dy = torch.randn(n_rows, shape[0], generator=generator).to(dtype)
    weights = ops.dense(values, topology).double()
    wanted = (dy.double() @ weights).norm(dim=0)
    found = ops.input_norms(values, dy, topology, by_gemm=how == "gemm").double()
    terms = (dy.double().abs() @ weights.abs()).norm(dim=0)  # which may cancel, and pairs of them are squared before
    assert ((found.square() - wanted.square()).abs() <= 1e-5 * terms.square()).all()


def test_pairs_are_taken_where_inputs_have_few_edges():
    rng = np.random.default_rng(0)
    few, many = random_topology((256, 3000), 0.02, rng), random_topology((256, 3000), 0.5, rng)
    assert [_norms._by_pairs(topology, 200) for topology in (few, many)] == [True, False]

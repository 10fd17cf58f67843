"""Likelihoods of counts on sparse rows, tile by tile, are those of the whole output."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import pairs
from tests.ops.test_sparse_rows import DENSITIES, layer
from torch.nn import functional as F

from dsae import kernels, ops
from dsae.config import LOSSES

COUNTS = [name for name, loss in LOSSES.items() if loss.counts]
SHAPES = [(1, 3), (9, 5), (70, 12), (200, 17)]


def counted(n_rows, width, seed=0):
    """Rows of small counts with a large one, a fraction and, where there are several, a row of none."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.4, (n_rows, width)).astype(np.float32)
    counts[0, 0], counts[-1, -1] = 90, 0.5
    if n_rows > 2:
        counts[1] = 0
    return counts


@pairs(
    shape=SHAPES,
    density=DENSITIES,
    loss=COUNTS,
    by_gemm=[False, True],
    packed=[False, True],
    n_rows=[1, 20, 130],
    known=[False, True],
    weight=[False, True],
    block_size=[1, 4, 8],
)
def test_a_tiled_likelihood_is_that_of_the_whole_output(
    shape, density, loss, by_gemm, packed, n_rows, known, weight, block_size, monkeypatch
):
    monkeypatch.setattr("dsae.ops._torch._TILE_NUMBERS", 20 * 7)
    monkeypatch.setattr("dsae.ops._tiled._TILE_BYTES", 4 * 64 * 7)
    rng = np.random.default_rng(1)
    dense = counted(n_rows, shape[0])
    plain = ops.SparseRows.of(sp.csr_matrix(dense))
    weights = np.ones(dense.shape, np.float32)
    seen = rng.integers(0, 3, plain.values.size).astype(np.float32)
    rows = rng.integers(1, 3, n_rows).astype(np.float32)
    if known:
        weights[plain.pattern.rows, plain.pattern.indices] = seen
    weights *= rows[:, None] if weight else 1
    target = replace(plain, known=seen if known else None, weight=rows if weight else None)
    topology, values, bias = layer(shape, density, block_size=block_size)
    extras = [torch.randn(shape[0], requires_grad=True) for _ in LOSSES[loss].extras]
    h = torch.randn(n_rows, shape[1], requires_grad=True)
    tape = ops.Tape()
    tape.recording = True
    how = {"by_gemm": by_gemm, "extras": extras}
    got = ops.tiled_loss(values, bias, ops.pack(h) if packed else h, topology, target, loss, tape, **how)
    z = F.linear(h, ops.dense(values, topology), bias)
    z.retain_grad()
    named = dict(zip((extra.name for extra in LOSSES[loss].extras), extras, strict=True))
    aim, counts = torch.from_numpy(dense), torch.from_numpy(weights)
    mean = ops.torch_loss(loss).mean(z, aim, counts, exposure=aim.sum(1, keepdim=True), **named)
    torch.testing.assert_close(got, mean, rtol=1e-4, atol=1e-5)
    inputs = (values, bias, h, *extras)
    found = torch.autograd.grad(3 * got, inputs)
    wanted = torch.autograd.grad(3 * mean, inputs, retain_graph=True)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    (dz,) = torch.autograd.grad(mean, z)
    torch.testing.assert_close(tape.dy.norms(), dz.norm(dim=0), rtol=1e-3, atol=1e-5)


@native
@pairs(n_rows=[1, 50, 130], width=[1, 70, 3000], block_size=[1, 4, 8])
def test_sums_of_exponentials_are_those_of_numpy_on_any_number_of_threads(width, n_rows, block_size):
    topology, values, bias = layer((width, 6), 0.5, block_size=block_size)
    h = 5 * torch.randn(n_rows, 6)
    z = F.linear(h, ops.dense(values, topology), bias).detach()
    wanted, found = z.double().logsumexp(1), []
    before = kernels.set_threads(1)
    try:
        for threads in (1, 2, 3):
            kernels.set_threads(threads)
            sums = kernels.aligned((n_rows,))
            layer_ = topology.indptr, topology.indices, values.detach().numpy(), bias.detach().numpy()
            kernels.log_sums(*layer_, ops.pack(h).tensor.numpy(), sums, block_size)
            found.append(sums)
    finally:
        kernels.set_threads(before)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-5)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)

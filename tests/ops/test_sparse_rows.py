"""A sparse batch in a network equals the same batch written out."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import covering, pairs
from torch.nn import functional as F

from dsae import ops
from dsae.config import LOSSES
from dsae.ops import _native, _tiled, _torch
from dsae.ops._rows import DENSE_ABOVE
from dsae.topology import Topology, random_topology

SHAPES = [(1, 1), (5, 3), (3, 40), (33, 17)]
DENSITIES = [0.0, 0.3, 1.0]
KINDS = ["mse", "bce"]


def batch(n_rows, width, fill=0.3, centred=True, seed=0):
    """Sparse rows, one of them empty, and the same written out."""
    rng = np.random.default_rng(seed)
    X = (rng.random((n_rows, width)) * (rng.random((n_rows, width)) < fill)).astype(np.float32)
    X[n_rows // 2] = 0
    rows = ops.SparseRows.of(sp.csr_matrix(X))
    if not centred:
        return rows, torch.from_numpy(X)
    mean, scale = torch.rand(width), 0.5 + torch.rand(width)
    return rows.centred(mean, scale), (torch.from_numpy(X) - mean) / scale


def layer(shape, density, dtype=torch.float32, block_size=1):
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    topology = random_topology(shape, density, rng, block_size) if density else Topology.empty(shape, block_size)
    draw = (torch.randn(size, generator=generator, dtype=dtype) for size in (topology.nnz, shape[0]))
    return topology, *(tensor.requires_grad_(True) for tensor in draw)


def same(got, expected, tolerance=1e-4):
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other.to(one), rtol=tolerance, atol=tolerance)


@covering(
    shape=SHAPES, density=DENSITIES, centred=[False, True], packed=[False, True], block_size=[1, 4, 8], by="shape"
)
def test_a_first_layer_and_its_gradient_are_those_of_the_dense_batch(shape, density, centred, packed, block_size):
    x, dense = batch(20, shape[1], centred=centred)
    topology, values, bias = layer(shape, density, block_size=block_size)
    weight = torch.randn(20, shape[0])
    results = []
    for rows in (ops.SparseRows(x.pattern, x.values, x.shift, packed), ops.pack(dense) if packed else dense):
        y = ops.linear(values, bias, rows, topology)
        y = ops.unpack(y) if packed else y
        results.append((y, *torch.autograd.grad((y * weight).sum(), (values, bias))))
    same(*results)


@covering(shape=SHAPES, density=DENSITIES, fill=[0.0, 0.3, 1.0], by="shape")
def test_native_equals_plain_torch(shape, density, fill):
    topology, values, bias = (t.detach() if isinstance(t, torch.Tensor) else t for t in layer(shape, density))
    for n_rows in (1, 20, 130):
        x, _ = batch(n_rows, shape[1], fill)
        dy, target = torch.randn(n_rows, shape[0]), batch(n_rows, shape[0], fill)[0]
        arguments = (values, bias, x, topology), (dy, x, topology)
        for name, given in zip(("csr_linear", "csr_sddmm"), arguments, strict=True):
            same([getattr(_native, name)(*given)], [getattr(_torch, name)(*given)])
        h = _torch.pack(torch.randn(n_rows, shape[1]))
        for needs in ((True, True), (True, False), (False, False)):
            given = (values, bias, h, topology, target, LOSSES["mse"], ops._rows.Needs(*needs))
            native, twin = _tiled.tiled_loss(*given), _torch.tiled_loss(*given)
            assert [g is None for g in native[1:3]] == [g is None for g in twin[1:3]] == [not any(needs)] * 2
            assert (native.input is None) == (twin.input is None) == (not needs[1])
            assert native.extras == twin.extras == ()
            pairs = [(a, b) for a, b in zip(native[:4], twin[:4], strict=True) if a is not None]
            same(*zip(*pairs, strict=True))


@pairs(
    shape=SHAPES,
    density=DENSITIES,
    kind=KINDS,
    by_gemm=[False, True],
    packed=[False, True],
    tile=[1, 20 * 7, 1 << 20],
    block_size=[1, 4, 8],
)
def test_a_tiled_loss_is_the_loss_of_the_whole_output(
    shape, density, kind, by_gemm, packed, tile, block_size, monkeypatch
):
    monkeypatch.setattr("dsae.ops._torch._TILE_NUMBERS", tile)
    monkeypatch.setattr("dsae.ops._tiled._TILE_BYTES", 4 * tile)
    target, dense = batch(20, shape[0], centred=kind == "mse")
    topology, values, bias = layer(shape, density, block_size=block_size)
    h = torch.randn(20, shape[1], requires_grad=True)
    given = ops.pack(h) if packed else h
    got = ops.tiled_loss(values, bias, given, topology, target, kind, by_gemm=by_gemm)
    z = F.linear(h, ops.dense(values, topology), bias)
    expected = F.mse_loss(z, dense) if kind == "mse" else F.binary_cross_entropy_with_logits(z, dense)
    same([got], [expected])
    wanted = (values, bias, h)
    same(torch.autograd.grad(3 * got, wanted), torch.autograd.grad(3 * expected, wanted))


@pairs(
    shape=SHAPES,
    density=DENSITIES,
    kind=KINDS,
    by_gemm=[False, True],
    known=[False, True],
    weight=[False, True],
    block_size=[1, 4],
)
def test_a_weighted_loss_is_that_of_the_whole_output(shape, density, kind, by_gemm, known, weight, block_size):
    """Of values that are not stored the weight is their row's; also of columns that are far from zero."""
    rng = np.random.default_rng(3)
    plain, dense = batch(20, shape[0], centred=kind == "mse")
    counts = np.ones(dense.shape, np.float32)
    seen, rows = rng.integers(0, 3, plain.values.size), rng.integers(0, 3, 20).astype(np.float32)
    if known:
        counts[plain.pattern.rows, plain.pattern.indices] = seen
    counts = torch.from_numpy(counts * rows[:, None] if weight else counts)
    target = replace(plain, known=seen.astype(np.float32) if known else None, weight=rows if weight else None)
    assert target.size == pytest.approx(counts.sum().item() or 1.0)
    topology, values, bias = layer(shape, density, block_size=block_size)
    h = torch.randn(20, shape[1], requires_grad=True)
    tape = ops.Tape()
    tape.recording = True
    got = ops.tiled_loss(values, bias, h, topology, target, kind, tape, by_gemm=by_gemm)
    z = F.linear(h, ops.dense(values, topology), bias)
    z.retain_grad()
    each = F.mse_loss if kind == "mse" else F.binary_cross_entropy_with_logits
    expected = (counts * each(z, dense, reduction="none")).sum() / target.size
    same([got], [expected])
    wanted = (values, bias, h)
    same(torch.autograd.grad(3 * got, wanted), torch.autograd.grad(3 * expected, wanted, retain_graph=True))
    (dz,) = torch.autograd.grad(expected, z)
    same([tape.dy.norms()], [dz.norm(dim=0)])
    parts = [replace(target, shift=None).part(piece).size for piece in (slice(7), slice(7, 20))]
    assert sum(parts) == pytest.approx(counts.sum().item(), abs=2)  # a part in which nothing counts has size 1


@pairs(density=DENSITIES, kind=KINDS)
def test_gradients_of_the_twins_are_exact(density, kind):
    topology, values, bias = layer((9, 5), density, torch.float64)
    target, x = batch(6, 9, centred=kind == "mse")[0], batch(6, 5)[0]
    h = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, b: ops.linear(v, b, x, topology), (values, bias))
    for by_gemm in (False, True):
        assert torch.autograd.gradcheck(
            lambda v, b, h, by_gemm=by_gemm: ops.tiled_loss(v, b, h, topology, target, kind, by_gemm=by_gemm),
            (values, bias, h),
        )


def test_what_nobody_learns_gets_no_gradient():
    topology, values, bias = layer((9, 5), 0.5)
    target, h = batch(6, 9)[0], torch.randn(6, 5)
    with torch.no_grad():
        assert not ops.tiled_loss(values, bias, h, topology, target, "mse").requires_grad
    loss = ops.tiled_loss(values.detach(), bias.detach(), h.requires_grad_(True), topology, target, "mse")
    (dh,) = torch.autograd.grad(loss, h)
    assert dh.abs().sum() > 0


@pairs(n=[1, 40], kind=KINDS)
def test_growth_of_the_outer_layers_is_that_of_the_dense_batch(kind, n, monkeypatch):
    """The tape holds neither the input nor the output's gradient, and growth finds the same edges."""
    monkeypatch.setattr("dsae.ops._grow._ALWAYS_SCORED", 100)
    monkeypatch.setattr("dsae.ops._torch._TILE_NUMBERS", 150)
    rng = np.random.default_rng
    x, dense = batch(20, 60)
    target, aim = batch(20, 60, centred=kind == "mse")
    first, last = layer((12, 60), 0.2), layer((60, 12), 0.2)
    tapes = ops.Tape(), ops.Tape()
    for tape in tapes:
        tape.recording = True
    h = ops.linear(first[1], first[2], x, first[0], tapes[0])
    ops.tiled_loss(last[1], last[2], h, last[0], target, kind, tapes[1]).backward()
    assert isinstance(tapes[0].x, ops.SparseRows)
    z = F.linear(h, ops.dense(last[1], last[0]), last[2])
    dz = (2 * (z - aim) if kind == "mse" else z.sigmoid() - aim) / z.numel()
    pairs = ((first[0], tapes[0], dense, tapes[0].dy), (last[0], tapes[1], h.detach(), dz.detach()))
    for topology, tape, wide, dy in pairs:
        got = ops.absent_gradient_topk(tape.x, tape.dy, topology, n, rng(0))
        expected = ops.absent_gradient_topk(wide, dy, topology, n, rng(0))
        np.testing.assert_array_equal(got.flat, expected.flat)


def test_norms_variance_and_columns_are_those_of_the_dense_batch():
    x, dense = batch(20, 13)
    np.testing.assert_allclose(x.norms(), dense.norm(dim=0), rtol=1e-5)
    np.testing.assert_allclose(x.variance(), dense.var(0, correction=0).mean(), rtol=1e-5)
    same([x.dense(dense), x.tile(3, 9, dense), x.tile(0, 13, dense)], [dense, dense[:, 3:9], dense], 1e-6)


def test_repeated_numbers_of_a_matrix_are_added_up():
    X = sp.csr_matrix((np.ones(3, np.float32), [1, 1, 0], [0, 2, 3]), shape=(2, 2))
    assert ops.SparseRows.of(X).dense(torch.empty(0)).tolist() == [[0, 2], [1, 0]]
    assert X.nnz == 3, "it is somebody's"


def test_a_batch_that_is_hardly_sparse_is_taken_for_a_dense_one():
    at_most = sp.random(10, 64, DENSE_ABOVE, "csr", np.float32, 0)
    above = sp.random(10, 64, 2 * DENSE_ABOVE, "csr", np.float32, 0)
    assert isinstance(ops.rows_of(at_most), ops.SparseRows)
    assert torch.equal(ops.rows_of(above), torch.from_numpy(above.toarray()))
    assert torch.equal(ops.rows_of(above.toarray()), ops.rows_of(above))

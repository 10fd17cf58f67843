"""The squared error by Gram matrices is that of the whole output, and of the tiled loss."""

import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import each, pairs

from dsae import kernels, ops
from dsae.config import LOSSES
from dsae.ops import _gram, _tiled, _torch
from dsae.ops._gram import pays
from dsae.ops._rows import Needs, SparseRows
from dsae.topology import Topology, random_topology

# From no outputs on; one has more weights than rows of one length are grouped by.
SHAPES = [(0, 3), (1, 1), (5, 3), (40, 64), (300, 17)]
DENSITIES = [0.0, 0.02, 0.3, 1.0]


def target(n_rows, width, fill, shift, seed=0):
    """Sparse rows, one of them empty, with a column that nearly every row holds, a zero and a large number in it."""
    rng = np.random.default_rng(seed)
    X = rng.random((n_rows, width)) * (rng.random((n_rows, width)) < fill)
    if width > 2:
        X[:, 2] = 1 + 0.01 * rng.random(n_rows)
    X[n_rows // 2] = 0
    rows = SparseRows.of(sp.csr_matrix(X.astype(np.float32)))
    if rows.values.size:
        rows.values[0] = 0
    return replace(rows, shift=X.mean(0).astype(np.float32)) if shift else rows


def layer(shape, density, dtype=torch.float32, block_size=1):
    generator, rng = torch.Generator().manual_seed(1), np.random.default_rng(1)
    empty = Topology.empty(shape, block_size)
    topology = random_topology(shape, density, rng, block_size) if density and shape[0] else empty
    draw = (torch.randn(size, generator=generator, dtype=dtype) for size in (topology.nnz, shape[0]))
    return topology, *(tensor.requires_grad_(True) for tensor in draw)


def dense_formula(weight, bias, h, aim, unseen):
    """The mean of ``weight (W h + b - t)^2`` over all numbers."""
    residual = h @ weight.T + bias - aim.dense(h)
    seen = replace(aim, values=np.ones_like(aim.values), shift=None).dense(h)
    known = 1.0 if aim.known is None else aim.weights(h)
    return (torch.where(seen > 0, known, unseen) * residual.square()).sum() / aim.size


def close(got, expected, tolerance):
    """Equal to a part of the largest number."""
    for one, other in zip(got, expected, strict=True):
        if isinstance(one, tuple):  # gradients of what a loss trains itself: none here
            assert one == other == ()
            continue
        one, other = one.detach(), other.detach()
        largest = float(other.abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(one.double(), other.double(), rtol=0, atol=tolerance * max(largest, 1e-3))


@pairs(
    shape=SHAPES,
    density=DENSITIES,
    n_rows=[1, 15, 200],
    fill=[0.0, 0.05, 0.7],
    shift=[False, True],
    unseen=[1.0, 0.1, 0.0],
    packed=[False, True],
    known=[False, True],
    block_size=[1, 4, 8],
)
def test_it_is_the_dense_formula(shape, density, n_rows, fill, shift, unseen, packed, known, block_size):
    topology, values, bias = layer(shape, density, block_size=block_size)
    aim, h = target(n_rows, shape[0], fill, shift), torch.randn(n_rows, shape[1], requires_grad=True)
    if known:
        aim = replace(aim, known=np.random.default_rng(4).integers(0, 4, aim.values.size).astype(np.float32))
    got = ops.gram_loss(values, bias, ops.pack(h) if packed else h, topology, aim, unseen)
    wide = [t.detach().double().requires_grad_(True) for t in (values, bias, h)]
    expected = dense_formula(ops.dense(wide[0], topology), wide[1], wide[2], aim, unseen)
    close([got], [expected], 1e-5)
    close(torch.autograd.grad(3 * got, (values, bias, h)), torch.autograd.grad(3 * expected, wide), 1e-5)


@native
@pairs(
    shape=SHAPES,
    density=DENSITIES,
    n_rows=[1, 130],
    shift=[False, True],
    needs=[(True, True), (False, True)],
    block_size=[1, 4, 8],
)
def test_it_is_the_tiled_loss(shape, density, n_rows, shift, needs, block_size):
    made = layer(shape, density, block_size=block_size)
    topology, values, bias = (t.detach() if isinstance(t, torch.Tensor) else t for t in made)
    aim, h = target(n_rows, shape[0], 0.05, shift), torch.randn(n_rows, shape[1])
    got = _gram.gram_loss(values, bias, h, topology, aim, 1.0, Needs(*needs))
    tiled = _tiled.tiled_loss(values, bias, _torch.pack(h), topology, aim, LOSSES["mse"], Needs(True, True))
    assert tiled.input is not None
    close(got, tiled._replace(input=_torch.unpack(tiled.input, n_rows)), 1e-5)


@native
@pairs(shape=SHAPES, density=DENSITIES, n_rows=[1, 130], fill=[0.0, 0.05, 0.7], shift=[False, True], block_size=[1, 4])
def test_gradients_of_any_edge_and_norms_are_those_of_the_whole_output(shape, density, n_rows, fill, shift, block_size):
    made = layer(shape, density, block_size=block_size)
    topology, values, bias = (t.detach() if isinstance(t, torch.Tensor) else t for t in made)
    aim, h = target(n_rows, shape[0], fill, shift), torch.randn(n_rows, shape[1])
    given = values, bias, h, topology, aim
    residual = h @ ops.dense(values, topology).T + bias - aim.dense(h) if shape[0] else h.new_zeros(n_rows, 0)
    dy = 2 / max(1, residual.numel()) * residual.double()
    drawn = shape[0] and random_topology(shape, 0.5, np.random.default_rng(2), block_size)
    edges = drawn or Topology.empty(shape, block_size)
    at = torch.from_numpy((dy.T @ h.double()).numpy()[edges.rows, edges.cols])
    close([_gram.gram_sddmm(*given, edges)], [at], 1e-5)
    close([_gram.gram_norms(*given)], [dy.norm(dim=0)], 1e-3)  # a root of a difference


@native
def test_a_column_far_from_zero_loses_no_digits():
    """Ages around 1000 whose spread is 1: only their distance from the mean enters the sums."""
    topology, values, bias = (t.detach() if isinstance(t, torch.Tensor) else t for t in layer((30, 8), 0.4))
    rng = np.random.default_rng(0)
    X = np.zeros((64, 30), np.float32)
    X[:-1, 3] = 1000 + rng.standard_normal(63)
    aim = replace(SparseRows.of(sp.csr_matrix(X)), shift=np.where(np.arange(30) == 3, 1000, 0).astype(np.float32))
    aim.values[:] = np.round(aim.values * 64) / 64
    X[-1, 3] = 0
    h = torch.randn(64, 8)
    got = _gram.gram_loss(0.1 * values, 0 * bias, h, topology, aim, 1.0, Needs(True, True))
    wide = [t.double().requires_grad_(True) for t in (0.1 * values, 0 * bias, h)]
    expected = dense_formula(ops.dense(wide[0], topology), wide[1], wide[2], aim, 1.0)
    dw, db, dh = torch.autograd.grad(expected, wide)
    close(got[1:4], (dw, db, dh), 1e-6)
    close([_gram.gram_sddmm(0.1 * values, 0 * bias, h, topology, aim, topology)], [dw], 1e-6)


@pairs(density=DENSITIES[1:], shift=[False, True], unseen=[1.0, 0.25])
def test_gradients_of_the_twin_are_exact(density, shift, unseen):
    topology, values, bias = layer((9, 5), density, torch.float64)
    h, aim = torch.randn(6, 5, dtype=torch.float64, requires_grad=True), target(6, 9, 0.3, shift)
    assert torch.autograd.gradcheck(lambda v, b, x: ops.gram_loss(v, b, x, topology, aim, unseen), (values, bias, h))


@native
def test_few_weights_an_output_take_it_and_many_do_not():
    aim, few = target(256, 20000, 0.002, True), target(2, 20000, 0.002, True)
    layers = [random_topology((20000, 256), density, np.random.default_rng(0)) for density in (0.01, 0.05, 0.4, 1.0)]
    assert [pays(topology, aim) for topology in layers] == [True, True, False, False]
    assert not any(pays(topology, few) for topology in layers)


@native
@pairs(density=[0.01, 1.0], loss=["mse", "bce"], by_gemm=[False, True])
def test_a_tiled_loss_takes_it_where_it_pays_and_is_the_same(density, loss, by_gemm, monkeypatch):
    taken = []
    monkeypatch.setattr(
        _gram, "gram_loss", lambda *given, original=_gram.gram_loss: taken.append(1) or original(*given)
    )
    topology, values, bias = layer((2000, 128), density)
    aim, h = target(256, 2000, 0.01, loss == "mse"), torch.randn(256, 128, requires_grad=True)
    results = []
    for choose in (pays, lambda *_: False):
        monkeypatch.setattr("dsae.ops._loss.pays", choose)
        got = ops.tiled_loss(values, bias, h, topology, aim, loss, by_gemm=by_gemm)
        results.append((got, *torch.autograd.grad(got, (values, bias, h))))
    assert len(taken) == (density < 1 and loss == "mse" and not by_gemm)
    close(*results, 1e-5)


@native
@each(block_size=[1, 4, 8])
def test_the_bits_do_not_depend_on_the_number_of_threads(block_size):
    made = layer((4000, 190), 0.1, block_size=block_size)
    topology, values, bias = (t.detach() if isinstance(t, torch.Tensor) else t for t in made)
    aim, h = target(130, 4000, 0.02, True), torch.randn(130, 190)
    results, before = set(), kernels.set_threads(1)
    try:
        for n in (1, 2, 3, 7):
            kernels.set_threads(n)
            found = _gram.gram_loss(values, bias, h, topology, aim, 0.7, Needs(True, True))
            results.add(b"".join(part.numpy().tobytes() for part in found[:4] if part is not None))
    finally:
        kernels.set_threads(before)
    assert len(results) == 1


def test_weights_of_rows_are_beyond_it():
    topology, values, bias = layer((5, 3), 1.0)
    aim = replace(target(6, 5, 0.3, False), weight=np.ones(6, np.float32))
    with pytest.raises(ValueError, match=re.escape("[gram_loss] target must have no weights of rows")):
        ops.gram_loss(values, bias, torch.randn(6, 3), topology, aim)
    assert not pays(topology, aim)


@each(unseen=[-1.0, float("nan"), float("inf"), True, "1"])
def test_a_weight_is_a_number_from_zero_on(unseen):
    topology, values, bias = layer((5, 3), 1.0)
    with pytest.raises(ValueError, match=re.escape("unseen must be a number in [0, inf); got ")):
        ops.gram_loss(values, bias, torch.randn(6, 3), topology, target(6, 5, 0.3, False), unseen)


@native
@each(
    {
        "place, at, wrong, message": [
            (0, 2, np.zeros(1, np.float32), "Expected values.size = "),
            (0, 3, np.zeros(1, np.float32), "Expected bias.size = 5, the number of rows; got 1."),
            (1, 0, np.zeros(1, np.int32), "Expected rows of windows.size = "),
            (1, 2, np.zeros(1, np.int32), "Expected cuts.size = "),
            (3, 0, np.zeros(2, np.int32), "Expected column indptr[-1] = "),
            (3, 1, np.full(7, 6, np.int32), "Expected column indices in [0, 6); got one outside."),
            (4, 1, np.full(7, 5, np.int32), "Expected sample indices in [0, 5); got one outside."),
            (4, 2, np.zeros(1, np.float32), "Expected sample values.size = 7, the size of indices; got 1."),
            (5, None, np.zeros(3, np.float32), "Expected shift.size = 5, the number of outputs; got 3."),
            (8, 2, np.zeros((6, 4), np.float32), "Expected dx.shape[1] = 3, the width of x; got 4."),
            (9, None, (np.zeros(3, np.float32),) * 2, "Expected known by column.size = 7, the size of indices; got 3."),
        ]
    }
)
def test_the_kernel_refuses_what_does_not_fit(place, at, wrong, message):
    topology = Topology.full((5, 3))
    X = sp.csr_matrix((np.ones(7, np.float32), [0, 2, 4, 1, 0, 3, 2], [0, 3, 4, 4, 6, 7, 7]), shape=(6, 5))
    aim = SparseRows.of(X)
    f = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731
    windows = (*kernels.window_edges(topology.indptr, topology.indices, 3, 2), 2)
    samples = (aim.pattern.indptr, aim.pattern.indices, aim.values)
    right = [(topology.indptr, topology.indices, f(15), f(5)), windows, f(6, 3), aim.columns, samples, f(5), 1.0, 1.0]
    right += [(f(15), f(5), f(6, 3)), None]
    kernels.gram_loss(*right)
    changed = wrong if at is None else tuple(wrong if i == at else part for i, part in enumerate(right[place]))
    with pytest.raises(ValueError, match=re.escape(f"[gram_loss] {message}")):
        kernels.gram_loss(*(changed if i == place else part for i, part in enumerate(right)))

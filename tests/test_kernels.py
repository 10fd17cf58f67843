"""The compiled kernels obey the laws of linear maps and agree with numpy, at every instruction set."""

import numpy as np
import pytest

from dsae import _fallback, kernels
from dsae.topology import Topology

LANES = kernels.LANES
SHAPES = [(0, 0), (0, 3), (3, 0), (1, 1), (1, 40), (40, 1), (5, 7), (33, 70), (130, 257)]
DENSITIES = [0.0, 0.03, 0.3, 1.0]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def floats(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def topology(rng, shape, density):
    """A random topology; above density 0 its first row is full, and one in the middle is empty."""
    mask = rng.random(shape) < density
    if density > 0 and shape[0] > 2:
        mask[0], mask[shape[0] // 2] = True, False
    return Topology.from_mask(mask)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


cases = pytest.mark.parametrize("density", DENSITIES)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
lanes = pytest.mark.parametrize("lanes", LANES)
batches = pytest.mark.parametrize("n_panels", [0, 1, 3])


@cases
@shapes
@lanes
@batches
@pytest.mark.parametrize("biased", [True, False])
def test_spmm_is_the_product(rng, shape, density, lanes, n_panels, biased):
    t = topology(rng, shape, density)
    values, x = floats(rng, t.nnz), floats(rng, n_panels, shape[1], lanes)
    bias = floats(rng, shape[0]) if biased else None
    got, expected = np.full((2, n_panels, shape[0], lanes), np.nan, np.float32)
    kernels.spmm(t.indptr, t.indices, values, bias, x, got)
    _fallback.spmm(t.indptr, t.indices, values, bias, x, expected)
    close(got, expected)


@cases
@shapes
@lanes
@batches
def test_sddmm_is_the_gradient_at_the_live_edges(rng, shape, density, lanes, n_panels):
    t = topology(rng, shape, density)
    dy, x = floats(rng, n_panels, shape[0], lanes), floats(rng, n_panels, shape[1], lanes)
    got, expected = np.full((2, t.nnz), np.nan, np.float32)
    kernels.sddmm(t.indptr, t.indices, dy, x, got)
    _fallback.sddmm(t.indptr, t.indices, dy, x, expected)
    close(got, expected)


@cases
@shapes
@lanes
def test_adjoint_law(rng, shape, density, lanes):
    """<W x, y> = <x, W^T y> = <values, sddmm(y, x)>."""
    t = topology(rng, shape, density)
    values, x, y = floats(rng, t.nnz), floats(rng, 2, shape[1], lanes), floats(rng, 2, shape[0], lanes)
    wx, wty, dw = np.empty_like(y), np.empty_like(x), np.empty_like(values)
    transposed, slots = t.transpose
    moved = np.empty_like(values)
    kernels.spmm(t.indptr, t.indices, values, None, x, wx)
    kernels.gather(values, slots, moved)
    kernels.spmm(transposed.indptr, transposed.indices, moved, None, y, wty)
    kernels.sddmm(t.indptr, t.indices, y, x, dw)
    products = [np.vdot(a.astype(np.float64), b) for a, b in ((wx, y), (x, wty), (values, dw))]
    np.testing.assert_allclose(products, products[0], rtol=1e-4, atol=1e-2)


@cases
@shapes
@pytest.mark.parametrize("biased", [True, False])
def test_spmv_is_the_product(rng, shape, density, biased):
    t = topology(rng, shape, density)
    values, x = floats(rng, t.nnz), floats(rng, shape[1])
    bias = floats(rng, shape[0]) if biased else None
    got, expected = np.full((2, shape[0]), np.nan, np.float32)
    kernels.spmv(t.indptr, t.indices, values, bias, x, got)
    _fallback.spmv(t.indptr, t.indices, values, bias, x, expected)
    close(got, expected)


@lanes
@pytest.mark.parametrize("n_rows", [0, 1, 16, 33, 64, 130])
@pytest.mark.parametrize("width", [0, 1, 16, 37])
def test_panels_hold_the_rows(rng, n_rows, width, lanes):
    rows, count = floats(rng, n_rows, width), -(-n_rows // lanes)
    got, expected = np.full((2, count, width, lanes), np.nan, np.float32)
    kernels.pack(rows, got)
    _fallback.pack(rows, expected)
    np.testing.assert_array_equal(got, expected)
    back = np.empty_like(rows)
    kernels.unpack(got, back)
    np.testing.assert_array_equal(back, rows)

    csr = topology(rng, (n_rows, width), 0.3)
    values = floats(rng, csr.nnz)
    kernels.pack_csr(csr.indptr, csr.indices, values, got)
    _fallback.pack_csr(csr.indptr, csr.indices, values, expected)
    np.testing.assert_array_equal(got, expected)


@cases
@shapes
def test_transpose_and_gather(rng, shape, density):
    t = topology(rng, shape, density)
    got = kernels.transpose(t.indptr, t.indices, shape[1])
    for a, b in zip(got, _fallback.transpose(t.indptr, t.indices, shape[1]), strict=True):
        assert a.dtype == np.int32
        np.testing.assert_array_equal(a, b)
    values = floats(rng, t.nnz)
    moved = np.empty_like(values)
    kernels.gather(values, got[2], moved)
    np.testing.assert_array_equal(moved, values[got[2]])


@cases
@shapes
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rewiring_moves_every_slot(rng, shape, density, share):
    t = topology(rng, shape, density)
    drop = rng.random(t.nnz) < share
    dead = np.ones(shape, bool)
    dead.flat[t.flat[~drop]] = False
    rows, cols = np.nonzero(dead & (rng.random(shape) < share))
    rows, cols = rows.astype(np.int32), cols.astype(np.int32)
    got = kernels.rewire(t.indptr, t.indices, ~drop, rows, cols)
    for a, b in zip(got, _fallback.rewire(t.indptr, t.indices, ~drop, rows, cols), strict=True):
        assert a.dtype == np.int32
        np.testing.assert_array_equal(a, b)

    transposed, slots = t.transpose
    order = np.argsort(cols, kind="stable").astype(np.int32)
    _, _, patch = kernels.rewire(transposed.indptr, transposed.indices, ~drop[slots], cols[order], rows[order])
    patched = kernels.patch_slots(slots, got[2], patch, order)
    assert patched.dtype == np.int32
    np.testing.assert_array_equal(patched, kernels.transpose(got[0], got[1], shape[1])[2])
    np.testing.assert_array_equal(patched, _fallback.patch_slots(slots, got[2], patch, order))

"""The compiled kernels obey the laws of linear maps and agree with numpy.

Every kernel at every instruction set is held against plain loops in C++ (`make sanitize`); here each binding gets one
covering set of shapes, densities and lanes.
"""

import itertools

import numpy as np
import pytest
from tests.arrays import LAYERS, floats, native
from tests.covering import each, pairs
from tests.kernels import oracle as _numpy

from dsae import kernels
from dsae.topology import Topology

LANES = kernels.LANES
BATCHES = (0, 1, 3)


def topology(rng, shape, density, block_size=1):
    """A random topology; between densities 0 and 1 its first row is full, and one in the middle is empty.

    Of blocks, with that share of the blocks.
    """
    mask = rng.random((-(-shape[0] // block_size), shape[1])) < density
    if 0 < density < 1 and shape[0] > 2:
        mask[0], mask[mask.shape[0] // 2] = True, False
    return Topology.from_mask(np.repeat(mask, block_size, axis=0)[: shape[0]], block_size)


def close(got, expected, name=""):
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4, err_msg=name)


layers = pairs(LAYERS)


def agree(name, t, arguments, outputs):
    """A kernel and its oracle fill the same arrays."""
    got, expected = ([np.full_like(out, np.nan) for out in outputs] for _ in range(2))
    getattr(kernels, name)(t.indptr, t.indices, *arguments, *got)
    getattr(_numpy, name)(t.indptr, t.indices, *arguments, *expected)
    for one, other in zip(got, expected, strict=True):
        close(one, other, name)


@pairs(LAYERS, lanes=LANES)
def test_products_are_those_of_the_matrix_and_its_active_edges(rng, shape, density, lanes):
    t = topology(rng, shape, density)
    values, bias = floats(rng, t.nnz), floats(rng, shape[0])
    for n_panels in BATCHES:
        x, dy = floats(rng, n_panels, shape[1], lanes), floats(rng, n_panels, shape[0], lanes)
        agree("spmm", t, (values, None, x), (dy,))
        agree("spmm", t, (values, bias, x), (dy,))
        agree("sddmm", t, (dy, x), (values,))
        agree("backward", t, (values, x, dy), (dy, values))


@layers
def test_adjoint_law(rng, shape, density):
    """<W x, y> = <x, W^T y> = <values, sddmm(y, x)>."""
    t = topology(rng, shape, density)
    values, moved = floats(rng, 2, t.nnz)
    transposed, slots = t.transpose
    kernels.gather(values, slots, moved)
    for lanes in LANES:
        x, y = floats(rng, 2, shape[1], lanes), floats(rng, 2, shape[0], lanes)
        wx, wty, dw = np.empty_like(y), np.empty_like(x), np.empty_like(values)
        kernels.spmm(t.indptr, t.indices, values, None, x, wx)
        kernels.spmm(transposed.indptr, transposed.indices, moved, None, y, wty)
        kernels.sddmm(t.indptr, t.indices, y, x, dw)
        products = [np.vdot(a.astype(np.float64), b) for a, b in ((wx, y), (x, wty), (values, dw))]
        np.testing.assert_allclose(products, products[0], rtol=1e-4, atol=1e-2)


@pairs(LAYERS, lanes=LANES, block_size=[4, 8])
def test_blocks_multiply_as_their_edges_do(rng, shape, density, lanes, block_size):
    t = topology(rng, shape, density, block_size)
    values, blocks = floats(rng, t.nnz), (t.indptr, t.indices, block_size)
    for n_panels, bias in itertools.product(BATCHES, (None, floats(rng, shape[0]))):
        x, dy = floats(rng, n_panels, shape[1], lanes), floats(rng, n_panels, shape[0], lanes)
        got, expected = np.full((2, *dy.shape), np.nan, np.float32)
        kernels.block_spmm(*blocks, values, bias, x, got)
        _numpy.block_spmm(*blocks, values, bias, x, expected)
        close(got, expected)
        for wants_dx, wants_dw in ((True, True), (True, False), (False, True)):
            inputs = values if wants_dx else None, dy, x if wants_dw else None
            dx, dw = (np.full_like(a, np.nan) if wants else None for a, wants in ((x, wants_dx), (values, wants_dw)))
            expected = tuple(None if a is None else np.empty_like(a) for a in (dx, dw))
            kernels.block_backward(*blocks, *inputs, dx, dw)
            _numpy.block_backward(*blocks, *inputs, *expected)
            for one, other in zip((dx, dw), expected, strict=True):
                assert one is None or close(one, other) is None


@pairs(LAYERS, block_size=[1, 4, 8])
def test_a_dense_matrix_holds_the_values(rng, shape, density, block_size):
    t = topology(rng, shape, density, block_size)
    values, matrix = floats(rng, t.nnz), np.full(shape, np.nan, np.float32)
    kernels.to_dense(t.indptr, t.indices, values, matrix, block_size)
    expected = np.zeros(shape, np.float32)
    expected[t.rows, t.cols] = values
    np.testing.assert_array_equal(matrix, expected)
    back = np.full_like(values, np.nan)
    kernels.from_dense(t.indptr, t.indices, matrix, back, block_size)
    np.testing.assert_array_equal(back, values)


@each(lanes=LANES)
def test_products_of_a_matrix_wider_than_the_cache(rng, lanes):
    """Such a matrix is visited block by block of its columns."""
    t, n_panels = topology(rng, (5, 9000), 0.05), 2
    values, x, y = floats(rng, t.nnz), floats(rng, n_panels, 9000, lanes), floats(rng, n_panels, 5, lanes)
    agree("spmm", t, (values, None, x), (y,))
    agree("sddmm", t, (y, x), (values,))
    agree("backward", t, (values, x, y), (y, values))


@each(width=[0, 1, 37])
def test_sum_samples_is_the_sum(rng, width):
    for n_panels, lanes in itertools.product(BATCHES, LANES):
        panels, sums = floats(rng, n_panels, width, lanes), np.full(width, np.nan, np.float32)
        kernels.sum_samples(panels, sums)
        close(sums, panels.sum((0, 2)))


@each(n_rows=[0, 1, 16, 33, 64, 130])
def test_panels_hold_the_rows(rng, n_rows):
    for width, lanes in itertools.product([0, 1, 37], LANES):
        rows, count = floats(rng, n_rows, width), -(-n_rows // lanes)
        got, expected = np.full((2, count, width, lanes), np.nan, np.float32)
        kernels.pack(rows, got)
        _numpy.pack(rows, expected)
        np.testing.assert_array_equal(got, expected)
        back = np.empty_like(rows)
        kernels.unpack(got, back)
        np.testing.assert_array_equal(back, rows)


@layers
def test_transpose_and_gather(rng, shape, density):
    t = topology(rng, shape, density)
    got = kernels.transpose(t.indptr, t.indices, shape[1])
    for a, b in zip(got, _numpy.transpose(t.indptr, t.indices, shape[1]), strict=True):
        assert a.dtype == np.int32
        np.testing.assert_array_equal(a, b)
    values = floats(rng, t.nnz)
    moved = np.empty_like(values)
    kernels.gather(values, got[2], moved)
    np.testing.assert_array_equal(moved, values[got[2]])
    back = np.empty_like(values)
    kernels.scatter(moved, got[2], back)
    np.testing.assert_array_equal(back, values)


@layers
def test_edges_within_a_dense_matrix(rng, shape, density):
    t, dense = topology(rng, shape, density), floats(rng, *shape)
    for implementation in (kernels, _numpy):
        matrix, values, mask = np.full_like(dense, np.nan), np.full(t.nnz, np.nan, np.float32), np.zeros(shape, bool)
        mask[t.rows, t.indices] = True
        implementation.from_dense(t.indptr, t.indices, dense, values)
        np.testing.assert_array_equal(values, dense[mask])
        implementation.to_dense(t.indptr, t.indices, values, matrix)
        np.testing.assert_array_equal(matrix, np.where(mask, dense, 0))


@layers
def test_adams_step_is_the_twins(rng, shape, density):
    t = topology(rng, shape, density)
    state = {"edges": floats(rng, 5, t.nnz), "bias": floats(rng, 5, shape[0])}
    for arrays in state.values():
        arrays[3:] **= 2
    twin = {name: arrays.copy() for name, arrays in state.items()}
    for step, at in ((kernels.adam, state), (_numpy.adam, twin)):
        edges, bias = ([*arrays] for arrays in at.values())
        moved = [
            (t.indptr, *edges, None, None, 0.3, 1.5, 0.01, 0.1),
            (None, *bias[:4], *[None] * 3, 0.1, 1.2, 0.0, 0.0),
        ]
        step(moved, 0.9, 0.999, 1e-8)
    for name, arrays in state.items():
        close(arrays, twin[name])


@layers
def test_adams_step_within_the_dense_matrix_is_that_of_the_edges(rng, shape, density):
    t = topology(rng, shape, density)
    edges, matrices = floats(rng, 5, t.nnz), np.zeros((5, *shape), np.float32)
    edges[3:] **= 2
    mask = np.zeros(shape, np.uint8)
    mask[t.rows, t.indices] = 1
    for array, matrix in zip(edges, matrices, strict=True):
        matrix[t.rows, t.indices] = array
    matrices[0] += 1 - mask  # gradients that must not count
    settings = 0.3, 1.5, 0.01, 0.1
    kernels.adam([(t.indptr, *edges, None, None, *settings)], 0.9, 0.999, 1e-8)
    kernels.adam([(t.indptr, *(m.ravel() for m in matrices), mask.ravel(), None, *settings)], 0.9, 0.999, 1e-8)
    for array, matrix in zip(edges[1:], matrices[1:], strict=True):
        np.testing.assert_array_equal(matrix[mask > 0], array)
        assert not matrix[mask == 0].any()


@layers
def test_rewiring_moves_every_slot(rng, shape, density):
    t = topology(rng, shape, density)
    for share in (0.0, 0.3, 1.0):
        drop = rng.random(t.nnz) < share
        dead = np.ones(shape, bool)
        dead.flat[t.flat[~drop]] = False
        grown = Topology.from_mask(dead & (rng.random(shape) < share))
        got = kernels.rewire(t.indptr, t.indices, ~drop, grown.indptr, grown.indices)
        same_integers(got, _numpy.rewire(t.indptr, t.indices, ~drop, grown.indptr, grown.indices))
        values, moved = floats(rng, t.nnz), np.full((2, got[2].size), np.nan, np.float32)
        kernels.move(values, got[2], moved[0])
        _numpy.move(values, got[2], moved[1])
        np.testing.assert_array_equal(*moved)


def same_integers(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype == np.int32
        np.testing.assert_array_equal(a, b)


def are_inactive(t, drawn, n):
    """``n`` distinct edges in order, none of which is active."""
    edges = Topology(t.shape, *drawn)
    assert edges.nnz == n
    assert not np.isin(edges.flat, t.flat).any()


@pairs(LAYERS, implementation=[kernels, _numpy])
def test_as_many_inactive_edges_are_drawn_as_requested(rng, shape, density, implementation):
    t = topology(rng, shape, density)
    for share, seed in itertools.product((0.0, 0.001, 0.3, 1.0), (0, 7, 2**64 - 1)):
        n = round(share * (t.size - t.nnz))
        drawn = implementation.draw_dead(t.indptr, t.indices, shape[1], n, seed)
        are_inactive(t, drawn, n)
        same_integers(drawn, implementation.draw_dead(t.indptr, t.indices, shape[1], n, seed))


@layers
def test_the_first_dead_edges_are_the_same_everywhere(rng, shape, density):
    t = topology(rng, shape, density)
    for share in (0.0, 0.01, 0.3, 1.0):
        order = rng.permutation(shape[1]).astype(np.int32)
        lengths = np.round(share * shape[1] * rng.random(shape[0])).astype(np.int32)
        got = kernels.first_dead(t.indptr, t.indices, order, lengths)
        same_integers(got, _numpy.first_dead(t.indptr, t.indices, order, lengths))


@each(n=[10, 5000, 200_000])
def test_inactive_edges_are_drawn_evenly_from_wide_rows(n):
    t = Topology.empty((2000, 30_000))
    for implementation in (kernels, _numpy):
        drawn = implementation.draw_dead(t.indptr, t.indices, 30_000, n, 1)
        are_inactive(t, drawn, n)
        assert abs(drawn[1].mean() / 30_000 - 0.5) < 5 * (12 * n) ** -0.5


@each(size=[0, 1, 2, 100, 5000])
def test_the_smallest_are_the_same_everywhere(rng, size):
    special = [0.0, -0.0, 1.0, -1.0, np.nan, -np.nan, np.inf, -np.inf, 1e-42, 3e38]
    for share in (0.0, 0.3, 1.0):
        scores = rng.choice(special, size).astype(np.float32)
        scores[: size // 2] += floats(rng, size // 2)
        got, expected = np.ones((2, size), bool)
        kernels.smallest(scores, round(share * size), got)
        _numpy.smallest(scores, round(share * size), expected)
        np.testing.assert_array_equal(got, expected)


FAULTS = [
    ([0, 1, 2], [0, 2**30], 2),
    ([0, 1, 2], [0, -1], 2),
    ([0, 2, 2], [-1, 1], 2),
    ([0, 2, 2], [1, 1], 3),
    ([0, 2, 2], [2, 0], 3),
    ([0, 2, 2], [5, 0], 2),
    ([0, 2, 1], [0, 1], 1),
    ([0, -1, 2], [0, 1], 1),
    ([1, 1, 2], [0, 1], 1),
    ([0, 1, 3], [0, 1], 1),
    ([0, 2**31 - 1, 2], [0, 1], 1),
    ([0, 1, 2], [2, 0], 0),
    ([0, 0, 0], [], 0),
    ([0], [], 0),
]


def test_faults_are_found():
    for *edges, fault in FAULTS:
        arrays = [np.array(part, np.int32) for part in edges]
        assert kernels.validate(*arrays, 3) == _numpy.validate(*arrays, 3) == fault, edges


@native
def test_subnormals_are_flushed_inside_and_only_inside():
    t = Topology.full((1, 1))
    tiny, y = np.full(1, 1e-30, np.float32), np.empty((1, 1, 16), np.float32)
    kernels.spmm(t.indptr, t.indices, tiny, None, np.full((1, 1, 16), 1e-10, np.float32), y)
    assert not y.any()
    assert (tiny * np.float32(1e-10)).any()


@each(size=[2**62, 2**60])
def test_what_no_memory_holds_is_refused(size):
    with pytest.raises((MemoryError, ValueError)):
        kernels.empty(size)


def test_arrays_are_aligned_and_their_memory_is_used_again():
    kernels.clear_cache()  # a full one keeps no more
    first = kernels.aligned((300, 1000))
    assert (first.shape, first.dtype) == ((300, 1000), np.float32)
    at = first.ctypes.data
    assert not kernels.NATIVE or at % 64 == 0
    kept, view = kernels.aligned((300, 1000)), first[10:]
    assert not np.shares_memory(first, kept)
    del first
    view[...], kept[...] = 1, 2
    assert (view == 1).all()
    del view
    assert not kernels.NATIVE or kernels.aligned((300, 1001)).ctypes.data == at
    assert kernels.aligned((0, 5)).shape == (0, 5)


@layers
def test_adams_step_by_input_is_that_of_the_edges(rng, shape, density):
    """Edges in the transpose's order, each with the rate of its row."""
    t = topology(rng, shape, density)
    (transposed, slots), edges = t.transpose, floats(rng, 5, t.nnz)
    edges[3:] **= 2
    by_input = np.ascontiguousarray(edges[:, slots])
    fan_in = np.maximum(t.fan_in, max(t.nnz, 1) / max(shape[0], 1))
    rates, settings = (transposed.indices, (1 / fan_in).astype(np.float32)), (0.3, 1.5, 0.01, 0.1)
    kernels.adam([(t.indptr, *edges, None, None, *settings)], 0.9, 0.999, 1e-8)
    kernels.adam([(None, *by_input, None, rates, *settings)], 0.9, 0.999, 1e-8)
    for array, turned in zip(edges, by_input, strict=True):
        np.testing.assert_allclose(turned, array[slots], rtol=1e-5, atol=1e-6)

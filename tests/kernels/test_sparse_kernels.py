"""What a sparse batch goes through in training agrees with dense numpy, and gives the same bits on any threads."""

import itertools
import re

import numpy as np
import pytest
import scipy.sparse as sp
from tests.arrays import LAYERS, floats, native
from tests.covering import each, pairs
from tests.kernels import oracle as _numpy

from dsae import kernels
from dsae.config import LOSSES
from dsae.topology import Topology

FILLS = [0.0, 0.1, 1.0]
HEIGHTS = [1, 7, 100]
layers = pairs(LAYERS)
BOTH = (kernels, _numpy)


def sparse(rng, shape, fill):
    """A matrix with an empty row and an empty column, where it has more than two."""
    X = floats(rng, *shape) * (rng.random(shape) < fill)
    if shape[0] > 2:
        X[1] = 0
    if shape[1] > 2:
        X[:, 1] = 0
    return X


def layer(rng, shape, density):
    t = Topology.from_mask(rng.random(shape) < density)
    values = floats(rng, t.nnz)
    dense = np.zeros(shape, np.float32)
    dense[t.rows, t.indices] = values
    return t, values, dense


def csr(X):
    t = Topology.from_mask(X)
    return t.indptr, t.indices, X[t.rows, t.indices]


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


@layers
def test_columns_are_the_product(rng, shape, density):
    """Only edges of live inputs are gathered, and only they are read."""
    t, values, dense = layer(rng, shape, density)
    transposed, slots = t.transpose
    for fill, implementation in itertools.product(FILLS, BOTH):
        X, bias = sparse(rng, (9, shape[1]), fill), floats(rng, shape[0])
        moved, y = np.full(t.nnz, np.nan, np.float32), np.full((9, shape[0]), np.nan, np.float32)
        implementation.gather_live(transposed.indptr, values, slots, csr(np.ascontiguousarray(X.T))[0], moved)
        implementation.csr_spmm(transposed.indptr, transposed.indices, moved, bias, *csr(X), y)
        close(y, X @ dense.T + bias)


@layers
def test_their_gradient_is_added_to_what_is_there(rng, shape, density):
    t, _, _ = layer(rng, shape, density)
    transposed, slots = t.transpose
    for fill, implementation in itertools.product(FILLS, BOTH):
        X, dy, dw = sparse(rng, (9, shape[1]), fill), floats(rng, 9, shape[0]), floats(rng, t.nnz)
        expected, got = dw + (dy.T @ X)[t.rows, t.indices], dw.copy()
        by_column = csr(np.ascontiguousarray(X.T))
        implementation.csr_sddmm(transposed.indptr, transposed.indices, slots, *by_column, dy, got)
        close(got, expected)


@layers
@each(shifted=[False, True])
def test_the_gradient_by_input_is_that_of_all_edges(rng, shape, density, shifted):
    t, _, _ = layer(rng, shape, density)
    transposed, slots = t.transpose
    outer = (floats(rng, shape[0]), floats(rng, shape[1])) if shifted else None
    for fill, implementation in itertools.product(FILLS, BOTH):
        X, dy, got = sparse(rng, (9, shape[1]), fill), floats(rng, 9, shape[0]), np.full(t.nnz, np.nan, np.float32)
        expected = dy.T @ X + (0 if outer is None else np.outer(*outer))
        by_column = csr(np.ascontiguousarray(X.T))
        implementation.csr_gradient(transposed.indptr, transposed.indices, *by_column, dy, outer, got)
        close(got, expected[t.rows, t.indices][slots])


@layers
def test_vector_product_and_outer_product(rng, shape, density):
    t, values, dense = layer(rng, shape, density)
    left, right = floats(rng, shape[0]), floats(rng, shape[1])
    for implementation in BOTH:
        y, dw = np.full_like(left, np.nan), np.full_like(values, np.nan)
        implementation.edge_sums(t.rows, t.indices, values, right, y)
        close(y, dense @ right)
        implementation.spmv(t.indptr, t.indices, values, right, y)
        implementation.sampled_outer(t.indptr, t.indices, left, right, dw)
        close(y, dense @ right)
        close(dw, np.outer(left, right)[t.rows, t.indices])


def dense_loss(dense, bias, rows, target, loss):
    """In float64: the sum, and the gradient of the output."""
    z = rows.astype(np.float64) @ dense.T.astype(np.float64) + bias
    if loss == "mse":
        return ((z - target) ** 2).sum(), z - target
    return (np.logaddexp(0, z) - target * z).sum(), 1 / (1 + np.exp(-z)) - target


@pairs(LAYERS, loss=["mse", "bce"])
def test_tiles_give_the_loss_and_its_gradients(rng, shape, density, loss):
    """Whatever their height, on panels that are full and on such that are not."""
    t, values, dense = layer(rng, shape, density)
    bias, shift = floats(rng, shape[0]), floats(rng, shape[0])
    transposed, slots = t.transpose
    sizes = (1, 1, 16), (35, 2, 32), (128, 2, 64)
    for (n_rows, n_panels, lanes), fill, height, implementation in itertools.product(sizes, FILLS, HEIGHTS, BOTH):
        X, rows = sparse(rng, (n_rows, shape[0]), fill), floats(rng, n_rows, shape[1])
        x = np.full((n_panels, shape[1], lanes), np.nan, np.float32)
        _numpy.pack(rows, x)
        gradients = [np.full_like(a, np.nan) for a in (values, bias, x)]
        tile = np.full((n_panels, height, lanes), np.nan, np.float32)
        target = (*csr(np.ascontiguousarray(X.T)), shift if loss == "mse" else None)
        both = (t.indptr, t.indices, values, bias), (transposed.indptr, transposed.indices, values[slots])
        total = implementation.tiled_loss(*both, x, target, LOSSES[loss].kernel, n_rows, 0.5, tile, tuple(gradients))
        expected, dy = dense_loss(dense, bias, rows, X - shift if loss == "mse" else X, loss)
        np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-3)
        d_rows = np.full_like(rows, np.nan)
        _numpy.unpack(gradients[2], d_rows)
        wanted = ((dy.T @ rows)[t.rows, t.indices], dy.sum(0), dy @ dense)
        for got, one in zip((*gradients[:2], d_rows), wanted, strict=True):
            np.testing.assert_allclose(got, 0.5 * one, rtol=1e-3, atol=2e-3)
        without = implementation.tiled_loss(both[0], None, x, target, LOSSES[loss].kernel, n_rows, 0.5, tile, None)
        assert without == total


@native
@pairs(LAYERS, loss=["mse", "bce"], known=[False, True], weighted=[False, True], n_rows=[1, 35, 128])
def test_weights_multiply_the_loss_of_every_number(rng, shape, density, loss, known, weighted, n_rows):
    """Of a number that the target does not hold its sample's; what weighs nothing may be anything."""
    t, values, dense = layer(rng, shape, density)
    bias, shift = floats(rng, shape[0]), floats(rng, shape[0]) if loss == "mse" else None
    transposed, slots = t.transpose
    X, rows = sparse(rng, (n_rows, shape[0]), 0.3), floats(rng, n_rows, shape[1])
    columns = csr(np.ascontiguousarray(X.T))
    of_numbers = rng.integers(0, 3, columns[2].size).astype(np.float32) if known else None
    of_rows = rng.integers(0, 3, n_rows).astype(np.float32) if weighted else None
    counts = np.ones((n_rows, shape[0]))
    if known:
        at = sp.csr_matrix((np.arange(columns[2].size), *columns[1::-1]), shape=(shape[0], n_rows)).tocoo()
        counts[at.col, at.row] = of_numbers[at.data]
        columns[2][of_numbers == 0] = np.nan
    counts *= 1 if of_rows is None else of_rows[:, None]
    x = kernels.empty_panels(n_rows, shape[1])
    kernels.pack(rows, x)
    gradients = [np.full_like(a, np.nan) for a in (values, bias, x)]
    tile = np.full((len(x), 7, x.shape[2]), np.nan, np.float32)
    both = (t.indptr, t.indices, values, bias), (transposed.indptr, transposed.indices, values[slots])
    number, target = LOSSES[loss].kernel, (*columns, shift)
    total = kernels.tiled_loss(*both, x, target, number, n_rows, 0.5, tile, tuple(gradients), of_numbers, of_rows)
    z, aim = rows.astype(np.float64) @ dense.T.astype(np.float64) + bias, X if shift is None else X - shift
    each = (z - aim) ** 2 if loss == "mse" else np.logaddexp(0, z) - aim * z
    dy = counts * (z - aim if loss == "mse" else 1 / (1 + np.exp(-z)) - aim)
    np.testing.assert_allclose(total, (counts * each).sum(), rtol=1e-5, atol=1e-3)
    d_rows = np.full_like(rows, np.nan)
    kernels.unpack(gradients[2], d_rows)
    wanted = ((dy.T @ rows)[t.rows, t.indices], dy.sum(0), dy @ dense)
    for got, one in zip((*gradients[:2], d_rows), wanted, strict=True):
        np.testing.assert_allclose(got, 0.5 * one, rtol=1e-3, atol=2e-3)


@native
@each(loss=["mse", "bce"])
def test_the_bits_do_not_depend_on_the_number_of_threads(rng, loss):
    torch = pytest.importorskip("torch")
    t, values, _ = layer(rng, (701, 203), 0.2)
    transposed, slots = t.transpose
    X, x, bias = sparse(rng, (130, 701), 0.1), floats(rng, 3, 203, 64), floats(rng, 701)
    into, dy = csr(sparse(rng, (130, 203), 0.3)), floats(rng, 130, 701)
    into_columns = csr(np.ascontiguousarray(sp.csr_matrix(into[::-1], shape=(130, 203)).toarray().T))
    results, before = [], torch.get_num_threads()
    try:
        for n in (1, 2, 3, 7):
            torch.set_num_threads(n)
            y, moved, dw = np.empty_like(dy), np.zeros_like(values), np.zeros_like(values)
            kernels.gather_live(transposed.indptr, values, slots, into_columns[0], moved)
            kernels.csr_spmm(transposed.indptr, transposed.indices, moved, bias, *into, y)
            kernels.csr_sddmm(transposed.indptr, transposed.indices, slots, *into_columns, dy, dw)
            by_input, outer = np.empty_like(values), (bias, floats(np.random.default_rng(0), 203))
            kernels.csr_gradient(transposed.indptr, transposed.indices, *into_columns, dy, outer, by_input)
            outs = y, dw, np.empty_like(values), np.empty_like(bias), np.empty_like(x)
            both = (t.indptr, t.indices, values, bias), (transposed.indptr, transposed.indices, values[slots])
            target = (*csr(np.ascontiguousarray(X.T)), None)
            tile = np.empty((3, 100, 64), np.float32)
            total = kernels.tiled_loss(*both, x, target, LOSSES[loss].kernel, 130, 1.0, tile, outs[2:])
            results.append(b"".join(out.tobytes() for out in (*outs, by_input, np.float64(total))))
    finally:
        torch.set_num_threads(before)
    assert len(set(results)) == 1


MISFITS = [
    (0, 2, np.zeros(1, np.float32), "Expected values.size = "),
    (0, 3, np.zeros(1, np.float32), "Expected bias.size = 4, the number of rows; got 1."),
    (0, 0, np.zeros(5), "Expected indptr to be a C-contiguous 1-D int32 array; got 1-D float64."),
    (1, 0, np.zeros(5, np.int32), "Expected transposed indptr[-1] = "),
    (1, 2, np.zeros(1, np.float32), "Expected transposed values.size = "),
    (3, 1, np.full(4, 20, np.int32), "Expected target indices in [0, 20); got one outside."),
    (3, 2, np.zeros(3, np.float32), "Expected target values.size = 4, the size of target indices; got 3."),
    (3, 3, np.zeros(3, np.float32), "Expected shift.size = 4, the number of rows; got 3."),
    (8, 0, np.zeros(1, np.float32), "Expected dw.size = "),
    (8, 1, np.zeros(1, np.float32), "Expected dbias.size = 4, the number of rows; got 1."),
    (8, 2, np.zeros((2, 4, 16), np.float32), "Expected dx.shape[1] = 5, the width of x; got 4."),
    (7, None, np.zeros((2, 0, 16), np.float32), "Expected a tile of at least one output; got none."),
    (7, None, np.zeros((1, 3, 16), np.float32), "Expected tile.shape[0] = 2, as many panels as x; got 1."),
    (4, None, 5, "Expected a loss below 5; got 5."),
    (5, None, 33, "Expected at most 32 rows, what the panels hold; got 33."),
    (1, None, None, "Expected the transpose, from which dx comes; got None."),
    (9, None, np.zeros(3, np.float32), "Expected known.size = 4, the size of target indices; got 3."),
    (10, None, np.zeros(3, np.float32), "Expected weights.size = 20, the number of samples; got 3."),
]


@native
def test_a_tiled_loss_refuses_what_does_not_fit(rng):
    t, values, _ = layer(rng, (4, 5), 0.5)
    transposed, slots = t.transpose
    x, bias = floats(rng, 2, 5, 16), floats(rng, 4)
    target = (np.arange(5, dtype=np.int32), np.zeros(4, np.int32), floats(rng, 4), bias)
    right = [(t.indptr, t.indices, values, bias), (transposed.indptr, transposed.indices, values[slots]), x, target]
    right += [0, 20, 1.0, floats(rng, 2, 3, 16), (values.copy(), bias.copy(), x.copy()), None, None]
    kernels.tiled_loss(*right)
    for place, at, wrong, message in MISFITS:
        changed = wrong if at is None else tuple(wrong if i == at else part for i, part in enumerate(right[place]))
        with pytest.raises(ValueError, match=re.escape(f"[tiled_loss] {message}")):
            kernels.tiled_loss(*(changed if i == place else part for i, part in enumerate(right)))

"""Kernels of codes that are mostly zero: which latents live, and the three products beside them."""

import re

import numpy as np
import pytest
from tests.arrays import LAYERS, floats, native
from tests.covering import each, pairs
from tests.kernels import oracle
from tests.kernels.test_sparse_kernels import BOTH, close, csr, layer, sparse

from dsae import kernels
from dsae.topology import Topology

SIZES = [(1, 1), (3, 17), (9, 300), (70, 1030)]


def ties(rng, *shape):
    """Numbers of which many are equal, and some zero."""
    return np.round(2 * floats(rng, *shape)).astype(np.float32)


@native
@pairs(shape=SIZES, k=[1, 5, 40, 300], draw=[floats, ties, lambda rng, *shape: -np.abs(floats(rng, *shape))])
def test_topk_takes_the_largest_where_positive_and_the_lower_of_equals(rng, shape, k, draw):
    z, k = draw(rng, *shape), min(k, shape[1])
    for got, expected in zip(kernels.code_topk(z, k), oracle.code_topk(z, k), strict=True):
        np.testing.assert_array_equal(got, expected)


@native
@pairs(shape=SIZES, k=[1, 5, 40, 300], draw=[floats, ties])
def test_the_kth_of_all(rng, shape, k, draw):
    z = draw(rng, *shape)
    assert kernels.kth_of_all(z, min(k, z.size)) == oracle.kth_of_all(z, min(k, z.size))


@native
@pairs(shape=SIZES, margin=[0.0, 0.1], draw=[floats, ties])
def test_above_takes_what_is_near_a_threshold_too(rng, shape, margin, draw):
    z, thresholds = draw(rng, *shape), floats(rng, shape[1])
    pairs = kernels.code_above(z, thresholds, margin), oracle.code_above(z, thresholds, margin)
    for got, expected in zip(*pairs, strict=True):
        np.testing.assert_array_equal(got, expected)


@native
@each(special=[np.nan, -np.nan, np.inf])
def test_a_number_that_is_none_is_part_of_the_code(rng, special):
    """So that the loss is none either, and training ends with an error."""
    z = floats(rng, 5, 40)
    z[3, 21] = special
    for indptr, indices in (kernels.code_topk(z, 4), kernels.code_above(z, np.zeros(40, np.float32), 0.0)):
        assert 21 in indices[indptr[3] : indptr[4]]


@pairs(LAYERS, fill=[0.0, 0.05, 1.0])
def test_the_products_are_those_of_dense_matrices(rng, shape, density, fill):
    """M has a row for each latent."""
    m, values, M = layer(rng, shape, density)
    C, y = sparse(rng, (9, shape[0]), fill), floats(rng, 9, shape[1])
    (indptr, indices, c), (by_latent, rows, moved) = csr(C), csr(np.ascontiguousarray(C.T))
    for implementation in BOTH:
        dots, dm, sums = (np.full(n, np.nan, np.float32) for n in (indices.size, m.nnz, shape[0]))
        implementation.code_dots(m.indptr, m.indices, values, indptr, indices, y, dots)
        implementation.code_outer(m.indptr, m.indices, by_latent, rows, moved, y, dm, sums)
        close(dots, (y @ M.T)[C != 0])
        close(dm, (C.T @ y)[m.rows, m.indices])
        close(sums, C.sum(0))
        # each is the adjoint of the others
        combined = np.empty_like(y)
        implementation.csr_spmm(
            m.indptr, m.indices, values, np.zeros(shape[1], np.float32), indptr, indices, c, combined
        )
        products = [np.vdot(combined, y), np.vdot(c, dots), np.vdot(values, dm)]
        np.testing.assert_allclose(products, products[0], rtol=1e-3, atol=1e-2)


@pairs(shape=[(0, 3), (1, 1), (16, 33), (70, 48)])
def test_a_matrix_is_turned(rng, shape):
    rows = floats(rng, *shape)
    for implementation in BOTH:
        out = np.full(shape[::-1], np.nan, np.float32)
        implementation.turn(rows, out)
        np.testing.assert_array_equal(out, rows.T)


@native
def test_the_bits_do_not_depend_on_the_number_of_threads(rng):
    z, y = floats(rng, 300, 2050), floats(rng, 300, 200)
    results, before = [], kernels.set_threads(0)
    m = Topology.from_mask(rng.random((2050, 200)) < 0.5)
    values = floats(rng, m.nnz)
    try:
        for n in (1, 2, 3, 7):
            kernels.set_threads(n)
            pattern = Topology(z.shape, *kernels.code_topk(z, 30))
            near = kernels.code_above(z, z[0], 0.5)
            c, (by_latent, slots) = z[pattern.rows, pattern.indices], pattern.transpose
            dots, dm, sums, turned = (np.empty(s, np.float32) for s in (c.shape, values.shape, 2050, z.shape[::-1]))
            kernels.code_dots(m.indptr, m.indices, values, pattern.indptr, pattern.indices, y, dots)
            kernels.code_outer(m.indptr, m.indices, by_latent.indptr, by_latent.indices, c[slots], y, dm, sums)
            kernels.turn(z, turned)
            kth = np.float32(kernels.kth_of_all(z, 9000))
            results.append(b"".join(a.tobytes() for a in (pattern.indices, *near, dots, dm, sums, turned, kth)))
    finally:
        kernels.set_threads(before)
    assert len(set(results)) == 1


@native
@each(
    {
        "call, message": [
            (lambda z, i, v: kernels.code_topk(z, 0), "[code_topk] Expected k in [1, 3], the width of z; got 0."),
            (lambda z, i, v: kernels.code_topk(z, 4), "[code_topk] Expected k in [1, 3], the width of z; got 4."),
            (lambda z, i, v: kernels.kth_of_all(z, 7), "[kth_of_all] Expected k in [1, 6], the size of z; got 7."),
            (
                lambda z, i, v: kernels.code_above(z, v, 0.0),
                "[code_above] Expected thresholds.size = 3, the width of z",
            ),
            (lambda z, i, v: kernels.turn(z, z), "[turn] Expected out.shape[0] = 3, the width of rows; got 2."),
            (
                lambda z, i, v: kernels.code_dots(i, i[1:], v, np.zeros(5, np.int32), i[:0], z, v),
                "[code_dots] Expected y.shape[0] = 4, the rows of the code; got 2.",
            ),
            (
                lambda z, i, v: kernels.code_outer(i, i[1:], i[:2], i[:1], v[:1], z, v, None),
                "[code_outer] Expected latent_indptr.size = 3, the size of indptr; got 2.",
            ),
        ]
    }
)
def test_what_does_not_fit_is_refused(call, message):
    z, starts, values = np.zeros((2, 3), np.float32), np.arange(3, dtype=np.int32), np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(z, starts, values)

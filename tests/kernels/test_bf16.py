"""Products on lines of 16 bits are those of the nearest bfloat16 of every number, in float32."""

import numpy as np
import pytest
from tests.arrays import LAYERS, floats, native
from tests.covering import each, pairs
from tests.kernels import oracle_bf16 as oracle
from tests.kernels.test_kernels import close, topology

from dsae import kernels

pytestmark = native

# Lanes of the float32 panels, and how many lines of 16 bits each holds.
layouts = {"lanes, parts": [(32, 1), (64, 1), (64, 2)]}


def packed(panels, parts, implementation=kernels):
    n_panels, width, lanes = panels.shape
    lines = np.full((n_panels * parts, width, lanes // parts), 7, np.uint16)
    implementation.bf16_pack(panels, lines)
    return lines


@pairs(layouts, width=[0, 1, 37], n_panels=[0, 1, 3])
def test_lines_hold_the_nearest_numbers(rng, width, n_panels, lanes, parts):
    panels = floats(rng, n_panels, width, lanes)
    lines, back = packed(panels, parts), np.full_like(panels, np.nan)
    np.testing.assert_array_equal(lines, packed(panels, parts, oracle))
    kernels.bf16_unpack(lines, back)
    assert (np.abs(back - panels) <= 2.0**-8 * np.abs(panels)).all()
    np.testing.assert_array_equal(packed(back, parts), lines)


def test_special_numbers_survive():
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-45, 3.4e38], np.float32)
    panels = np.resize(special, (1, 1, 32)).astype(np.float32)
    back = np.empty_like(panels)
    kernels.bf16_unpack(packed(panels, 1), back)
    for number, kept in zip(special, back[0, 0], strict=False):
        assert np.isnan(kept) if np.isnan(number) else np.signbit(kept) == np.signbit(number)
    assert back[0, 0, 2] == np.inf
    assert back[0, 0, 3] == -np.inf
    assert back[0, 0, 5] == np.float32(1e-40) or abs(back[0, 0, 5] - 1e-40) < 2.0**-133
    assert back[0, 0, 7] == np.inf  # the nearest, for bfloat16 ends at 3.39e38


@pairs(LAYERS | layouts, bias=[True, False])
def test_products_are_those_of_the_rounded_numbers(rng, shape, density, lanes, parts, bias):
    t = topology(rng, shape, density)
    values, shift = floats(rng, t.nnz), floats(rng, shape[0]) if bias else None
    for n_panels in (0, 1, 3):
        x, dy = (packed(floats(rng, n_panels, width, lanes), parts) for width in shape[::-1])
        for name, arguments, outputs in (
            ("bf16_spmm", (values, shift, x), ((n_panels, shape[0], lanes),)),
            ("bf16_sddmm", (dy, x), ((t.nnz,),)),
            ("bf16_backward", (values, x, dy), ((n_panels, shape[0], lanes), (t.nnz,))),
        ):
            got, expected = ([np.full(out, np.nan, np.float32) for out in outputs] for _ in range(2))
            getattr(kernels, name)(t.indptr, t.indices, *arguments, *got)
            getattr(oracle, name)(t.indptr, t.indices, *arguments, *expected)
            for one, other in zip(got, expected, strict=True):
                close(one, other)


@pairs(LAYERS | layouts)
def test_they_differ_from_float32_by_what_rounding_may(rng, shape, density, lanes, parts):
    """Each rounded factor by 2^-8 of its magnitude at most."""
    t = topology(rng, shape, density)
    values, x, dy = floats(rng, t.nnz), floats(rng, 2, shape[1], lanes), floats(rng, 2, shape[0], lanes)
    half_x, half_dy = packed(x, parts), packed(dy, parts)
    exact, half, magnitudes = (np.empty((2, shape[0], lanes), np.float32) for _ in range(3))
    kernels.spmm(t.indptr, t.indices, values, None, x, exact)
    kernels.spmm(t.indptr, t.indices, np.abs(values), None, np.abs(x), magnitudes)
    kernels.bf16_spmm(t.indptr, t.indices, values, None, half_x, half)
    assert (np.abs(half - exact) <= 2.0**-8 * magnitudes + 1e-4).all()
    exact, half, magnitudes = (np.empty(t.nnz, np.float32) for _ in range(3))
    kernels.sddmm(t.indptr, t.indices, dy, x, exact)
    kernels.sddmm(t.indptr, t.indices, np.abs(dy), np.abs(x), magnitudes)
    kernels.bf16_sddmm(t.indptr, t.indices, half_dy, half_x, half)
    assert (np.abs(half - exact) <= 2.0**-7 * magnitudes + 1e-4).all()


@each(
    {
        "shape, message": [
            ((1, 5, 16), "x to be panels"),
            ((1, 5, 64), "y of 64 lanes or twice as many"),
            ((2, 5, 32), "as many samples"),
            ((1, 5, 32), None),
        ]
    }
)
def test_lines_that_do_not_fit_are_refused(rng, shape, message):
    t = topology(rng, (3, 5), 0.5)
    y = np.empty((1, 3, 32), np.float32)
    arguments = (t.indptr, t.indices, floats(rng, t.nnz), None, np.zeros(shape, np.uint16), y)
    if message is None:
        kernels.bf16_spmm(*arguments)
        np.testing.assert_array_equal(y, 0)
    else:
        with pytest.raises(ValueError, match=message):
            kernels.bf16_spmm(*arguments)

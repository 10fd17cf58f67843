"""Draws of rows and values belong to their numbers alone, and look random."""

import numpy as np
from tests.covering import each, pairs

from dsae.data import Draws, draws

NUMBERS = np.array([5, 0, 123_456_789_012, 7])


@pairs(seed=[0, 1, 2**31 - 1], epoch=[0, 1, 1000], width=[1, 4, 7])
def test_a_row_draws_the_same_in_any_company(seed, epoch, width):
    whole = Draws(NUMBERS, seed, epoch)
    for i, number in enumerate(NUMBERS):
        alone = Draws(np.array([number]), seed, epoch)
        assert alone.rows()[0] == whole.rows()[i]
        np.testing.assert_array_equal(alone.values(width)[0], whole.values(width)[i])
        np.testing.assert_array_equal(alone.normals(width)[0], whole.normals(width)[i])


def test_stored_values_draw_what_they_would_in_a_dense_row():
    drawn, rng = Draws(NUMBERS, 3), np.random.default_rng(0)
    rows, columns = rng.integers(0, 4, 50), rng.integers(0, 999, 50, dtype=np.int32)
    np.testing.assert_array_equal(drawn.stored(rows, columns), drawn.values(999)[rows, columns])


def test_values_do_not_depend_on_the_width_asked_for():
    drawn = Draws(NUMBERS, 3)
    np.testing.assert_array_equal(drawn.values(10)[:, :5], drawn.values(5))


@each(change=[{"seed": 1}, {"epoch": 1}, {"numbers": np.arange(1, 2001)}])
def test_another_seed_epoch_or_row_draws_others(change):
    given = {"numbers": np.arange(2000), "seed": 0, "epoch": 0}
    one, other = (Draws(**(given | more)) for more in ({}, change))
    for draw in (Draws.rows, lambda d: d.values(8) / 65536.0, lambda d: d.normals(8)):
        assert abs(np.corrcoef(draw(one).ravel(), draw(other).ravel())[0, 1]) < 0.06


def test_values_are_spread_evenly_and_apart_from_those_of_their_row():
    drawn = Draws(np.arange(4000), 0)
    values = drawn.values(50) / 65536
    assert np.abs(np.histogram(values, 16, (0, 1))[0] / values.size - 1 / 16).max() < 0.002
    assert np.abs(np.corrcoef(values.T) - np.eye(50)).max() < 0.08
    for rows in (drawn.rows(), draws(np.arange(4000), 0)):
        assert abs(np.corrcoef(rows, values.mean(1))[0, 1]) < 0.06
        assert abs(np.corrcoef(rows, values[:, 0])[0, 1]) < 0.06

"""Rare values are told by histograms, in the units of the distances beside which they are put."""

import numpy as np
import pytest
from tests.covering import each

from dsae import DSAOutlierDetector
from dsae.estimators._rarity import Rarity

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 5)).astype(np.float32)
SAMPLES = [np.sort(RNG.permutation(500)[:size]) for size in (64, 200, 500)]


def rarity(rows=X):
    return Rarity.of(rows, SAMPLES, np.random.default_rng(1))


def test_it_has_the_mean_and_the_spread_of_distances():
    distances = np.square(RNG.normal(size=(500, 6))).sum(axis=1)
    found = rarity().in_units_of(distances, X)(X)
    assert (found.mean(), found.std()) == pytest.approx((distances.mean(), distances.std()))


@each(column=[0, 4], value=[-9.0, 9.0, 1e30, -1e30])
def test_a_value_beyond_all_others_is_rarer_than_any(column, value):
    odd = X.copy()
    odd[:, column] = value
    assert (rarity()(odd) >= rarity()(X) - 1e-12).all()
    assert rarity()(odd).mean() > rarity()(X).mean() + 0.1


def test_features_that_are_not_known_say_nothing():
    holed = X.copy()
    holed[:, 1] = np.nan
    found = rarity()
    without = Rarity(*(np.delete(array, 1, axis=1) for array in found[:3]), found.unit)
    np.testing.assert_allclose(found(holed), without(np.delete(X, 1, axis=1)), rtol=1e-12)
    blank = np.full((1, 5), np.nan, np.float32)
    told = found.in_units_of(np.arange(500.0), X)
    assert told(blank) == pytest.approx(told(X).mean())


@pytest.mark.parametrize("nothing", [np.nan, 3.0])
def test_a_feature_that_does_not_vary_or_is_not_known_has_one_bin(nothing):
    rows = X.copy()
    rows[:, 2] = nothing
    assert np.isfinite(rarity(rows)(rows)).all()


def test_outliers_that_are_many_and_alike_are_found_by_it():
    rng = np.random.default_rng(2)
    usual = np.sign(rng.normal(size=(600, 6))) * rng.normal(2, 0.3, size=(600, 6))
    crowd = rng.normal(0, 0.1, size=(60, 6))
    rows = np.concatenate([usual, crowd])
    detector = DSAOutlierDetector(n_estimators=4, random_state=0).fit(rows)
    distances = np.mean([member.distances(rows.astype(np.float32)) for member in detector._usual], axis=0)
    rare = detector._rarity(detector._usual[0].squash(rows.astype(np.float32)))
    np.testing.assert_allclose(-detector.score_samples(rows), np.maximum(distances, rare), rtol=1e-12)
    assert rare[600:].min() > np.quantile(rare[:600], 0.95)
    assert (detector.score_samples(rows)[600:] < np.median(detector.score_samples(rows)[:600])).all()

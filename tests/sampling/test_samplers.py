"""What is drawn is distributed as the codes are, lies between them, and depends on the seed alone."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each, pairs

from dsae.sampling import KINDS, Bounds, Mixture, between, fit_sampler, sampler_of, state_of


def gaussian(n=3000, width=4, seed=0):
    rng = np.random.default_rng(seed)
    return (5 + rng.normal(size=(n, width)) @ rng.normal(size=(width, width))).astype(np.float32)


def topk(n=300, width=30, k=4, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.random((n, width), np.float32) + np.repeat(rng.random((n // 10, width), np.float32), 10, axis=0)
    codes[codes < np.sort(codes, axis=1)[:, [-k]]] = 0
    return codes


def test_a_gaussian_gives_its_moments_back():
    codes = gaussian()
    made = fit_sampler(codes, n_components=1).sample(50_000, random_state=0)
    np.testing.assert_allclose(made.mean(axis=0), codes.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(made.T), np.cov(codes.T), rtol=0.1, atol=0.1)


def test_nothing_is_made_between_clusters():
    codes = np.concatenate([gaussian(400), gaussian(400, seed=1) + 100])
    made = fit_sampler(codes, n_components=4, random_state=0).sample(2000, random_state=0)
    near = made.mean(axis=1) < 50
    assert 0.4 < near.mean() < 0.6
    assert made[near].max() < codes[:400].max() + 20
    assert made[~near].min() > codes[400:].min() - 20


@each(kind=KINDS)
def test_dead_latents_and_copies_stay_what_they_are(kind):
    codes = gaussian(400)
    codes = np.column_stack([codes, np.full(400, 7, np.float32), np.zeros(400, np.float32), 2 * codes[:, 0]])
    made = fit_sampler(codes, kind, 3, random_state=0).sample(500, random_state=0)
    np.testing.assert_allclose(made[:, 4], 7, rtol=1e-6)
    np.testing.assert_allclose(made[:, 5], 0, atol=1e-6)
    np.testing.assert_allclose(made[:, 6], 2 * made[:, 0], rtol=1e-3, atol=1e-3)


def test_codes_that_are_all_the_same_are_drawn_as_they_are():
    codes = np.full((30, 3), 2, np.float32)
    for kind in KINDS:
        sampler = fit_sampler(codes, kind, 1)
        np.testing.assert_array_equal(sampler.sample(5), codes[:5])
        assert sampler.novelty is None
        assert "novelty unknown" in repr(sampler)


def test_a_mixture_tells_its_rounds_and_is_the_same_however_often(monkeypatch):
    codes, told = gaussian(800), []
    one = fit_sampler(codes, n_components=8, random_state=0, progress=lambda *done: told.append(done))
    assert told == [(min(60, 10 * i), 60) for i in range(1, len(told))] + [(60, 60)]
    monkeypatch.setattr("dsae.sampling._mixture._AT_ONCE", 60)
    other = fit_sampler(codes, n_components=8, random_state=0)
    np.testing.assert_array_equal(one.factors, other.factors)
    np.testing.assert_array_equal(one.sample(5, random_state=0), other.sample(5, random_state=0))


def test_temperature_scales_the_way_from_the_mean():
    sampler = fit_sampler(gaussian(500), n_components=1)
    center = sampler.center + sampler.means[0] @ sampler.axes
    plain = sampler.sample(50, random_state=3)
    for temperature in (0.25, 2.0):
        made = sampler.sample(50, random_state=3, temperature=temperature)
        np.testing.assert_allclose(made - center, temperature * (plain - center), rtol=1e-3, atol=1e-3)


def test_a_neighbour_is_on_the_segment_between_two_codes():
    codes = gaussian(60, 3)
    sampler = fit_sampler(codes, "neighbours")
    made = sampler.sample(40, random_state=0)
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    for z in made:
        to = np.linalg.norm(codes - z, axis=1)
        detour = to[:, None] + to - distances  # 0 on the segment
        np.fill_diagonal(detour, np.inf)
        i, j = np.unravel_index(detour.argmin(), detour.shape)
        assert detour[i, j] < 1e-3
        assert min((distances[i] < distances[i, j]).sum(), (distances[j] < distances[i, j]).sum()) <= 5


@each(temperature=[0.5, 1.0, 2.0])
def test_sparse_codes_stay_on_the_latents_of_a_pair(temperature):
    codes = topk()
    sampler = fit_sampler(sp.csr_matrix(codes), "neighbours", bounds=Bounds(0.0))
    made = sampler.sample(200, random_state=0, temperature=temperature)
    assert made.format == "csr"
    made = made.toarray()
    assert (made >= 0).all()
    on = codes > 0
    pairs = (on[:, None] | on[sampler.nearest]).reshape(-1, codes.shape[1])
    assert all((~pairs[:, z > 0]).sum(axis=1).min() == 0 for z in made)


def test_dense_and_csr_codes_are_moved_alike():
    codes = np.abs(gaussian(80))
    dense, sparse = (fit_sampler(rows, "neighbours", random_state=0) for rows in (codes, sp.csr_matrix(codes)))
    np.testing.assert_allclose(
        dense.sample(30, random_state=1), sparse.sample(30, random_state=1).toarray(), rtol=1e-5, atol=1e-5
    )
    assert dense.novelty == pytest.approx(sparse.novelty, rel=1e-3)


def test_novelty_tells_copies_from_new_codes():
    codes = gaussian(2000)
    assert 0.7 < fit_sampler(codes, n_components=1).novelty < 1.5
    assert fit_sampler(codes, "neighbours").novelty < 0.7


@pairs(kind=KINDS, n_rows=[2, 50, 500], low=[None, 4.0], high=[None, 6.0])
def test_a_seed_repeats_and_bounds_hold(kind, n_rows, low, high):
    codes = gaussian(n_rows)
    one, other = (
        fit_sampler(codes, kind, max(1, n_rows // 100), bounds=Bounds(low, high), random_state=5) for _ in "ab"
    )
    made = one.sample(100, random_state=2, temperature=1.5)
    np.testing.assert_array_equal(made, other.sample(100, random_state=2, temperature=1.5))
    assert (made != one.sample(100, random_state=3)).any()
    assert made.dtype == np.float32
    assert made.shape == (100, 4)
    assert low is None or made.min() >= low
    assert high is None or made.max() <= high


def test_of_many_rows_some_are_drawn(monkeypatch):
    monkeypatch.setattr("dsae.sampling._fit.MOST_ROWS", 40)
    codes = gaussian(100)
    sampler = fit_sampler(codes, "neighbours", random_state=0)
    assert sampler.n_rows == len(sampler.codes) == 40
    assert set(map(tuple, sampler.codes.tolist())) <= set(map(tuple, codes.tolist()))


def test_few_rows_make_fewer_gaussians_with_a_warning():
    with pytest.warns(UserWarning, match=r"^\[fit_sampler\] 100 Gaussians need 2000 rows, 20 each; got 75, so that 3"):
        sampler = fit_sampler(gaussian(75))
    assert isinstance(sampler, Mixture)
    assert len(sampler.weights) == 3


def test_what_is_refused():
    codes = gaussian(50)
    with pytest.raises(ValueError, match=r"\[fit_sampler\] kind must be one of mixture, neighbours; got 'mixtur'. Did"):
        fit_sampler(codes, "mixtur")
    with pytest.raises(ValueError, match=r'\[fit_sampler\] kind must be "neighbours" for CSR codes'):
        fit_sampler(sp.csr_matrix(codes))
    with pytest.raises(ValueError, match=r"\[fit_sampler\] There must be at least 2 rows; got 1"):
        fit_sampler(codes[:1])
    with pytest.raises(ValueError, match=r"\[fit_sampler\] X must be finite; it holds NaN, first in row 3"):
        fit_sampler(np.where(np.arange(50)[:, None] == 3, np.nan, codes))
    sampler = fit_sampler(codes, n_components=1)
    for n in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"\[sample\] n must be a whole number of at least 1"):
            sampler.sample(n)
    for temperature in (0, -1, 2.1, np.nan):
        with pytest.raises(ValueError, match=r"\[sample\] temperature must be a number in \(0, 2\]"):
            sampler.sample(1, temperature=temperature)


SAMPLERS = {
    "mixture": lambda: fit_sampler(gaussian(100), n_components=2, bounds=Bounds(-1.0, 20.0)),
    "dense": lambda: fit_sampler(gaussian(30), "neighbours"),
    "csr": lambda: fit_sampler(sp.csr_matrix(topk()), "neighbours", bounds=Bounds(0.0)),
}


@each(name=SAMPLERS)
def test_a_sampler_is_the_same_from_its_state(name):
    sampler = SAMPLERS[name]()
    again = sampler_of(state_of(sampler), Path("file"), sampler.n_components)
    one, other = (which.sample(20, random_state=0) for which in (sampler, again))
    np.testing.assert_array_equal(*(made.toarray() if sp.issparse(made) else made for made in (one, other)))
    assert repr(sampler) == repr(again)


def changed(state, **changes):
    return {name: value for name, value in {**state, **changes}.items() if value is not ...}


@each(
    case=[
        ("mixture", {"kind": "neighbours"}),
        ("mixture", {"axes": np.zeros((2, 9), "f4")}),
        ("mixture", {"weights": np.float64([0, 0])}),
        ("mixture", {"weights": np.float64([2, -1])}),
        ("mixture", {"means": np.zeros((2, 4))}),
        ("mixture", {"factors": np.zeros((2, 4, 3), "f4")}),
        ("mixture", {"low": 3.0, "high": 1.0}),
        ("mixture", {"n_rows": -1}),
        ("mixture", {"novelty": "high"}),
        ("mixture", {"center": ...}),
        ("mixture", {"more": 1}),
        ("dense", {"nearest": np.full((30, 5), 30, "i4")}),
        ("dense", {"nearest": np.full((30, 5), -1, "i4")}),
        ("dense", {"nearest": np.zeros((30, 0), "i4")}),
        ("dense", {"codes": np.zeros((29, 4), "f4")}),
        ("csr", {"indices": np.full(1200, 30, "i4")}),
        ("csr", {"indptr": np.zeros(301, "i4")}),
        ("csr", {"values": np.zeros(3, "f4")}),
    ]
)
def test_a_damaged_state_is_refused(case):
    name, changes = case
    sampler = SAMPLERS[name]()
    with pytest.raises(ValueError, match="file"):
        sampler_of(changed(state_of(sampler), **changes), Path("file"), sampler.n_components)


def test_what_lies_between_begins_and_ends_at_the_codes():
    a, b = gaussian(3), gaussian(3, seed=1)
    way = between(a, b, 5)
    assert way.shape == (3, 5, 4)
    np.testing.assert_array_equal(way[:, 0], a)
    np.testing.assert_array_equal(way[:, -1], b)
    np.testing.assert_allclose(np.diff(way, axis=1), np.broadcast_to((b - a)[:, None] / 4, (3, 4, 4)), atol=1e-5)
    np.testing.assert_allclose(between(b, a, 5)[:, ::-1], way, atol=1e-5)
    with pytest.raises(ValueError, match=r"\[interpolate\] n must be at least 2"):
        between(a, b, 1)
    with pytest.raises(ValueError, match=r"\[interpolate\] a and b must have as many rows; got 3 and 2"):
        between(a, b[:2], 4)

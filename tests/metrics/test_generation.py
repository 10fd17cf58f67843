"""Figures of made rows: closed forms, and what plain loops over all pairs say."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import sqrtm
from tests.covering import each

from dsae.metrics import generation


def itself(rows):
    return rows


def normal(n=300, width=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def standard(n=300, width=5, seed=0):
    """Rows whose mean is exactly 0 and whose covariance exactly 1."""
    rows = np.random.default_rng(seed).normal(size=(n, width))
    rows -= rows.mean(axis=0)
    return rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T


def test_the_same_rows_are_perfect_and_copies():
    X = normal()
    found = generation(X, X, train=normal(seed=1))
    assert found["frechet"] == pytest.approx(0, abs=1e-6)
    assert (found["precision"], found["recall"], found["one_nn"], found["novelty"]) == (1, 1, 0, 1)


def test_gaussians_are_as_far_apart_as_the_closed_form_says():
    X, scale, shift = standard(), np.array([0.5, 1, 2, 3, 1]), np.arange(5.0)
    found = generation(X, standard(seed=1) * scale + shift, features=itself)
    assert found["frechet"] == pytest.approx(np.square(scale - 1).sum() + np.square(shift).sum(), rel=1e-4)


def test_any_covariances_agree_with_the_root_of_their_product():
    X, Y = normal() @ normal(5, seed=2), normal(seed=1) @ normal(5, seed=3) + 1
    S, T = np.cov(X.T), np.cov(Y.T)
    wanted = np.square(X.mean(0) - Y.mean(0)).sum() + np.trace(S + T - 2 * np.real(sqrtm(S @ T)))
    assert generation(X, Y, features=itself)["frechet"] == pytest.approx(wanted, rel=1e-4)


def test_what_is_far_away_is_told_apart():
    found = generation(normal(), normal(seed=1) + 100)
    assert (found["precision"], found["recall"], found["one_nn"]) == (0, 0, 1)
    assert found["novelty"] is None


def test_one_of_two_clusters_is_precise_but_not_all():
    real = np.concatenate([normal(), normal(seed=1) + 100])
    found = generation(real, normal(seed=2), features=itself)
    assert found["precision"] > 0.8
    assert 0.3 < found["recall"] <= 0.5


def by_loops(real, made, train, k):
    """Distances of every pair, one at a time."""

    def distance(a, b):
        return float(np.sqrt(np.square(np.float64(a) - np.float64(b)).sum()))

    def inside(points, others):
        radius = [sorted(distance(a, b) for b in others)[k] for a in others]
        return np.mean([any(distance(x, o) <= r for o, r in zip(others, radius, strict=True)) for x in points])

    both, kind = [*real, *made], [0] * len(real) + [1] * len(made)
    right = 0
    for i, x in enumerate(both):
        others = [(distance(x, y), kind[j]) for j, y in enumerate(both) if j != i]
        right += min(others)[1] == kind[i]
    nearest = [np.median([min(distance(x, t) for t in train) for x in rows]) for rows in (made, real)]
    return {
        "precision": inside(made, real),
        "recall": inside(real, made),
        "one_nn": right / len(both),
        "novelty": nearest[0] / nearest[1],
    }


@each(k=[1, 3])
def test_neighbourhoods_are_what_the_loops_say(k):
    real, made, train = normal(30, 3), 0.8 * normal(30, 3, seed=1), normal(40, 3, seed=2)
    found = generation(real, made, train, itself, n_neighbors=k)
    for name, wanted in by_loops(real, made, train, k).items():
        assert found[name] == pytest.approx(wanted, rel=1e-6), name


def test_csr_rows_have_the_figures_of_dense_ones():
    rows = [np.maximum(normal(200, 90, seed), 0) for seed in range(3)]
    dense, sparse = generation(*rows), generation(*map(sp.csr_matrix, rows))
    for name, value in dense.items():
        assert sparse[name] == pytest.approx(value, rel=0.02, abs=0.02)


def test_features_come_first_and_rows_are_drawn():
    X = normal(500)
    first = generation(X, normal(seed=1) + 50 * (np.arange(5) > 0), features=lambda rows: rows[:, :1], max_rows=100)
    assert first["frechet"] < 0.1
    assert first["one_nn"] < 0.7
    again = generation(X, normal(seed=1), max_rows=100)
    assert again == generation(X, normal(seed=1), max_rows=100)
    assert again != generation(X, normal(seed=1), max_rows=100, random_state=1)


def test_a_novelty_without_a_unit_is_none():
    X = normal()
    assert generation(X, normal(seed=1), train=X)["novelty"] is None


def test_what_is_refused():
    X = normal()
    with pytest.raises(ValueError, match=r"\[generation\] made must have 5 columns, as many as real"):
        generation(X, X[:, :4])
    with pytest.raises(ValueError, match=r"\[generation\] train must have 5 columns, as many as real"):
        generation(X, X, X[:, :4])
    with pytest.raises(ValueError, match=r"\[generation\] max_rows must be more than n_neighbors, 3; got 3"):
        generation(X, X, max_rows=3)
    with pytest.raises(ValueError, match=r"\[generation\] made must have more than 3 rows; got 3"):
        generation(X, X[:3])
    with pytest.raises(
        ValueError, match=r"\[generation\] features must give finite numbers, \[n_rows, n\], for 300 rows"
    ):
        generation(X, X, features=lambda rows: rows[:, 0])
    with pytest.raises(ValueError, match=r"got shape \(300, 5\) with NaN or infinity"):
        generation(X, X, features=lambda rows: np.full(rows.shape, np.nan))
    with pytest.raises(ValueError, match=r"\[generation\] max_rows must be a whole number of at least 1"):
        generation(X, X, max_rows=0)

"""Laws of the reconstruction errors."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import metrics


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    X = rng.random((65, 9)).astype(np.float32)
    X[rng.random(X.shape) < 0.5] = 0
    X[3] = 0
    return X, np.clip(X + rng.normal(0, 0.2, X.shape), 0, 1).astype(np.float32)


def streamed(X, X_hat, batch):
    errors = metrics.Reconstruction(metrics=["bce"])
    for start in range(0, X.shape[0], batch):
        errors.update(X[start : start + batch], X_hat[start : start + batch])
    return errors.result()


@each(batch=[1, 7, 64], kind=[np.asarray, sp.csr_matrix])
def test_result_does_not_depend_on_batches_or_storage(pair, batch, kind):
    X, X_hat = pair
    whole = streamed(X, X_hat, len(X))
    assert streamed(kind(X), X_hat, batch) == pytest.approx(whole, rel=1e-12)


@each(batch=[1, 7, 65])
@each(kind=[np.asarray, sp.csr_matrix])
def test_only_known_values_count(pair, batch, kind):
    X, X_hat = (a.astype(np.float64) for a in pair)
    X[np.random.default_rng(2).random(X.shape) < 0.4] = np.nan
    X[:, 4] = np.nan
    known = ~np.isnan(X)
    squared = np.square(X - X_hat)[known].sum()
    found = streamed(kind(X), X_hat, batch)
    assert found["mse"] == pytest.approx(squared / known.sum())
    assert found["squared_error_per_row"] == pytest.approx(squared / 65)
    about = np.delete(X, 4, axis=1) - np.nanmean(np.delete(X, 4, axis=1), axis=0)
    assert found["fvu"] == pytest.approx(squared / np.nansum(about**2))
    rows = [(x[k], x_hat[k]) for x, x_hat, k in zip(X, X_hat, known, strict=True)]
    assert found["cosine"] == pytest.approx(np.mean([metrics.cosine([x], [x_hat]) for x, x_hat in rows]))
    assert found["bce"] == pytest.approx(np.mean([metrics.bce([x], [x_hat]) for x, x_hat in rows]), rel=1e-5)
    alone = [np.square(x - x_hat).sum() for x, x_hat in rows]
    np.testing.assert_allclose(metrics.row_squared_errors(kind(X), X_hat), alone)


def test_rows_of_which_nothing_is_known_have_no_error():
    errors = metrics.Reconstruction()
    errors.update([[np.nan, np.nan]], [[1.0, 2.0]])
    assert math.isnan(errors.result()["mse"])
    errors.update([[1.0, np.nan], [3.0, np.nan]], [[1.0, 2.0], [2.0, 2.0]])
    assert (errors.result()["mse"], errors.result()["fvu"], errors.n_samples) == (0.5, 0.5, 3)


def test_pieces_of_a_wide_batch_agree(pair, monkeypatch):
    X, X_hat = pair
    whole = streamed(X, X_hat, len(X))
    monkeypatch.setattr("dsae.metrics._reconstruction._VALUES_AT_ONCE", 20)
    assert streamed(X, X_hat, len(X)) == pytest.approx(whole, rel=1e-12)


def test_errors_follow_their_formulas(pair):
    X, X_hat = (a.astype(np.float64) for a in pair)
    squared = ((X - X_hat) ** 2).sum()
    assert metrics.squared_error_per_row(*pair) == pytest.approx(squared / 65)
    assert metrics.mse(*pair) == pytest.approx(squared / 65 / 9)
    assert metrics.fvu(*pair) == pytest.approx(squared / ((X - X.mean(axis=0)) ** 2).sum())
    p = np.clip(X_hat, 1e-7, 1 - 1e-7)
    entropy = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()
    assert metrics.bce(*pair) == pytest.approx(entropy)
    assert metrics.row_squared_errors(*pair).mean() == pytest.approx(squared / 65)


def test_fvu_keeps_its_digits_far_from_zero():
    rng = np.random.default_rng(1)
    X = rng.normal(0, 1, (500, 3)) + 1e6
    errors = metrics.Reconstruction()
    for row in X:
        errors.update(row[None], np.full((1, 3), 1e6))
    assert errors.result()["fvu"] == pytest.approx(((X - 1e6) ** 2).sum() / ((X - X.mean(0)) ** 2).sum(), rel=1e-9)


def test_the_mean_leaves_all_variance_unexplained():
    X = np.random.default_rng(0).random((20, 4))
    assert metrics.fvu(X, np.broadcast_to(X.mean(axis=0), X.shape)) == pytest.approx(1)
    assert metrics.fvu(X, X) == 0


def test_constant_rows():
    X = np.ones((3, 2))
    assert metrics.fvu(X, X) == 0
    assert metrics.fvu(X, X + 1) == math.inf


def test_cosine_of_zero_rows():
    zero, one = np.zeros((1, 3)), np.ones((1, 3))
    assert (metrics.cosine(zero, zero), metrics.cosine(zero, one), metrics.cosine(one, 2 * one)) == (
        1,
        0,
        pytest.approx(1),
    )


@each({"which, value": [("X", -0.1), ("X", 1.1), ("X_hat", -0.1), ("X_hat", 1.1), ("X_hat", np.nan)]})
def test_cross_entropy_refuses_values_outside_its_range(which, value):
    arrays = {"X": np.full((2, 2), 0.5), "X_hat": np.full((2, 2), 0.5)}
    arrays[which][1, 1] = value
    with pytest.raises(ValueError, match=rf"\[bce\] {which} must lie in \[0, 1\]"):
        metrics.bce(**arrays)


def test_cross_entropy_is_finite_at_the_ends():
    assert metrics.bce([[0.0, 1.0]], [[1.0, 0.0]]) == pytest.approx(-2 * math.log(1e-7), rel=1e-6)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape; got"):
        metrics.mse(np.zeros((2, 3)), np.zeros((3, 2)))
    errors = metrics.Reconstruction()
    errors.update(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must have 3 columns"):
        errors.update(np.zeros((2, 2)), np.zeros((2, 2)))


def test_no_rows_no_result():
    with pytest.raises(ValueError, match="No rows"):
        metrics.Reconstruction().result()

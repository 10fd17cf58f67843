"""Models that take NaN: what stands for values that are not known, and guesses at them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each, pairs

from dsae.runtime import Runtime, load
from dsae.store import Inputs


def with_missing(make_model, **config):
    """A model that takes NaN; its features lie in [-1, 1]."""
    inputs = Inputs(np.linspace(-0.5, 0.5, 12, dtype=np.float32), *np.full((2, 12), [[-1], [1]], np.float32))
    return make_model(missing="mask", model={"inputs": inputs}, **config)


@pairs(kind=["dense", "csr"], dtype=[np.float32, np.float64], code=["identity", "topk", "batchtopk"])
def test_the_mean_stands_for_what_is_not_known(make_model, rng, kind, dtype, code):
    model = with_missing(make_model, code_activation=code, **({} if code == "identity" else {"k": 2}))
    runtime, X = Runtime(model, dtype), rng.normal(size=(40, 12)).astype(np.float32)
    X[rng.random(X.shape) < 0.3] = np.nan
    X[3] = np.nan
    given = sp.csr_matrix(X) if kind == "csr" else X
    whole = np.where(np.isnan(X), model.inputs.mean, X)
    np.testing.assert_allclose(runtime.encode(given), runtime.encode(whole), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(runtime.reconstruct(given), runtime.reconstruct(whole), rtol=1e-5, atol=1e-6)
    errors = runtime.reconstruction_error(given, per_feature=True)
    assert (np.isnan(errors) == np.isnan(X)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        alone = np.nanmean(errors, axis=1)
    with pytest.warns(UserWarning, match="known of 1 rows, the first of which is row 103: they get NaN"):
        np.testing.assert_allclose(runtime.reconstruction_error(given, first_row=100), alone, rtol=1e-5)
    with pytest.warns(UserWarning, match="known of 1 rows, the first of which is row 3: they get NaN"):
        np.testing.assert_allclose(runtime.score_samples(given), -alone, rtol=1e-5)
    assert np.isnan(alone[3])


@each(kind=["dense", "csr"])
def test_guesses_are_the_reconstruction_within_the_range_of_training(make_model, rng, kind, monkeypatch):
    monkeypatch.setattr("dsae.runtime._layers._VALUES_AT_ONCE", 100)
    model = with_missing(make_model)
    runtime, X = Runtime(model), 3 * rng.normal(size=(40, 12))
    X[rng.random(X.shape) < 0.3] = np.nan
    X[17] = np.nan
    X[20] = 0.1
    given = sp.csr_matrix(X) if kind == "csr" else X
    with pytest.warns(UserWarning, match=r"^\[impute\] No value is known of 1 rows, the first of which is row 17"):
        found = runtime.impute(given)
    assert type(found) is type(given)
    found = found.toarray() if kind == "csr" else found
    assert found.dtype == X.dtype
    holes = np.isnan(X)
    np.testing.assert_array_equal(found[~holes], X[~holes])
    guessed = np.clip(runtime.reconstruct(X), -1, 1)
    guessed[17] = model.inputs.mean
    np.testing.assert_allclose(found[holes], guessed[holes], rtol=1e-5, atol=1e-6)
    assert (np.abs(runtime.reconstruct(X)[holes]) > 1).any(), "the range matters"
    whole = runtime.impute(found)
    np.testing.assert_array_equal(whole, found)
    assert whole is not found


def test_a_model_that_takes_nan_is_read_with_what_stands_for_it(make_model, tmp_path, rng):
    model = with_missing(make_model)
    runtime = load(Runtime(model).save(tmp_path / "model"))
    assert runtime.missing == "mask"
    X = np.where(rng.random((9, 12)) < 0.4, np.nan, rng.normal(size=(9, 12)))
    np.testing.assert_array_equal(runtime.impute(X), Runtime(model).impute(X))
    with pytest.raises(ValueError, match=r"^\[encode\] X must be finite; it holds infinity"):
        runtime.encode(np.where(np.isnan(X), np.inf, X))
    with pytest.raises(ValueError, match=r"^\[save\] A model with missing=\"mask\", and no other, must have inputs"):
        Runtime(replace(model, inputs=None)).save(tmp_path / "other")

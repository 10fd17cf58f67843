"""An estimator that makes rows: from drawn codes, between rows, and clean ones from noisy ones."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from tests.covering import each, pairs
from tests.estimators.small import X, rows, small

from dsae import DeepSparseAutoencoder, load
from dsae.data import ArraySource
from dsae.sampling import Mixture, Neighbours

DICTIONARY = {"code_activation": "topk", "k": 2, "n_components": 8, "hidden_layer_sizes": ()}
CODES = {
    "identity": {},
    "relu": {"code_activation": "relu"},
    "sigmoid": {"code_activation": "sigmoid"},
    "softmax": {"code_activation": "softmax"},
    "topk": DICTIONARY,
    "batchtopk": DICTIONARY | {"code_activation": "batchtopk"},
    "jumprelu": DICTIONARY | {"code_activation": "jumprelu"},
}
MIXED = ("identity", "relu", "sigmoid")


@pytest.fixture(scope="module")
def fitted():
    """One model for each code; what a test changes is a copy of it."""
    models = {}

    def fitted(code):
        if code not in models:
            models[code] = small(**CODES[code], max_iter=4).fit(X)
        dsa = DeepSparseAutoencoder(**models[code].get_params())
        vars(dsa).update(vars(models[code]))
        return dsa

    return fitted


@pairs(code=CODES, temperature=[0.5, 1.0, 2.0], place=["memory", "folder"])
def test_every_code_can_be_sampled(fitted, tmp_path, code, temperature, place):
    kind = "mixture" if code in MIXED else "neighbours"
    dsa = fitted(code).fit_sampler(X, kind, 4)
    assert isinstance(dsa.sampler_, Mixture if kind == "mixture" else Neighbours)
    maker = dsa if place == "memory" else load(dsa.save(tmp_path / "model"))
    made = maker.sample(30, random_state=0, temperature=temperature)
    assert made.shape == (30, 16)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made, dsa.runtime_.sample(30, random_state=0, temperature=temperature))
    codes = dsa.runtime_.sample_codes(30, random_state=0, temperature=temperature)
    values = codes.toarray() if sp.issparse(codes) else codes
    assert sp.issparse(codes) == (code in ("topk", "batchtopk", "jumprelu"))
    assert code == "identity" or values.min() >= 0
    assert code not in ("sigmoid", "softmax") or values.max() <= 1
    assert code != "topk" or ((values > 0).sum(axis=1) <= 2).all()


@each(code=[code for code in CODES if code not in MIXED])
def test_a_mixture_of_codes_that_are_no_box_is_refused(fitted, code):
    with pytest.raises(ValueError, match=rf'\[fit_sampler\] kind must be "neighbours" for {code} codes'):
        fitted(code).fit_sampler(X)


def test_samples_are_distributed_as_the_rows():
    dsa = small(max_iter=40, density=1.0, shrink="none").fit(X).fit_sampler(X, n_components=4)
    made, rebuilt = dsa.sample(4000, random_state=0), dsa.runtime_.reconstruct(X)
    np.testing.assert_allclose(made.mean(axis=0), rebuilt.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(made.std(axis=0), rebuilt.std(axis=0), rtol=0.4, atol=0.2)


def test_streams_and_arrays_give_one_sampler(fitted, monkeypatch):
    monkeypatch.setattr("dsae.estimators._sampler.MOST_ROWS", 60)
    monkeypatch.setattr("dsae.estimators._sampler._ROWS_AT_ONCE", 7)
    dsa = fitted("identity")
    one = dsa.fit_sampler(X, n_components=2).sampler_
    other = dsa.fit_sampler(ArraySource(X), n_components=2).sampler_
    assert one.n_rows == other.n_rows == 60
    np.testing.assert_array_equal(one.means, other.means)
    np.testing.assert_array_equal(one.factors, other.factors)


def test_training_on_makes_a_sampler_outdated(fitted, tmp_path):
    dsa = fitted("identity")
    assert dsa.sampler_ is None
    dsa.fit_sampler(X, n_components=2)
    assert repr(dsa.sampler_).startswith("Mixture(4 numbers, from 150 codes, novelty ")
    folder = dsa.save(tmp_path / "model")
    assert list(folder.glob("sampler-*.safetensors"))
    again = DeepSparseAutoencoder.load(folder)
    np.testing.assert_array_equal(again.sample(3, random_state=1), dsa.sample(3, random_state=1))
    again.partial_fit(X)
    assert again.sampler_ is None
    again.save(folder)
    assert not list(folder.glob("sampler-*.safetensors"))
    with pytest.raises(
        ValueError, match=r"^\[sample\] The model must have a sampler; it has none. Fit one: fit_sampler"
    ):
        load(folder).sample(3)


def test_rescaled_atoms_leave_the_sampler_behind(fitted):
    dsa = fitted("topk").fit_sampler(X, "neighbours")
    assert dsa.normalize_atoms().sampler_ is None


def test_what_lies_between_two_rows_begins_and_ends_at_their_reconstructions(fitted):
    dsa = fitted("identity")
    way = dsa.interpolate(X[:3], X[3:6], n=5)
    assert way.shape == (3, 5, 16)
    for at, ends in ((0, X[:3]), (-1, X[3:6])):
        np.testing.assert_allclose(way[:, at], dsa.runtime_.reconstruct(ends), rtol=1e-5, atol=1e-5)
    codes = (dsa.transform(X[:3]) + dsa.transform(X[3:6])) / 2
    np.testing.assert_allclose(way[:, 2], dsa.inverse_transform(codes), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(dsa.interpolate(sp.csr_matrix(X[:3]), ArraySource(X[3:6]), 5), way)
    with pytest.raises(ValueError, match=r"\[interpolate\] a and b must have as many rows; got 3 and 2"):
        dsa.interpolate(X[:3], X[:2])
    with pytest.raises(ValueError, match="8 features, but DeepSparseAutoencoder is expecting 16"):
        dsa.interpolate(X[:3], X[:3, :8])


@each(how=["noise", "mask", "pairs", "missing"])
def test_a_model_that_saw_noise_denoises_in_one_pass(how, tmp_path):
    noisy = X + np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    settings = {"noise": {"noise": 1.0}, "mask": {"mask": (0.0, 0.5)}, "missing": {"missing": "mask"}}.get(how, {})
    dsa = small(max_iter=2, **settings).fit(noisy if how == "pairs" else X, target=X if how == "pairs" else None)
    found = dsa.denoise(noisy)
    np.testing.assert_array_equal(found, dsa.runtime_.reconstruct(noisy))
    np.testing.assert_array_equal(load(dsa.save(tmp_path / "model")).denoise(noisy), found)
    np.testing.assert_allclose(dsa.denoise(ArraySource(noisy)), found, rtol=1e-5, atol=1e-5)


def test_denoising_brings_rows_nearer_to_clean_ones():
    train, clean = np.split(rows(550), [400])
    noisy = clean + 0.5 * np.random.default_rng(0).normal(size=clean.shape).astype(np.float32)
    dsa = small(max_iter=60, density=1.0, shrink="none", noise=0.5).fit(train)
    assert np.square(dsa.denoise(noisy) - clean).mean() < 0.8 * np.square(noisy - clean).mean()


@each(settings=[{}, {"missing": "mask", "mask": (0, 0)}])
def test_a_model_that_saw_clean_rows_says_how_to_get_one(settings):
    dsa = small(max_iter=1, **settings).fit(X)
    with pytest.raises(ValueError, match=r"^\[denoise\] The model must be trained on rows with noise.* noise=1.0"):
        dsa.denoise(X)


def test_what_is_not_fitted_says_so():
    for verb, given in (("fit_sampler", (X,)), ("sample", (3,)), ("interpolate", (X, X)), ("denoise", (X,))):
        with pytest.raises(NotFittedError):
            getattr(small(), verb)(*given)


def test_a_source_in_the_wrong_columns_is_refused(fitted):
    with pytest.raises(ValueError, match=r"\[fit_sampler\] X must have 16 columns"):
        fitted("identity").fit_sampler(ArraySource(X[:, :8]))

"""Selection keeps the most important features, however it came by the model."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tests.covering import each

from dsae import DeepSparseAutoencoder, DSAFeatureSelector

RNG = np.random.default_rng(0)
SIGNAL = (RNG.normal(size=(300, 2)) @ RNG.normal(size=(2, 6))).astype(np.float32)
X = np.hstack([RNG.normal(size=(300, 10)).astype(np.float32), SIGNAL])
MODEL = {"n_components": 2, "hidden_layer_sizes": (), "density": 0.4, "scale": True, "max_iter": 80, "batch_size": 32}


@pytest.fixture(scope="module")
def dsa():
    return DeepSparseAutoencoder(**MODEL, random_state=0).fit(X)


def test_what_many_features_share_is_kept_and_noise_is_not():
    selector = DSAFeatureSelector(DeepSparseAutoencoder(**MODEL, random_state=0), n_features_to_select=6).fit(X)
    assert (selector.get_support(indices=True) >= 10).sum() >= 5
    np.testing.assert_array_equal(selector.transform(X), X[:, selector.get_support()])


@each(kind=["estimator", "runtime", "folder"])
def test_a_fitted_model_is_used_as_it_is(dsa, kind, tmp_path):
    model = {"estimator": dsa, "runtime": dsa.runtime_, "folder": tmp_path / "model"}[kind]
    dsa.save(tmp_path / "model")
    selector = DSAFeatureSelector(model, n_features_to_select=4, prefit=True).fit(X)
    best = np.argsort(-dsa.feature_importances_)[:4]
    np.testing.assert_array_equal(selector.get_support(indices=True), np.sort(best))
    np.testing.assert_array_equal(selector.feature_importances_, dsa.feature_importances_)


@each({"asked, n": [(None, 8), (5, 5), (np.int64(5), 5), (0.25, 4), (0.001, 1), (1.0, 16)]})
def test_how_many_are_kept(dsa, asked, n):
    selector = DSAFeatureSelector(dsa, n_features_to_select=asked, prefit=True).fit(X)
    assert selector.n_features_ == selector.get_support().sum() == n


def test_names_and_sparse_rows_pass_through(dsa):
    named = pd.DataFrame(X).add_prefix("gene ")
    selector = DSAFeatureSelector(dsa, n_features_to_select=3, prefit=True).fit(named)
    kept = selector.get_support(indices=True)
    assert list(selector.get_feature_names_out()) == [f"gene {j}" for j in kept]
    sparse = DSAFeatureSelector(dsa, n_features_to_select=3, prefit=True).fit(sp.csr_matrix(X))
    np.testing.assert_array_equal(sparse.transform(sp.csr_matrix(X)).toarray(), X[:, kept])


def test_columns_of_other_names_are_refused():
    named = pd.DataFrame(X).add_prefix("gene ")
    dsa = DeepSparseAutoencoder(n_components=4, hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(named)
    selector = DSAFeatureSelector(dsa, prefit=True)
    with pytest.raises(ValueError, match=r"the model's columns in their order, gene 0, gene 1.*; got gene 15, gene 14"):
        selector.fit(named[named.columns[::-1]])


def test_the_default_in_a_pipeline():
    pipeline = make_pipeline(DSAFeatureSelector(n_features_to_select=6, random_state=0), LogisticRegression())
    assert pipeline.fit(X, X[:, 12] > 0).score(X, X[:, 12] > 0) > 0.8

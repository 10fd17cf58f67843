"""Bad data and settings are refused with what to do, and change nothing."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tests.covering import each
from tests.estimators.small import X, small

BAD_DATA = {
    "wrong width": (X[:, :5], "X has 5 features, but DeepSparseAutoencoder is expecting 16 features as input"),
    "nan": (np.where(X > 0, X, np.nan), r"must be finite; it holds NaN, first in row \d"),
    "inf": (np.where(X > 0, X, np.inf), "must be finite; it holds infinity"),
    "no rows": (X[:0], r"has 0 sample\(s\)"),
    "one dimension": (X[0], r"must be 2-D, \[n_samples, n_features\]; got 1-D with shape \(16,\)"),
    "text": (np.array([["a"] * 16]), "must hold numbers; got dtype <U1"),
}


@each(kind=sorted(BAD_DATA))
def test_bad_data_is_refused_in_use(kind):
    bad, message = BAD_DATA[kind]
    with pytest.raises(ValueError, match=message):
        small(max_iter=1).fit(X).transform(bad)


@each(kind=sorted(set(BAD_DATA) - {"wrong width"}))
def test_bad_data_is_refused_in_training(kind):
    bad, message = BAD_DATA[kind]
    with pytest.raises(ValueError, match=r"\[fit\] X " + message):
        small().fit(bad)


@each(
    {
        "settings, message": [
            ({"density": 0}, r"density must be a number in \(0, 1\]; got 0"),
            ({"density": 1.5}, r"density must be a number in \(0, 1\]; got 1.5"),
            ({"density": {"encoder.7": 0.1}}, "density has no setting 'encoder.7'"),
            (
                {"shrink": "prune"},
                "shrink must be one of random, gradient, saliency, magnitude, tempered, set, rigl, granet, none; "
                "got 'prune'",
            ),
            ({"shrink": "none"}, r"shrink='none' keeps every weight and needs density=1.0; got density=0.3"),
            ({"code_activation": "topk", "k": 5}, "k must be at most n_components, the width of the code; got k=5"),
            ({"code_activation": "topk"}, "needs k, the non-zeros per code"),
            ({"k": 3}, "k has a meaning for code_activation topk, batchtopk and jumprelu"),
            ({"activation": "rellu"}, "Did you mean 'relu'"),
            (
                {"loss": "bce", "output_activation": "identity"},
                "loss='bce' needs output_activation='sigmoid'; got 'identity'",
            ),
            ({"loss": "bce"}, r"needs X in \[0, 1\]; got values from 0"),
            ({"target_rate": 0.1}, "target_rate is for sigmoid and softmax codes"),
            ({"max_iter": 0}, "max_iter must be a whole number of at least 1; got 0"),
            ({"n_components": 2.5}, "n_components must be a whole number"),
            ({"hidden_layer_sizes": (0,)}, "every width in hidden_layer_sizes must be a whole number"),
            ({"learning_rate_init": -1}, r"learning_rate_init must be a number in \(0, inf\)"),
            ({"init": [(np.eye(3), np.zeros(3))]}, r"init must give one \(weight \[out, in\], bias \[out\]\)"),
            ({"init": 5}, "init must be a fitted model, a model folder, or"),
        ]
    }
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings).fit(X)


def test_an_unfitted_model_says_so(tmp_path):
    for call in (lambda d: d.transform(X), lambda d: d.save(tmp_path / "m"), lambda d: d.score(X)):
        with pytest.raises(NotFittedError):
            call(small())


def test_training_without_torch_says_what_to_install():
    code = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
from tests.covering import each
import dsae
dsae.DeepSparseAutoencoder().fit([[1.0]])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'Training needs torch: pip install "dsae[train]"' in done.stderr


def test_target_rate_of_one_is_refused():
    with pytest.raises(ValueError, match="target_rate must be below 1"):
        small(code_activation="sigmoid", target_rate=1.0).fit(X)


def test_init_of_another_shape_is_refused():
    first = small(max_iter=1).fit(X)
    with pytest.raises(
        ValueError, match=r"\[fit\] The model to start from \(init or warm_start\) must have the layers"
    ):
        small(init=first, hidden_layer_sizes=()).fit(X)


def test_init_that_a_search_has_unfitted_is_refused_with_advice():
    dsa = clone(small(init=small(max_iter=1).fit(X)))
    with pytest.raises(NotFittedError, match=r"init must be fitted; .*pass init=dsa\.runtime_ instead"):
        dsa.fit(X)
    assert clone(small(init=small(max_iter=1).fit(X).runtime_)).fit(X).n_iter_ > 0


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    dsa = small(max_iter=1).fit(X)
    with pytest.raises(FloatingPointError):
        dsa.set_params(learning_rate_init=1e30, max_iter=5).fit(X[:, :5])
    assert dsa.n_features_in_ == 16
    assert np.isfinite(dsa.score(X))

"""A folder gives back the parameters of its estimator as they were given."""

import inspect
import json
import re

import numpy as np
import pytest
from tests.covering import each

from dsae import DeepSparseAutoencoder, DSAOutlierDetector, DSARecommender

X = np.random.default_rng(0).poisson(3, (60, 12)).astype("f4")

# Values other than the defaults, in sets that go together.
AUTOENCODERS = [
    {},
    {"n_components": 5, "hidden_layer_sizes": (8, 6), "decoder_layer_sizes": (7,), "activation": "sigmoid"},
    {"code_activation": "topk", "k": 3, "hidden_layer_sizes": (), "matryoshka": (2, 8), "n_components": 10},
    {"output_activation": "relu", "input_transform": "log1p", "block_size": 4, "density": {"encoder.0": 0.5}},
    {
        "density": 0.7,
        "shrink": "random",
        "l1": 0.1,
        "l2": 1e-3,
        "contractive": 0.01,
        "schedule": "stagewise",
        "max_iter": 8,
    },
    {"code_activation": "sigmoid", "target_rate": 0.2, "warm_start": True, "batch_size": 16, "device": "cpu"},
    {"init_topology": "neighbours", "zero_diagonal": True, "shrink": "random", "hidden_layer_sizes": ()},
    {"learning_rate_init": 0.01, "early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 3},
    {"tol": 1e-3, "scale": True, "missing": "mask", "mask": (0, 0), "precision": "float32", "verbose": 0},
    {"noise": 0.1, "mask": (0.1, 0.4), "mask_rescale": False, "emphasis": 2, "random_state": 7},
    {"loss": "poisson", "mask": 0.2, "code_activation": "relu", "sparse_output": True, "checkpoint_every": 3.5},
    {"loss": "mse", "mask": 0, "missing": "mask", "max_iter": 2},
]
DETECTORS = [
    {},
    {"n_estimators": 3, "contamination": 0.2, "missing": "mask", "random_state": 4},
]
RECOMMENDERS = [{}, {"n_neighbours": 3, "ridge": 2, "unseen": 0.5, "discount": 0.0, "grown": 0.25, "random_state": 3}]
CASES = [
    *((DeepSparseAutoencoder, {"max_iter": 2, "n_components": 4, "density": 0.8} | each) for each in AUTOENCODERS),
    *((DSAOutlierDetector, {"n_estimators": 2} | each) for each in DETECTORS),
    *((DSARecommender, each) for each in RECOMMENDERS),
]


@each({"kind, given": CASES})
def test_parameters_come_back_as_they_were_given(kind, given, tmp_path):
    estimator = kind(**given).fit(np.minimum(X, 1) if kind is DSARecommender else X)
    folder = estimator.save(tmp_path / "model")
    assert kind.load(folder).get_params() == estimator.get_params()
    again = kind.load(kind.load(folder).save(tmp_path / "again"))
    assert again.get_params() == kind(**given).get_params()


@each(kind=[DeepSparseAutoencoder, DSAOutlierDetector, DSARecommender])
def test_every_parameter_is_tried_with_a_value_of_its_own(kind):
    defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
    tried = {name for each, given in CASES if each is kind for name in given if given[name] != defaults[name]}
    others = {"init", "checkpoint", "estimator"} | (
        {"verbose", "distributed"} if kind is DeepSparseAutoencoder else set()
    )
    assert tried | others >= set(defaults)


def test_partial_fit_keeps_them_too(tmp_path):
    dsa = DeepSparseAutoencoder(4, missing="mask", mask=(0, 0), random_state=0).partial_fit(X)
    loaded = DeepSparseAutoencoder.load(dsa.save(tmp_path / "model"))
    assert loaded.get_params() == dsa.get_params()
    np.testing.assert_array_equal(loaded.partial_fit(X).transform(X), dsa.partial_fit(X).transform(X))


def test_a_detector_keeps_the_parameters_of_its_members(tmp_path):
    own = DeepSparseAutoencoder(2, hidden_layer_sizes=(6,), density=0.9, max_iter=2)
    detector = DSAOutlierDetector(own, n_estimators=2, random_state=0).fit(X)
    loaded = DSAOutlierDetector.load(detector.save(tmp_path / "detector"))
    assert loaded.get_params() == detector.get_params() | {"estimator": loaded.estimator}
    assert loaded.estimator.get_params() == own.get_params()
    np.testing.assert_array_equal(loaded.fit(X).score_samples(X), detector.score_samples(X))


def test_paths_and_generators_are_not_kept(tmp_path):
    """Where a fit writes is not for a folder from elsewhere to say."""
    first = DeepSparseAutoencoder(4, max_iter=1).fit(X).save(tmp_path / "first")
    given = {"init": str(first), "checkpoint": tmp_path / "state", "random_state": np.random.RandomState(0)}
    dsa = DeepSparseAutoencoder(4, max_iter=1, **given).fit(X)
    loaded = DeepSparseAutoencoder.load(dsa.save(tmp_path / "model"))
    assert loaded.get_params() == dsa.get_params() | dict.fromkeys(given)
    assert str(tmp_path) not in (tmp_path / "model" / "config.json").read_text()


@each(
    {
        "given, message": [
            ({"n_componets": 3}, "DeepSparseAutoencoder has no parameter 'n_componets' to be kept. Did you mean"),
            ({"checkpoint": "/tmp/x"}, "DeepSparseAutoencoder has no parameter 'checkpoint' to be kept."),
            ([1], "The parameters of a DeepSparseAutoencoder must be a mapping; got list."),
        ]
    }
)
def test_what_are_no_parameters_is_refused(given, message, tmp_path):
    folder = DeepSparseAutoencoder(4, max_iter=1).fit(X).save(tmp_path / "model")
    head = folder / "config.json"
    content = json.loads(head.read_text())
    content["training"]["given"] = given
    head.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(f"[load] {folder}: {message}")):
        DeepSparseAutoencoder.load(folder)

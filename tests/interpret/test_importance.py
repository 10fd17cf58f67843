"""Laws of feature importance."""

import numpy as np
import pytest
from tests.covering import each

from dsae.interpret import feature_importances
from dsae.runtime import Runtime

ARCHITECTURES = [{}, {"hidden_layer_sizes": (8,)}, {"hidden_layer_sizes": (9, 7), "decoder_layer_sizes": ()}]


@each(method=["strength", "path"], config=ARCHITECTURES)
def test_importances_are_shares(make_model, method, config):
    importances = feature_importances(make_model(**config), method=method)
    assert importances.shape == (12,)
    assert importances.min() >= 0
    assert importances.sum() == pytest.approx(1)


@each(config=ARCHITECTURES)
def test_methods_follow_their_formulas(make_model, config):
    model = make_model(**config)
    weights = [np.abs(layer.to_dense()) for name, layer in model.layers.items() if name.startswith("encoder")]
    product = weights[0]
    for weight in weights[1:]:
        product = weight @ product
    for method, matrix in (("strength", weights[0]), ("path", product)):
        expected = matrix.sum(axis=0) / matrix.sum()
        np.testing.assert_allclose(feature_importances(model, method=method), expected, rtol=1e-6)


def test_an_input_without_edges_counts_nothing_and_a_runtime_serves_as_well(make_model):
    model = make_model(live=0.2)
    lonely = model.layers["encoder.0"].to_dense().any(axis=0)
    importances = feature_importances(Runtime(model))
    np.testing.assert_array_equal(importances > 0, lonely)


def test_a_dead_end_counts_on_no_path(make_model):
    model = make_model(hidden_layer_sizes=(6,), live=0.3, seed=3)
    first, second = (model.layers[f"encoder.{i}"].to_dense() != 0 for i in (0, 1))
    reaches = (second.astype(int) @ first.astype(int)).any(axis=0)
    assert not reaches.all()
    np.testing.assert_array_equal(feature_importances(model, method="path") > 0, reaches)


def test_scale_undoes_a_change_of_unit(make_model):
    model = make_model()
    scale = np.linspace(0.5, 3, 12)
    topology, values, bias = model.layers["encoder.0"]
    model.layers["encoder.0"] = type(model.layers["encoder.0"])(
        topology, (values / scale[topology.indices]).astype(np.float32), bias
    )
    np.testing.assert_allclose(feature_importances(model, scale=scale), feature_importances(make_model()), rtol=1e-5)


def test_no_weights_tell_nothing_apart(make_model):
    np.testing.assert_allclose(feature_importances(make_model(live=0.0)), np.full(12, 1 / 12))


def test_bad_arguments_are_refused(make_model):
    with pytest.raises(ValueError, match="method must be one of sensitivity, strength, path; got 'paths'"):
        feature_importances(make_model(), method="paths")
    for scale in (np.ones(3), -np.ones(12), np.full(12, np.nan)):
        with pytest.raises(ValueError, match="scale must hold 12 numbers"):
            feature_importances(make_model(), scale=scale)


def test_what_training_gathered_is_taken_as_it_is_and_strength_stands_in(make_model):
    gathered = np.arange(12, dtype=np.float32)
    model = make_model(model={"importance": gathered})
    for scale in (None, np.linspace(1, 2, 12)):
        np.testing.assert_allclose(feature_importances(Runtime(model), scale=scale), gathered / 66)
    plain = make_model()
    np.testing.assert_array_equal(feature_importances(plain), feature_importances(plain, method="strength"))
    np.testing.assert_array_equal(feature_importances(model, method="strength"), feature_importances(plain))

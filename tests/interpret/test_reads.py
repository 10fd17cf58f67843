"""Laws of reads: bias and parts add up to what a latent is before its activation."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.interpret import encoder_directions, reads
from dsae.runtime import Runtime


def before_activation(model, X):
    """Codes of the same model without their activation."""
    config = model.config.replace(code_activation="identity", k=None)
    return Runtime(replace(model, config=config, threshold=None)).encode(X)


@each(
    kind=[np.asarray, sp.csr_matrix],
    code=[("relu", None), ("topk", 2), ("jumprelu", None)],
    changes=[{}, {"input_transform": "lognormalize", "input_total": 20.0, "output_activation": "exp"}],
)
def test_parts_and_bias_add_up(make_model, rng, kind, code, changes):
    model = make_model(code_activation=code[0], k=code[1], **changes)
    X = rng.poisson(2, (20, 12)).astype(np.float32)
    found = reads(model, kind(X), [4, 0])
    expected = before_activation(model, X)[:, [4, 0]]
    assert found.method == "exact"
    np.testing.assert_allclose(found.total, expected, rtol=1e-5, atol=1e-5)
    weights = model.layers["encoder.0"].to_dense()
    for i, latent in enumerate((4, 0)):
        part = found.of(latent)
        np.testing.assert_allclose(found.bias[i] + part.toarray().sum(1), expected[:, i], rtol=1e-5, atol=1e-5)
        assert set(part.indices) <= set(np.flatnonzero(weights[latent]))
        features, values = found.parts(3, latent, 2)
        assert len(features) <= 2
        assert (np.diff(np.abs(values)) <= 0).all()
        np.testing.assert_array_equal(part[3].toarray().ravel()[features], values)


@each(activation=["relu", "sigmoid"], kind=[np.asarray, sp.csr_matrix])
def test_a_deep_encoder_is_read_by_integrated_gradients(make_model, rng, activation, kind):
    model = make_model(hidden_layer_sizes=(9,), activation=activation, live=0.8)
    X = rng.normal(0, 1, (6, 12)).astype(np.float32)
    found = reads(model, kind(X), [1, 3], steps=500)
    assert found.method == "integrated gradients"
    np.testing.assert_allclose(found.total, before_activation(model, X)[:, [1, 3]], rtol=1e-4, atol=1e-5)
    for i, latent in enumerate((1, 3)):
        total = found.bias[i] + np.asarray(found.of(latent).sum(axis=1)).ravel()
        np.testing.assert_allclose(total, found.total[:, i], atol=0.02)


def test_values_that_are_not_known_count_as_their_means(make_model, rng):
    from dsae.store import Inputs

    mean = np.arange(12, dtype=np.float32)
    inputs = Inputs(mean, mean - 1, mean + 1)
    model = make_model(code_activation="relu", missing="mask", model={"inputs": inputs})
    X = rng.normal(0, 1, (3, 12)).astype(np.float32)
    X[0, 2] = np.nan
    filled = np.where(np.isnan(X), mean, X)
    np.testing.assert_allclose(reads(model, X, [0]).of(0).toarray(), reads(model, filled, [0]).of(0).toarray())


def test_directions_are_weights_or_derivatives(make_model, rng):
    shallow = make_model()
    np.testing.assert_array_equal(
        encoder_directions(shallow, [2, 0]).toarray(), shallow.layers["encoder.0"].to_dense()[[2, 0]]
    )
    deep, at = make_model(hidden_layer_sizes=(9,), activation="sigmoid"), rng.normal(size=12)
    step = 1e-3 * np.eye(12)
    moved = [before_activation(deep, (at + sign * step).astype(np.float32)) for sign in (1, -1)]
    np.testing.assert_allclose(encoder_directions(deep, mean=at), (moved[0] - moved[1]).T / 2e-3, atol=2e-3)


def test_bad_arguments_are_refused(make_model):
    X = np.ones((2, 12))
    with pytest.raises(ValueError, match=r"\[reads\] latents must lie in 0\.\.4; got 7\.\.7"):
        reads(make_model(), X, [7])
    with pytest.raises(ValueError, match=r"\[reads\] latents must be different ones; got one twice in \[1, 1\]"):
        reads(make_model(), X, [1, 1])
    with pytest.raises(ValueError, match=r"latents must be whole numbers; got \[0\.5\]"):
        reads(make_model(), X, [0.5])
    with pytest.raises(ValueError, match=r"base must hold 12 numbers, one per feature; got shape \(3,\)"):
        reads(make_model(hidden_layer_sizes=(9,)), X, [1], base=np.zeros(3))
    with pytest.raises(ValueError, match=r"latent must be one of those asked for; got 3"):
        reads(make_model(), X, [1]).of(3)

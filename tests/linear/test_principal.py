"""A sparse linear code along principal directions: as good as PCA with all weights, and of few where few suffice."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from tests.covering import each

from dsae import DeepSparseAutoencoder
from dsae.linear import principal_layers

RNG = np.random.default_rng(0)
X = ((RNG.random((300, 4)) < 0.3) * 1.0) @ (RNG.random((4, 40)) < 0.4) * RNG.random((300, 40))
X = (X * (RNG.random(X.shape) < 0.5)).astype(np.float32)


def layers(rows, n_components=6, counts=(240, 240), scale=None):
    mean = np.asarray(rows.mean(axis=0), np.float32).ravel()
    scale = np.ones(mean.size, np.float32) if scale is None else scale
    return principal_layers(rows, (mean, scale), n_components, counts, np.random.default_rng(0))


@each(n_components=[1, 6, 39, 40], form=[np.asarray, sp.csr_matrix])
def test_all_weights_reconstruct_as_pca_does(n_components, form):
    encoder, decoder = (layer.to_dense() for layer in layers(form(X), n_components, (40 * n_components,) * 2))
    centred = X - X.mean(axis=0)
    wanted = PCA(n_components).fit(X)
    error = np.square(centred - centred @ encoder.T @ decoder.T).sum()
    least = np.square(X - wanted.inverse_transform(wanted.transform(X))).sum()
    assert error == pytest.approx(least, rel=1e-3, abs=1e-3)
    np.testing.assert_allclose(encoder @ encoder.T, np.eye(n_components), atol=1e-4)


@each(counts=[(1, 240), (17, 90), (239, 3)], form=[np.asarray, sp.csr_matrix])
def test_edges_are_as_many_as_asked_for_and_the_largest(counts, form):
    found = layers(form(X), counts=counts)
    assert tuple(layer.topology.nnz for layer in found) == counts
    whole = layers(form(X))
    for layer, full in zip(found, whole, strict=True):
        sizes = np.sort(np.abs(full.values))
        assert np.abs(layer.values).min() >= sizes[-layer.topology.nnz] - 1e-6


def test_each_direction_is_turned_to_the_features_that_share_it():
    """Two groups of equal spread: any mixture of their directions is as good for PCA."""
    groups = np.repeat(np.eye(2), 10, axis=1)
    rows = (RNG.normal(size=(500, 2)) @ groups + 0.1 * RNG.normal(size=(500, 20))).astype(np.float32)
    encoder = np.abs(layers(rows, 2, (20, 20))[0].to_dense())
    assert sorted(map(tuple, encoder > 0)) == sorted(map(tuple, groups > 0))


def test_scaled_features_are_those_of_scaled_rows():
    scale = np.linspace(0.5, 4, 40, dtype=np.float32)
    one, other = layers(sp.csr_matrix(X), scale=scale)[0], layers(X / scale)[0]
    np.testing.assert_allclose(one.to_dense(), other.to_dense(), atol=1e-3)


SETTINGS = {"n_components": 6, "hidden_layer_sizes": (), "density": 0.4, "shrink": "random", "random_state": 0}


@each(loss=["mse", "poisson", "multinomial"], form=[np.asarray, sp.csr_matrix], scale=[False, True])
def test_training_starts_from_them(loss, form, scale):
    how = SETTINGS | {"loss": loss, "scale": scale, "learning_rate_init": 1e-6, "max_iter": 1}
    counts = np.round(4 * X)
    counts[:, 0] += 1  # no row without any
    rows = form(counts)
    start = DeepSparseAutoencoder(init_topology="principal", **how).fit(rows)
    drawn = DeepSparseAutoencoder(**how).fit(rows)
    assert start.score(rows) > drawn.score(rows) + 0.1
    assert start.nnz_ == drawn.nnz_
    again = DeepSparseAutoencoder(init_topology="principal", **how).fit(rows)
    np.testing.assert_array_equal(start.transform(rows), again.transform(rows))


def test_widths_are_chosen_for_it():
    dsa = DeepSparseAutoencoder(6, init_topology="principal", max_iter=1, random_state=0).fit(X)
    assert dsa.runtime_.config.hidden_layer_sizes == ()


@each(
    {
        "given, message": [
            ({"hidden_layer_sizes": (8,)}, r"needs hidden_layer_sizes=\(\) and code_activation='identity'; got \(8,\)"),
            (
                {"code_activation": "relu"},
                r"needs hidden_layer_sizes=\(\) and code_activation='identity'; got \(\) and",
            ),
            ({"block_size": 4}, "needs block_size=1 and at most as many components as features; got 4 and 6 of 40"),
            ({"n_components": 41}, "at most as many components as features; got 1 and 41 of 40"),
        ]
    }
)
def test_other_networks_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DeepSparseAutoencoder(init_topology="principal", **SETTINGS | given).fit(X)

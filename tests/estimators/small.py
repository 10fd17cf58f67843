"""A small estimator and rows that it learns."""

import numpy as np

from dsae import DeepSparseAutoencoder


def rows(n_rows=150, n_features=16, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, n_features)) + 0.05 * rng.normal(size=(n_rows, n_features))
    return np.maximum(X, 0).astype(np.float32)


def small(**changes):
    settings = {"n_components": 4, "hidden_layer_sizes": (12,), "density": 0.3, "max_iter": 15, "batch_size": 32}
    return DeepSparseAutoencoder(**settings | {"learning_rate_init": 0.01, "random_state": 0} | changes)


X = rows()

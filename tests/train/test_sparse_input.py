"""Training on a CSR matrix is training on the same array, and leaves its zeros alone."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each, pairs, pairwise

from dsae import DeepSparseAutoencoder
from dsae.config import SHRINK
from dsae.ops import SparseRows

X = sp.random(120, 90, 0.05, "csr", np.float32, 0)
X.data[:] = 0.1 + 0.9 * X.data
BASE = {"n_components": 6, "hidden_layer_sizes": (24,), "batch_size": 40, "max_iter": 5, "random_state": 0}
CASES = [
    case | ({"density": 1.0} if case["shrink"] == "none" else {})
    for case in pairwise(shrink=SHRINK, loss=["mse", "bce"], density=[0.1, 1.0])
]
CASES += [
    {"schedule": "stagewise", "early_stopping": True},
    {"schedule": "stagewise", "density": 1.0},
    {"scale": True, "hidden_layer_sizes": ()},
    {"contractive": 0.1},
    {"output_activation": "relu"},
    {"output_activation": "sigmoid", "loss": "mse"},
    {"code_activation": "topk", "k": 2, "max_iter": 12},
    {"code_activation": "batchtopk", "k": 2, "density": 1.0},
    {"code_activation": "softmax", "target_rate": 0.3},
]


def fitted(rows, **changes):
    settings = BASE | {"density": 0.1} | changes
    if settings.get("loss") == "bce":
        settings["output_activation"] = "sigmoid"
    return DeepSparseAutoencoder(**settings).fit(rows)


@each(changes=CASES)
def test_a_fit_on_csr_equals_a_fit_on_the_same_array(changes):
    sparse, dense = fitted(X, **changes), fitted(X.toarray(), **changes)
    losses = ([row["loss"] for row in dsa.history_] for dsa in (sparse, dense))
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for name, layer in dense.runtime_.layers.items():
        np.testing.assert_array_equal(sparse.runtime_.layers[name].topology.indices, layer.topology.indices)
    np.testing.assert_allclose(sparse.transform(X), dense.transform(X), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(sparse.feature_importances_, dense.feature_importances_, rtol=1e-2, atol=1e-4)


def test_a_code_that_jumps_at_its_threshold_learns_nearly_as_on_the_same_array():
    """Where rounding decides, it jumps."""
    losses = ([r["loss"] for r in fitted(rows, code_activation="jumprelu", k=2).history_] for rows in (X, X.toarray()))
    np.testing.assert_allclose(*losses, rtol=5e-3)


@pairs(shrink=["tempered", "rigl"], schedule=["joint", "stagewise"], loss=["mse", "bce"])
def test_no_batch_is_written_out(shrink, schedule, loss, monkeypatch):
    """But in the probe of the importance, which has a few rows at a time."""

    def refuse(self, like):
        raise AssertionError("a batch was written out")

    monkeypatch.setattr(SparseRows, "dense", refuse)
    fitted(X, shrink=shrink, schedule=schedule, loss=loss, early_stopping=True)
    with pytest.raises(AssertionError, match="written out"):
        fitted(X, output_activation="relu")


def test_of_wide_batches_a_few_rows_show_what_dead_latents_lack(monkeypatch):
    dense, written = SparseRows.dense, []
    monkeypatch.setattr("dsae.nn._trace._VALUES_AT_ONCE", 3 * X.shape[1])
    monkeypatch.setattr("dsae.shrink.AuxK.dead", lambda self: torch.arange(2))
    monkeypatch.setattr("dsae.shrink.AuxK.near_death", lambda *_: True)
    monkeypatch.setattr(SparseRows, "dense", lambda self, like: written.append(self.shape[0]) or dense(self, like))
    fitted(X, code_activation="topk", k=2)
    assert set(written) == {3}

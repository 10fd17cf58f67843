"""What history says of a code is what the last whole batch of an epoch does."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import each
from tests.train.runs import data, train

from dsae.data import ArraySource
from dsae.metrics import CodeActivity, firing_threshold
from dsae.runtime import Runtime
from dsae.train import _train_step
from dsae.train._activity import Glimpse
from dsae.train._dense import DenseStep
from dsae.train._panels import PanelStep
from dsae.train._sparse import SparseStep
from dsae.train._step import AutogradStep

BATCH = 20


def still(X, **settings):
    """A model of an epoch in which nothing moves, the row of its history, and what its code does in some rows."""
    model, (row,) = train(rows=X, max_iter=1, batch_size=BATCH, learning_rate_init=1e-12, shrink="none", **settings)
    batches = [batch.rows for batch in ArraySource(X).batches(BATCH, seed=3)]
    config = model.config

    def of(n):
        activity = CodeActivity(firing_threshold(config.code_activation, config.n_components))
        activity.update(Runtime(model).encode(batches[n]))
        found = activity.result()
        return found["mean_l0"], found["dead_latents"] / config.n_components

    return row, of


STEPS = [
    (PanelStep, {}),
    (PanelStep, {"code_activation": "sigmoid", "target_rate": 0.1}),
    (DenseStep, {"density": 1.0, "code_activation": "softmax"}),
    (SparseStep, {"rows": "csr"}),
    (AutogradStep, {"contractive": 0.1}),
]


@native
@each({"kind, settings": STEPS}, n_rows=[90, 80, 13])
def test_it_is_that_of_the_last_whole_batch_whatever_the_step(monkeypatch, kind, settings, n_rows):
    for choose in ("step_for", "sparse_step_for"):
        monkeypatch.setattr(_train_step, choose, kind)
    how = {"code_activation": "relu", "n_components": 6, "activation": "identity", "density": 0.6} | settings
    X = data(n_rows) - np.float32(0.3)
    if how.pop("rows", "") == "csr":
        X = sp.csr_matrix(np.where(np.random.default_rng(0).random((n_rows, 200)) < 0.03, 1, 0).astype(np.float32))
    row, of = still(X, **how)
    assert (row["l0"], row["dead"]) == pytest.approx(of(max(1, n_rows // BATCH) - 1))
    assert how["code_activation"] != "relu" or 0 < row["l0"] < 6


def test_an_epoch_that_ends_early_tells_of_its_first_batch():
    glimpse = Glimpse(3, 0.5)
    codes = [torch.tensor([[1.0, 0.0, 0.2], [1.0, -0.6, 0.0]]), torch.zeros(2, 3)]
    for i, code in enumerate(codes):
        glimpse.look(i, 9)
        glimpse.see(code)
        glimpse.join()
    assert glimpse.of_epoch() == {"l0": 1.5, "dead": pytest.approx(1 / 3)}
    assert glimpse.of_epoch() == {}

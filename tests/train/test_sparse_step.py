"""Steps on CSR rows without autograd are those of autograd, and leave nothing behind when they end."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import covering, each
from tests.train.runs import (
    STEPS,
    Killed,
    StoppedError,
    check_gradients,
    epochs,
    exact_gradients,
    parameters_of,
    same,
    train,
    undone,
)

from dsae.config import LOSSES
from dsae.ops import _loss
from dsae.train import Checkpoints, _choose, _train_step
from dsae.train._panels import PanelStep
from dsae.train._sparse import SparseStep, covers
from dsae.train._step import AutogradStep

pytestmark = native
X = sp.random(120, 60, 0.05, "csr", np.float32, 0)
X.data[:] = 0.1 + 0.9 * X.data


class Compared(AutogradStep):
    """Autograd's steps; before each of them, its gradients are compared with those of a new `SparseStep`."""

    n_steps = 0

    def gradients(self, x):
        assert covers(self._run, self._learner)
        step = SparseStep(self._run, self._learner)
        if not step.takes(x):
            return super().gradients(x)
        parameters, extras = parameters_of(self._run)
        with undone(self._run, self._learner):
            found = step.gradients(x)
            step.settle()
            by_hand = [p.grad.clone() for p in [*parameters, *extras]]
        losses = super().gradients(x)
        np.testing.assert_allclose(found, losses, rtol=1e-5)
        exact = partial(exact_gradients, self._run, self._learner, x)
        check_gradients(by_hand, parameters, extras, exact=exact)
        Compared.n_steps += 1
        return losses


LINKS = [(name, loss.link) for name, loss in LOSSES.items() if loss.needs_link]
CODES = [
    ("identity", None, None),
    ("relu", None, None),
    *((kind, None, rate) for kind in ("sigmoid", "softmax") for rate in (None, 0.2)),
    *((kind, 3, None) for kind in ("topk", "batchtopk", "jumprelu")),
]


@covering(
    {"code, k, rate": CODES, "loss, output": [("mse", "identity"), *LINKS]},
    hidden=[(), (12,), (20, 12)],
    activation=["relu", "sigmoid", "identity", "softmax"],
    density=[1.0, 0.2],
    shrink=["none", "random", "tempered", "rigl"],
    l1_and_l2=[(0.0, 0.0), (0.1, 0.0), (0.0, 0.01), (0.1, 0.1)],
    scale=[False, True],
    block_size=[1, 4],
    by_gram=[False, True],
    by="code, k, rate",
)
def test_steps_have_the_gradients_of_autograd(
    monkeypatch, code, k, rate, loss, output, hidden, activation, density, shrink, l1_and_l2, scale, block_size, by_gram
):
    monkeypatch.setattr(_train_step, "sparse_step_for", Compared)
    monkeypatch.setattr(_loss, "pays", lambda topology, target: by_gram)
    Compared.n_steps = 0
    (l1, l2), shrink = l1_and_l2, "none" if density == 1 else "random" if shrink == "none" else shrink
    how = {
        "code_activation": code,
        "k": k,
        "target_rate": rate,
        "loss": loss,
        "output_activation": output,
        "shrink": shrink,
    }
    how |= {"hidden_layer_sizes": hidden, "activation": activation, "density": density, "scale": scale}
    how |= {"l1": 0.0 if block_size > 1 else l1, "l2": l2, "block_size": block_size}
    train(rows=X, max_iter=epochs(120, 30, 24), batch_size=30, **how)
    # before rigl grows autograd keeps what it needs, and while a latent is dead it revives that
    assert Compared.n_steps >= (1 if k else 6 if shrink == "rigl" else max(24, STEPS))


class Moved(SparseStep):
    """Steps that are given autograd's gradients."""

    def gradients(self, x):
        losses = super().gradients(x)
        self.settle()
        AutogradStep(self._run, self._learner).gradients(x)
        held, (_, slots) = self._columns.matrices, self._first.topology.transpose
        held.grad.copy_(self._first.values.grad[torch.from_numpy(slots).long()])
        self._moved = True
        return losses


@covering(shrink=["tempered", "magnitude", "gradient", "rigl"], l1=[0.0, 0.2], block_size=[1, 4], by="shrink")
def test_equal_gradients_move_weights_and_edges_alike(monkeypatch, shrink, l1, block_size):
    found = []
    for step in (Moved, AutogradStep):
        monkeypatch.setattr(_train_step, "sparse_step_for", step)
        how = {"shrink": shrink, "l1": 0.0 if block_size > 1 else l1, "block_size": block_size}
        found.append(train(rows=X, max_iter=8, batch_size=30, **how)[0])
    for one, other in zip(*(model.layers.values() for model in found), strict=True):
        np.testing.assert_array_equal(one.topology.indices, other.topology.indices)
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.bias, other.bias, rtol=1e-4, atol=1e-6)


@each(
    {
        "settings, kind": [
            ({}, SparseStep),
            ({"shrink": "saliency"}, AutogradStep),
            ({"contractive": 0.1}, AutogradStep),
            ({"code_activation": "jumprelu", "k": 2}, AutogradStep),
            ({"output_activation": "relu"}, AutogradStep),
            ({"density": 1.0, "shrink": "none"}, AutogradStep),
        ]
    }
)
def test_what_is_not_covered_is_left_to_autograd(monkeypatch, settings, kind):
    chosen, step_for = [], _train_step.sparse_step_for

    def seen(run, learner):
        chosen.append(step_for(run, learner))
        return chosen[-1]

    monkeypatch.setattr(_train_step, "sparse_step_for", seen)
    monkeypatch.setattr(_choose, "_SIZES", (0, 0))  # as a large network
    train(rows=X, max_iter=1, batch_size=30, **({"shrink": "random", "density": 0.1} | settings))
    assert type(chosen[0]) is kind


def test_batches_that_are_hardly_sparse_have_steps_of_their_own(monkeypatch):
    """A source of CSR rows may give either kind."""
    kinds, steps = set(), []
    for step in (SparseStep, PanelStep, AutogradStep):
        kept = step.gradients

        def gradients(self, given, kept=kept):
            kinds.add(type(given.x).__name__)
            steps.append(type(self))
            return kept(self, given)

        monkeypatch.setattr(step, "gradients", gradients)
    rows = sp.vstack([X, sp.csr_matrix(np.ones((60, 60), np.float32))], "csr")
    _, history = train(rows=rows, max_iter=8, batch_size=8, shrink="random", density=0.1)
    assert kinds == {"Tensor", "SparseRows"}
    assert SparseStep in steps
    assert history[-1]["loss"] < history[0]["loss"]


@each(n=[3, 9, 14])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, n):
    settings = {"rows": X, "max_iter": 5, "batch_size": 30, "shrink": "tempered"}
    whole = train(**settings)
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", n), **settings)
    same(train(Checkpoints(tmp_path / "run"), **settings), whole)

"""Steps in float64 are autograd's, and whole runs by native steps end where those do."""

import numpy as np
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import covering, pairs
from tests.train.cases import Double
from tests.train.runs import parameters_of, train, undone

from dsae import ops
from dsae.config import LOSSES, AutoencoderConfig, TrainConfig
from dsae.data import ArraySource
from dsae.nn import target_nnz
from dsae.train import _train_step, fit, joint, start_model
from dsae.train._dense import DenseStep
from dsae.train._panels import PanelStep
from dsae.train._sparse import SparseStep
from dsae.train._step import AutogradStep

pytestmark = native
N_FEATURES = 24


def rows(sparse):
    X = np.random.default_rng(0).random((200, N_FEATURES))
    X *= np.random.default_rng(1).random(X.shape) < (0.05 if sparse else 1)
    return sp.csr_matrix(X) if sparse else X


def trained(monkeypatch, step, dtype, sparse, config, train):
    """The model after 50 steps by ``step``."""
    monkeypatch.setattr(_train_step, "step_for", lambda run, learner: step(run, learner))
    monkeypatch.setattr(_train_step, "sparse_step_for", lambda run, learner: step(run, learner))
    X = rows(sparse)
    moments = np.asarray(X.mean(0)).ravel().astype(np.float32), np.full(N_FEATURES, 0.5, np.float32)
    model = start_model(config, train, torch.Generator().manual_seed(0), moments).to(dtype)
    kind = np.float32 if dtype == torch.float32 else np.float64
    fit(model, ArraySource(X.astype(kind)), joint(config, train, target_nnz(config), 0), train)
    return model


def numbers(model):
    return np.concatenate([p.detach().double().numpy().ravel() for p in model.parameters()])


KINDS = [(PanelStep, False), (DenseStep, False), (SparseStep, True)]


@covering(
    {"step, sparse": KINDS},
    shrink=["none", "tempered", "magnitude", "rigl", "set"],
    loss=["mse", "bce"],
    code=["identity", "sigmoid", "softmax"],
    activation=["relu", "sigmoid"],
    by="step, sparse",
)
def test_runs_in_float32_are_those_in_float64(monkeypatch, step, sparse, shrink, loss, code, activation):
    output = {"mse": "identity", "bce": "sigmoid"}[loss]
    config = AutoencoderConfig(N_FEATURES, 4, (12,), None, activation, code, output, density=0.3)
    train = TrainConfig(max_iter=10, batch_size=40, loss=loss, shrink=shrink)
    exact = trained(monkeypatch, AutogradStep, torch.float64, sparse, config, train)
    found = trained(monkeypatch, step, torch.float32, sparse, config, train)
    for one, other in zip(exact.layers.values(), found.layers.values(), strict=True):
        np.testing.assert_array_equal(one.topology.indptr, other.topology.indptr)
        np.testing.assert_array_equal(one.topology.indices, other.topology.indices)
    error = np.abs(numbers(found) - numbers(exact))
    assert error.max() < 1e-3 * np.abs(numbers(exact)).max()


class Exact(AutogradStep):
    """Autograd's steps, each compared with that of matrices, in float64."""

    n_steps = 0

    def gradients(self, given):
        parameters, extras = parameters_of(self._run)
        step = DenseStep(self._run, self._learner)
        with undone(self._run, self._learner):
            found = step.gradients(given)
            step.settle()
            by_hand = [p.grad.clone() for p in [*parameters, *extras]]
        losses = super().gradients(given)
        np.testing.assert_allclose(found, losses, rtol=1e-12)
        for got, parameter in zip(by_hand, [*parameters, *extras], strict=True):
            assert got.dtype == torch.float64
            torch.testing.assert_close(got, parameter.grad, rtol=0, atol=1e-10 * parameter.grad.abs().max().item())
        Exact.n_steps += 1
        return losses


LINKS = [
    ("mse", "identity"),
    ("mse", "sigmoid"),
    *((name, loss.link) for name, loss in LOSSES.items() if loss.needs_link),
]


@pairs(
    {"loss, output": LINKS},
    code=["identity", "relu", "sigmoid", "softmax"],
    activation=["relu", "sigmoid"],
    l2=[0, 0.01],
)
def test_what_is_derived_by_hand_is_exact(monkeypatch, loss, output, code, activation, l2):
    """What float32's steps differ by is rounding: in float64 nothing is left of it."""
    monkeypatch.setattr(_train_step, "step_for", Exact)
    monkeypatch.setattr(ops, "empty", lambda *shape: torch.empty(*shape, dtype=torch.float64))
    Exact.n_steps = 0
    counts = np.random.default_rng(0).poisson(2, (110, 20)).astype(np.float32)
    X = counts if LOSSES[loss].counts else counts / counts.max()
    how = {"loss": loss, "output_activation": output, "code_activation": code, "activation": activation, "l2": l2}
    with Double():
        train(rows=X, density=1.0, shrink="none", max_iter=4, batch_size=25, **how)
    assert Exact.n_steps == 20

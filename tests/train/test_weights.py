"""Targets and weights of a batch: every way to compute a step has autograd's gradients, and these are the formula's."""

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import covering, each, pairs
from tests.train.runs import check_gradients, data, epochs, exact_gradients, train
from torch.nn import functional as F

from dsae import ops
from dsae.config import AutoencoderConfig
from dsae.data import ArraySource
from dsae.nn import Autoencoder
from dsae.train import _train_step
from dsae.train._dense import DenseStep
from dsae.train._panels import PanelStep
from dsae.train._sparse import SparseStep
from dsae.train._step import AutogradStep

RNG = np.random.default_rng(0)
N_ROWS, WIDTH = 300, 14
OUTPUTS = [("mse", "identity"), ("mse", "sigmoid"), ("bce", "sigmoid")]


def beside(n_rows, target, known, weight):
    """What a batch has beside its rows, or None."""
    return {
        "target": RNG.random((n_rows, WIDTH), np.float32) if target else None,
        "known": (RNG.integers(0, 4, (n_rows, WIDTH)) / 2).astype(np.float32) if known else None,
        "weight": (RNG.integers(0, 4, n_rows) / 2).astype(np.float32) if weight else None,
    }


def formula(z, target, known, weight, loss):
    """In float64, of pre-activations for the cross entropy."""
    each = F.binary_cross_entropy_with_logits if loss == "bce" else F.mse_loss
    counts = torch.ones(target.shape, dtype=torch.float64) if known is None else torch.tensor(known).double()
    counts = counts if weight is None else counts * torch.tensor(weight).double()[:, None]
    return (counts * each(z.double(), target.double(), reduction="none")).sum() / counts.sum()


@pairs(
    {"loss, output": OUTPUTS},
    target=[False, True],
    known=[False, True],
    weight=[False, True],
    sparse=[False, True],
    density=[0.4, 1.0],
)
def test_the_loss_of_a_batch_is_the_formulas(monkeypatch, loss, output, target, known, weight, sparse, density):
    monkeypatch.setattr(ops._rows, "DENSE_ABOVE", 2)  # so that CSR batches stay sparse
    more = beside(70, target, known, weight)
    X = np.clip(data(70), 0, 1)
    aim = X if more["target"] is None else more["target"] * (RNG.random((70, WIDTH)) < 0.5)
    counts = more["known"]
    given = {"target": aim if target else None, "known": counts, "weight": more["weight"]}
    if sparse:
        rows = sp.csr_matrix(aim)
        if known:
            counts = np.where(aim != 0, counts, 1).astype(np.float32)
            stored = rows.copy()
            stored.data = counts[np.repeat(np.arange(70), np.diff(rows.indptr)), rows.indices]
            given["known"] = stored
        given["target"] = rows if target else None
    config = AutoencoderConfig(WIDTH, 5, (9,), density=density, output_activation=output)
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    model.set_moments(torch.tensor(X.mean(0)), torch.full((WIDTH,), 0.5))
    trace = model.trace(ops.given_of(sp.csr_matrix(X) if sparse else X, **given))
    got = trace.loss(loss)
    got.backward()
    grads = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    whole = model.trace(torch.tensor(X))
    wanted = torch.tensor((aim - X.mean(0)) / np.float32(0.5) if output == "identity" else aim)
    expected = formula(
        whole.rows(whole.logits if loss == "bce" else whole.output), wanted, counts, more["weight"], loss
    )
    expected.backward()
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    for grad, parameter in zip(grads, model.parameters(), strict=True):
        size = parameter.grad.abs().max().item()
        np.testing.assert_allclose(grad / size, parameter.grad / size, atol=1e-5)


class Beside(ArraySource):
    """Rows whose batches have targets and weights."""

    more: ClassVar[dict] = {}

    def batches(self, *given, **how):
        for batch in super().batches(*given, **how):
            at = batch.numbers
            yield replace(batch, **{name: None if v is None else v[at] for name, v in self.more.items()})


class Checked(AutogradStep):
    """Autograd's steps, each compared with another kind from the same state."""

    kind, steps = PanelStep, 0

    def gradients(self, given):
        other = Checked.kind(self._run, self._learner)
        assert other.takes(given)
        found = other.gradients(given)
        other.settle()
        layers = list(self._run.model.layers.values())
        grads = [p.grad.clone() for layer in layers for p in (layer.values, layer.bias)]
        wanted = super().gradients(given)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        exact = partial(exact_gradients, self._run, self._learner, given)
        check_gradients(grads, [p for layer in layers for p in (layer.values, layer.bias)], exact=exact)
        Checked.steps += 1
        return wanted


@native
@covering(
    {"loss, output": OUTPUTS},
    target=[False, True],
    known=[False, True],
    weight=[False, True],
    rate=[None, 0.2],
    penalty=[{}, {"l2": 0.01}],
    batch_size=[10, 65, 200],
    by="loss, output",
)
def test_native_steps_have_the_gradients_of_autograd(
    monkeypatch, loss, output, target, known, weight, rate, penalty, batch_size
):
    checked(monkeypatch, PanelStep, loss, output, target, known, weight, batch_size, target_rate=rate, **penalty)


@native
@covering(
    {"loss, output": OUTPUTS},
    target=[False, True],
    known=[False, True],
    weight=[False, True],
    batch_size=[65, 200],
    by="loss, output",
)
def test_steps_on_matrices_have_the_gradients_of_autograd(monkeypatch, loss, output, target, known, weight, batch_size):
    checked(monkeypatch, DenseStep, loss, output, target, known, weight, batch_size)


def checked(monkeypatch, kind, loss, output, target, known, weight, batch_size, **how):
    monkeypatch.setattr(_train_step, "step_for", Checked)
    monkeypatch.setattr(Checked, "kind", kind)
    monkeypatch.setattr(Checked, "steps", 0)
    monkeypatch.setattr(Beside, "more", beside(N_ROWS, target, known, weight))
    code = {} if how.get("target_rate") is None else {"code_activation": "sigmoid"}
    rows = Beside(np.clip(data(N_ROWS), 0, 1))
    n_epochs = epochs(N_ROWS, batch_size, 12)
    train(rows=rows, loss=loss, output_activation=output, batch_size=batch_size, max_iter=n_epochs, **code, **how)
    assert Checked.steps == n_epochs * -(-N_ROWS // batch_size)


@each(kind=["dense", "csr"], density=[0.3, 1.0])
def test_rows_and_values_of_weight_zero_count_for_nothing(monkeypatch, kind, density):
    """Whatever the target holds there."""
    monkeypatch.setattr(ops._rows, "DENSE_ABOVE", 2)
    X = data(40)
    known, weight = np.ones_like(X), np.ones(40, np.float32)
    weight[::3], known[1::3, ::2] = 0, 0
    model = Autoencoder(AutoencoderConfig(WIDTH, 5, (9,), density=density), torch.Generator().manual_seed(0))
    found = []
    for other in (X, 7 + 0 * X):
        aim = np.where((known * weight[:, None]) == 0, other, X).astype(np.float32)
        counts = sp.csr_matrix(known + 1e-30) if kind == "csr" else known
        if kind == "csr":
            aim = sp.csr_matrix(aim + 1e-30)
            counts.data = known.ravel()
        given = ops.given_of(X, aim, counts, weight)
        model.zero_grad()
        loss = model.trace(given).loss("mse")
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_a_batch_in_which_nothing_counts_moves_nothing():
    for rows in (data(20), sp.csr_matrix(data(20) * (RNG.random((20, WIDTH)) < 0.05))):
        model = Autoencoder(AutoencoderConfig(WIDTH, 5, (9,), density=0.3), torch.Generator().manual_seed(0))
        given = ops.given_of(rows, weight=np.zeros(20, np.float32))
        loss = model.trace(given).loss("mse")
        loss.backward()
        assert loss.item() == 0
        assert given.rows_worth == 0
        assert all((p.grad == 0).all() for p in model.parameters())


@native
@each(kind=[PanelStep, DenseStep, AutogradStep])
def test_an_epochs_loss_is_the_mean_by_weights(monkeypatch, kind):
    """Over batches of different worth, as if there were one, where nothing is learned."""
    monkeypatch.setattr(_train_step, "step_for", kind)
    weight = RNG.integers(0, 5, N_ROWS).astype(np.float32)
    monkeypatch.setattr(Beside, "more", {"weight": weight})
    how = {"shrink": "random", "max_iter": 1, "learning_rate_init": 1e-12}
    losses = [train(rows=Beside(data(N_ROWS)), batch_size=size, **how)[1][0]["loss"] for size in (32, N_ROWS)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_early_stopping_weighs_validation_rows(monkeypatch):
    weight = (np.arange(N_ROWS) % 3 == 0).astype(np.float32)
    losses = []
    for rows, more in ((data(N_ROWS), {"weight": weight}), (data(N_ROWS)[weight > 0], {})):
        monkeypatch.setattr(Beside, "more", more)
        run = {"rows": data(N_ROWS), "max_iter": 1, "early_stopping": True, "batch_size": N_ROWS}
        losses.append(train(validation=Beside(rows), **run)[1][0]["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@native
@covering(
    {"loss, output": [("mse", "identity"), ("bce", "sigmoid")]},
    target=[False, True],
    known=[False, True],
    weight=[False, True],
    density=[0.3, 1.0],
    hidden=[(), (9,)],
    by_gram=[False, True],
    by="loss, output",
)
def test_steps_on_sparse_rows_have_the_gradients_of_autograd(
    monkeypatch, loss, output, target, known, weight, density, hidden, by_gram
):
    monkeypatch.setattr(ops._rows, "DENSE_ABOVE", 2)
    monkeypatch.setattr("dsae.ops._loss.pays", lambda topology, aim: by_gram and aim.weight is None)
    monkeypatch.setattr(_train_step, "sparse_step_for", Checked)
    monkeypatch.setattr(Checked, "kind", SparseStep)
    monkeypatch.setattr(Checked, "steps", 0)
    rows, other = (sp.random(N_ROWS, WIDTH, 0.3, "csr", np.float32, seed) for seed in (0, 1))
    aim = other if target else rows
    counts = aim.copy()
    counts.data = RNG.integers(0, 4, aim.nnz).astype(np.float32)
    more = {"target": aim if target else None, "known": counts if known else None}
    more["weight"] = RNG.integers(0, 4, N_ROWS).astype(np.float32) if weight else None
    monkeypatch.setattr(Beside, "more", more)
    how = {"loss": loss, "output_activation": output, "hidden_layer_sizes": hidden, "density": density}
    train(rows=Beside(rows), batch_size=70, max_iter=4, shrink="random" if density < 1 else "none", **how)
    assert Checked.steps == 4 * 5

"""Losses that need whole rows of outputs, or the rows' totals, train on dense and on sparse rows, in bounded memory."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import covering, each, pairs
from torch.utils._python_dispatch import TorchDispatchMode

import dsae
from dsae import DeepSparseAutoencoder, metrics, nn, ops
from dsae.config import LOSSES, AutoencoderConfig, Loss

RNG = np.random.default_rng(0)
N_ROWS, N_FEATURES = 150, 40
TOPICS = RNG.dirichlet(np.full(N_FEATURES, 0.02), 3)
MIXED = RNG.dirichlet([0.2] * 3, N_ROWS) @ TOPICS
X = sp.csr_matrix(np.stack([RNG.multinomial(n, p) for n, p in zip(RNG.integers(5, 200, N_ROWS), MIXED, strict=True)]))
X = X.astype(np.float32)
SETTINGS = {"hidden_layer_sizes": (16,), "density": 0.5, "max_iter": 8, "random_state": 0, "batch_size": 50}


def shared(z, target, exposure):
    torch.testing.assert_close(target.sum(1, keepdim=True), exposure)
    return -(target * z.log_softmax(1))


def coupled(z, target):
    return -(target * z.log_softmax(1))


def scaled(output, target, exposure):
    rate = output * exposure
    return rate - target * (rate + 1e-6).log()


def logits(mean):
    return np.log(mean / mean.sum() + 1e-3).astype(np.float32)


@pytest.fixture(autouse=True)
def losses(monkeypatch):
    """Three losses more, of one flag each and of both."""
    for record, half in (
        (Loss("coupled", "softmax", needs_link=True, low=0, start=logits, couples_outputs=True), coupled),
        (Loss("scaled", "sigmoid", low=0, start=logits, exposure=True), scaled),
        (
            Loss(
                "shared",
                "softmax",
                needs_link=True,
                low=0,
                start=logits,
                couples_outputs=True,
                exposure=True,
            ),
            shared,
        ),
    ):
        monkeypatch.setitem(LOSSES, record.name, record)
        monkeypatch.setitem(nn.LOSSES, record.name, nn.TorchLoss(half))
    monkeypatch.setattr(ops._rows, "DENSE_ABOVE", 2)  # so that CSR batches stay sparse


def fitted(rows, loss, **changes):
    return DeepSparseAutoencoder(4, loss=loss, output_activation=LOSSES[loss].link, **(SETTINGS | changes)).fit(rows)


@covering(
    loss=["coupled", "scaled", "shared"],
    rows_at_once=[1, 7, 1000],
    shrink=["tempered", "rigl", "none"],
    schedule=["joint", "stagewise"],
    early_stopping=[False, True],
)
def test_sparse_rows_train_as_dense_ones(monkeypatch, loss, rows_at_once, shrink, schedule, early_stopping):
    monkeypatch.setattr("dsae.nn._trace._VALUES_AT_ONCE", rows_at_once * N_FEATURES)
    changes = {"shrink": shrink, "schedule": schedule, "early_stopping": early_stopping}
    changes |= {"density": 1.0} if shrink == "none" else {}
    dense, sparse = fitted(X.toarray(), loss, **changes), fitted(X, loss, **changes)
    histories = ([row["loss"] for row in dsa.history_] for dsa in (dense, sparse))
    np.testing.assert_allclose(*histories, rtol=1e-3)
    if schedule == "joint":
        assert dense.history_[-1]["loss"] < dense.history_[0]["loss"]


@each(kind=[sp.csr_matrix.toarray, sp.csr_matrix], loss=["scaled", "shared"])
def test_a_reconstruction_has_the_totals_of_its_row(tmp_path, loss, kind):
    rows = kind(X)
    dsa = fitted(rows, loss, max_iter=60)
    runtime = dsae.load(dsa.save(tmp_path / "model"))
    totals = np.asarray(X.sum(1)).ravel()
    output, rebuilt = runtime.decode(runtime.encode(rows)), runtime.reconstruct(rows)
    np.testing.assert_allclose(rebuilt, output * totals[:, None], rtol=1e-5)
    if loss == "shared":
        np.testing.assert_allclose(rebuilt.sum(1), totals, rtol=1e-4)
    by_mean = metrics.fvu(X.toarray(), totals[:, None] * (X.toarray() / totals[:, None]).mean(0))
    found = metrics.evaluate(runtime, rows)
    assert found["fvu"] < by_mean / 2
    assert found["fvu"] == pytest.approx(metrics.fvu(X.toarray(), rebuilt), rel=1e-5)
    assert dsa.score(rows) == pytest.approx(1 - found["fvu"], rel=1e-5)
    assert metrics.evaluate(runtime, rows, metrics=["mse"])["mse"] == pytest.approx(found["mse"], rel=1e-5)


@pairs(loss=["coupled", "poisson", "multinomial"], known=[False, True], weight=[False, True], rows_at_once=[1, 7, 1000])
def test_weights_are_those_of_the_rows_written_out(monkeypatch, loss, known, weight, rows_at_once):
    monkeypatch.setattr("dsae.nn._trace._VALUES_AT_ONCE", rows_at_once * N_FEATURES)
    link, generator = LOSSES[loss].link, torch.Generator().manual_seed(0)
    model = nn.Autoencoder(AutoencoderConfig(N_FEATURES, 3, (), density=0.4, output_activation=link), generator)
    places = X.copy()
    places.data = RNG.integers(0, 3, X.nnz).astype(np.float32)
    of_rows = RNG.integers(0, 3, N_ROWS).astype(np.float32) if weight else None
    written_out = np.where(X.toarray() != 0, places.toarray(), 1).astype(np.float32)
    gradients = []
    for rows, beside in ((X, places), (X.toarray(), written_out)):
        given = ops.given_of(rows, known=beside if known else None, weight=of_rows)
        model.zero_grad()
        value = model.trace(given).loss(loss)
        value.backward()
        gradients.append([value, *(p.grad.clone() for layer in model.layers.values() for p in layer.parameters())])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.detach().abs().max()))


class Largest(TorchDispatchMode):
    """The most values in any tensor that torch makes meanwhile."""

    def __init__(self):
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for t in found if isinstance(found, tuple | list) else [found]:
            self.values = max(self.values, t.numel() if isinstance(t, torch.Tensor) else 0)
        return found


@each(loss=["coupled", "scaled", "shared"])
def test_memory_is_that_of_a_few_rows(monkeypatch, loss):
    def largest(rows_at_once):
        monkeypatch.setattr("dsae.nn._trace._VALUES_AT_ONCE", rows_at_once * N_FEATURES)
        with Largest() as made:
            model.trace(rows).loss(loss).backward()
        return made.values

    link = LOSSES[loss].link
    model = nn.Autoencoder(AutoencoderConfig(N_FEATURES, 2, (), density=0.2, output_activation=link))
    rows = ops.rows_of(X)
    assert isinstance(rows, ops.SparseRows)
    assert largest(10) <= 16 * N_FEATURES  # a panel has 16 lanes
    assert largest(N_ROWS) >= N_ROWS * N_FEATURES

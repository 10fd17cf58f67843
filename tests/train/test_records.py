"""A loss or an activation that is put into the tables works everywhere, with compiled kernels or without."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each

import dsae
from dsae import DeepSparseAutoencoder, config, metrics, nn, ops
from dsae.config import ACTIVATIONS, LOSSES, Activation, Extra, Loss

RNG = np.random.default_rng(0)
DENSE = RNG.random((200, 12)).astype(np.float32)
X = DENSE * (DENSE > 0.7)
SMALL = {"hidden_layer_sizes": (8,), "density": 0.5, "max_iter": 3, "random_state": 0}


class Tanh(nn.ACTIVATIONS["identity"]):
    """tanh(z)."""

    def tangent(self, code, t):
        """(1 - h^2) t."""
        return t * (1 - code**2)

    def forward(self, z, n_rows=None):
        """Each unit by itself."""
        return z.tanh()


class SoftThreshold(nn.ACTIVATIONS["relu"]):
    """z where it is above 0.2, else zero."""

    def forward(self, z, n_rows=None):
        """Each unit by itself."""
        return z * (z > 0.2)


def cut(rows, k, thresholds):
    rows[rows <= 0.2] = 0


def absolute(z, target):
    return float(np.abs(z - target).sum(dtype=np.float64)), np.sign(z - target)


def l1(output, target):
    return (output - target).abs()


def gaussian(output, target, log_width):
    """Negative log-likelihood with a trained width per feature."""
    return 0.5 * ((output - target) / log_width.exp()).square() + log_width


@pytest.fixture
def tables(monkeypatch):
    """The tables with some entries more, none of which has a compiled kernel."""
    monkeypatch.setitem(ACTIVATIONS, "tanh", Activation("tanh", lambda rows, k, thresholds: np.tanh(rows, out=rows)))
    monkeypatch.setitem(ACTIVATIONS, "cut", Activation("cut", cut, places=("code",), zeros=True, sparse=True))
    monkeypatch.setitem(nn.ACTIVATIONS, "tanh", Tanh)
    monkeypatch.setitem(nn.ACTIVATIONS, "cut", SoftThreshold)
    monkeypatch.setitem(LOSSES, "mae", Loss("mae", link="identity", tile=absolute, start=lambda mean: 0 * mean + 0.5))
    monkeypatch.setitem(nn.LOSSES, "mae", nn.TorchLoss(l1))
    width = Extra("log_width", lambda mean, deviation: np.log(deviation))
    monkeypatch.setitem(LOSSES, "gaussian", Loss("gaussian", link="identity", tile=absolute, extras=(width,)))
    monkeypatch.setitem(nn.LOSSES, "gaussian", nn.TorchLoss(gaussian))


def test_both_halves_have_the_same_entries():
    assert list(ACTIVATIONS) == list(nn.ACTIVATIONS)
    assert list(LOSSES) == list(nn.LOSSES)
    for table in (ACTIVATIONS, LOSSES):
        assert all(name == record.name for name, record in table.items())
    for loss in LOSSES.values():
        assert loss.link in ACTIVATIONS
        assert {loss.metric, loss.score_metric} <= set(metrics.METRICS)


@each(kind=[np.asarray, sp.csr_matrix])
def test_a_new_activation_trains_and_is_used(tables, kind, tmp_path):
    rows = kind(X)
    dsa = DeepSparseAutoencoder(6, activation="tanh", code_activation="cut", sparse_output=True, **SMALL).fit(rows)
    loaded = dsae.load(dsa.save(tmp_path / "model"))
    model = nn.Autoencoder(loaded.config)
    model.set_layers(loaded.layers)
    codes = model.eval().encode(ops.rows_of(rows)).detach().numpy()
    assert ((codes > 0.2) | (codes == 0)).all()
    assert (codes == 0).any()
    np.testing.assert_allclose(loaded.encode(rows), codes, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(loaded.encode(rows), dsa.transform(rows).toarray())
    assert metrics.evaluate(loaded, rows)["fvu"] < 1


def test_a_forward_kernel_alone_changes_no_gradient(tables, monkeypatch):
    """The native step knows derivatives by name: what is new goes through autograd, whatever kernel it names."""

    def losses(kernel):
        monkeypatch.setitem(ACTIVATIONS, "tanh", replace(ACTIVATIONS["tanh"], kernel=kernel))
        return [row["loss"] for row in DeepSparseAutoencoder(6, activation="tanh", **SMALL).fit(DENSE).history_]

    assert losses(1) == losses(None)


def test_a_dictionary_gets_a_linear_encoder(tables):
    assert DeepSparseAutoencoder(6, code_activation="cut", max_iter=1).fit(X).runtime_.config.hidden_layer_sizes == ()


@each(density=[0.3, 1.0], kind=[np.asarray, sp.csr_matrix])
def test_a_new_loss_trains_alike_on_rows_and_tiles(tables, kind, density):
    settings = SMALL | {"density": density, "shrink": "random" if density < 1 else "none", "loss": "mae"}
    dsa = DeepSparseAutoencoder(6, **settings).fit(X)
    other = DeepSparseAutoencoder(6, **settings).fit(kind(X))
    assert dsa.history_[-1]["loss"] < dsa.history_[0]["loss"]
    assert other.history_[-1]["loss"] == pytest.approx(dsa.history_[-1]["loss"], rel=1e-3)


@each(loss=["mse", "bce", "mae"])
def test_the_numpy_twin_is_the_torch_twin(tables, loss):
    z, target = RNG.normal(size=(2, 5, 4)).astype(np.float32)
    target = np.clip(target, 0, 1)
    record, half = LOSSES[loss], nn.LOSSES[loss]
    total, dz = record.tile(z, target)
    summed, expected = half.residual(record, torch.tensor(z), torch.tensor(target))
    assert total == pytest.approx(summed.item(), rel=1e-5)
    np.testing.assert_allclose(dz, expected, rtol=1e-5, atol=1e-6)
    leaf = torch.tensor(z, requires_grad=True)
    (half.mean(leaf, torch.tensor(target)) * z.size).backward()
    np.testing.assert_allclose(record.factor * dz, leaf.grad, rtol=1e-5, atol=1e-6)


def test_a_loss_starts_the_output_where_it_says(tables):
    dsa = DeepSparseAutoencoder(6, loss="mae", **SMALL | {"learning_rate_init": 1e-9, "max_iter": 1}).fit(X)
    bias = list(dsa.runtime_.layers.values())[-1].bias
    np.testing.assert_allclose(bias, X.mean(0) + 0.5, atol=1e-3)  # 0.5 in the model's own unit, around the mean


@each(kind=[np.asarray, sp.csr_matrix])
def test_what_a_loss_trains_is_updated_saved_and_goes_on(tables, kind, tmp_path):
    rows, start = kind(X), np.log(X.std(0))
    dsa = DeepSparseAutoencoder(6, loss="gaussian", warm_start=True, **SMALL).fit(rows)
    width = dsa.runtime_.model.extras["log_width"]
    assert (width != start).all()
    np.testing.assert_allclose(width, start, atol=0.2)
    loaded = DeepSparseAutoencoder.load(dsa.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.runtime_.model.extras["log_width"], width)
    loaded.set_params(warm_start=True, learning_rate_init=1e-9, random_state=0).fit(rows)
    np.testing.assert_allclose(loaded.runtime_.model.extras["log_width"], width, atol=1e-5)


def test_what_a_loss_trains_goes_on_in_pieces(tables, tmp_path):
    whole = DeepSparseAutoencoder(6, loss="gaussian", **SMALL)
    for _ in range(2):
        whole.partial_fit(X)
    again = DeepSparseAutoencoder.load(whole.save(tmp_path / "model")).set_params(random_state=0)
    again.partial_fit(X)
    whole.partial_fit(X)
    extras = [dsa.runtime_.model.extras["log_width"] for dsa in (whole, again)]
    np.testing.assert_array_equal(*extras)


def test_a_folder_must_have_what_its_loss_trains(tables, tmp_path, monkeypatch):
    folder = DeepSparseAutoencoder(6, loss="gaussian", **SMALL).fit(X).save(tmp_path / "model")
    monkeypatch.setitem(LOSSES, "gaussian", LOSSES["mse"])
    with pytest.raises(ValueError, match=r"must hold \[\] for its loss 'gaussian'; got \['log_width'\]"):
        dsae.load(folder)


def test_a_loss_that_couples_outputs_is_not_tiled(monkeypatch):
    coupled = Loss("softmax", link="identity", tile=absolute, needs_link=True, couples_outputs=True)
    monkeypatch.setitem(LOSSES, "softmax", coupled)
    half = nn.TorchLoss(lambda z, target: -(target * z.log_softmax(1)))
    monkeypatch.setitem(nn.LOSSES, "softmax", half)
    losses = [
        DeepSparseAutoencoder(6, loss="softmax", **SMALL).fit(rows).history_[-1]["loss"]
        for rows in (X, sp.csr_matrix(X))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    x, w = ops.rows_of(sp.csr_matrix(X)), torch.zeros(144)
    with pytest.raises(ValueError, match=r"\[tiled_loss\] .* a few outputs alone; got 'softmax'"):
        ops.tiled_loss(w, torch.zeros(12), torch.zeros(200, 12), dsae.topology.Topology.full((12, 12)), x, "softmax")


@each({"low, high, bounds": [(0.5, np.inf, r"\[0.5, inf\)"), (-np.inf, 0.5, r"\(-inf, 0.5\]")]})
def test_a_loss_refuses_values_outside_its_bounds(monkeypatch, low, high, bounds):
    monkeypatch.setitem(LOSSES, "mse", Loss("mse", link="identity", tile=absolute, kernel=0, low=low, high=high))
    with pytest.raises(ValueError, match=rf"loss='mse' needs X in {bounds}; got values from 0 to"):
        DeepSparseAutoencoder(6, **SMALL).fit(X)


def test_unknown_kinds_raise_everywhere():
    x = ops.rows_of(sp.csr_matrix(X))
    trace = nn.Autoencoder(config.AutoencoderConfig(12, 4)).trace(x)
    full = dsae.topology.Topology.full((12, 12))
    for ask in (
        lambda: config.TrainConfig(loss="huber"),
        lambda: config.loss_of("huber"),
        lambda: trace.loss("huber"),
        lambda: ops.tiled_loss(torch.zeros(144), torch.zeros(12), torch.zeros(200, 12), full, x, "huber"),
        lambda: metrics.firing_threshold("huber", 4),
        lambda: config.AutoencoderConfig(12, 4, activation="huber"),
        lambda: dsae.kernels.reference.activate(X.copy(), 99, 0, None),
    ):
        with pytest.raises(ValueError, match=r"one of mse, bce|one of identity, relu|number of a kernel"):
            ask()

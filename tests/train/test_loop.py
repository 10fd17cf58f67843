import json
import os
import signal

import numpy as np
import pytest
import torch
from tests.covering import each

from dsae import ops
from dsae.config import SHRINK, AutoencoderConfig, TrainConfig
from dsae.data import ArraySource
from dsae.nn import Autoencoder, SparseLinear, target_nnz
from dsae.shrink import Shrinker
from dsae.topology import inactive_edges
from dsae.train import Stage, fit, joint, stagewise, start_model, swap_parameter
from dsae.train._interrupt import Interrupt

CONFIG = AutoencoderConfig(n_features=16, n_components=4, hidden_layer_sizes=(10,), density=0.3)


def data(n_rows=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 16)) + 0.05 * rng.normal(size=(n_rows, 16))
    return X.astype(np.float32)


def train(schedule="joint", config=CONFIG, validation=None, X=None, **settings):
    X = data() if X is None else X
    settings = TrainConfig(**{"max_iter": 8, "batch_size": 50, "learning_rate_init": 5e-3} | settings)
    moments = (X.mean(0), np.ones(16, np.float32))
    model = start_model(config, settings, torch.Generator().manual_seed(0), moments)
    plan = {"joint": joint, "stagewise": stagewise}[schedule]
    stages = plan(config, settings, target_nnz(config), 0)
    history, _ = fit(model, ArraySource(X), stages, settings, seed=0, validation=validation)
    return model, history


@each(dtype=[torch.float32, torch.float64])
def test_swapping_a_parameter_moves_adams_moments_with_their_edges(dtype):
    layer = SparseLinear(6, 5, density=0.5).to(dtype)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(7, 6)).square().sum().backward()
        optimizer.step()
    old = optimizer.state[layer.values]
    squares = old["exp_avg_sq"].clone()
    moments, step, values = old["exp_avg"].clone(), old["step"].clone(), layer.values.detach().clone()
    drop = np.zeros(15, bool)
    drop[[1, 4, 9]] = True
    rewiring = layer.topology.rewire(drop, inactive_edges(layer.topology, 5, np.random.default_rng(0)))
    swap_parameter(optimizer, layer, rewiring)
    state, source = optimizer.state[layer.values], torch.tensor(rewiring.source).long()
    grown = source < 0
    assert grown.sum() == 5
    torch.testing.assert_close(state["exp_avg"][~grown], moments[source[~grown]])
    torch.testing.assert_close(layer.values.detach()[~grown], values[source[~grown]])
    for moved in (state["exp_avg"], layer.values):
        assert (moved[grown] == 0).all()
    torch.testing.assert_close(state["exp_avg_sq"][~grown], squares[source[~grown]])
    torch.testing.assert_close(state["exp_avg_sq"][grown], squares.mean().expand(5))
    assert state["step"] == step
    assert any(p is layer.values for p in optimizer.param_groups[0]["params"])
    assert len(optimizer.state) == 2
    layer(torch.randn(7, 6)).sum().backward()
    optimizer.step()
    assert (layer.values[grown] != 0).any()


@each(schedule=["joint", "stagewise"], shrink=[name for name in SHRINK if name != "none"])
def test_training_lowers_the_loss_and_reaches_the_density(shrink, schedule):
    model, history = train(schedule, shrink=shrink, max_iter=30)
    spread = data().var(axis=0).mean()
    assert history[-1]["loss"] < 0.8 * spread
    assert {name: layer.nnz for name, layer in model.layers.items()} == target_nnz(CONFIG)
    assert len(history) == 30


def test_history_is_one_json_row_per_epoch():
    _, history = train()
    assert json.loads(json.dumps(history)) == history
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert {"stage", "loss", "density", "densities", "learning_rate", "seconds", "samples_per_second"} <= set(
        history[0]
    )
    assert history[0]["learning_rate"] > history[-1]["learning_rate"]


def test_a_seed_repeats_the_run_bit_for_bit():
    one, other = train()[0], train()[0]
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_stagewise_is_the_five_steps():
    config = CONFIG.replace(code_activation="sigmoid")
    _, history = train("stagewise", config, max_iter=10)
    stages = list(dict.fromkeys(row["stage"] for row in history))
    assert stages == ["train encoder.0", "train encoder.1", "train decoder", "shrink", "sparsify activations"]


def test_a_stage_moves_only_its_layers():
    X = data()
    settings = TrainConfig(max_iter=1, batch_size=50)
    model = Autoencoder(CONFIG)
    for stage in (
        Stage("a", 1, ("encoder.0",), temporary_decoder=True),
        Stage("b", 1, ("decoder.0", "decoder.1")),
    ):
        before = {name: layer.values.detach().clone() for name, layer in model.layers.items()}
        fit(model, ArraySource(X), (stage,), settings)
        for name, layer in model.layers.items():
            assert torch.equal(layer.values, before[name]) == (name not in stage.layers)


class Told(Shrinker):
    def prox(self, layers, rates):
        self.rates = rates


def test_a_proximal_step_is_told_the_rates_of_the_layers_own_edges():
    model, told = Autoencoder(CONFIG), Told()
    stage = Stage("all", 1, ("encoder.0",), shrinkers=(told,))
    ((row,), _) = fit(model, ArraySource(data()), (stage,), TrainConfig(max_iter=1))
    assert told.rates == pytest.approx({"encoder.0": row["learning_rate"] / model.layers["encoder.0"].density})


def test_stagewise_needs_an_epoch_for_each_stage():
    with pytest.raises(ValueError, match="has 5 stages here and needs max_iter of at least as many epochs; got 3"):
        train("stagewise", max_iter=3)


def test_l1_zeros_leave_the_topology():
    config = CONFIG.replace(density=1.0)
    model, _ = train(config=config, shrink="none", l1=0.8, max_iter=30)
    assert model.density < 0.9
    assert all((layer.values != 0).all() for layer in model.layers.values())


def test_early_stopping_keeps_the_best_weights_at_the_final_density():
    validation = ArraySource(data(seed=1)[:60])
    model, history = train(validation=validation, max_iter=200, n_iter_no_change=2, tol=0.01, learning_rate_init=0.05)
    assert len(history) < 200
    x = torch.from_numpy(validation.X)
    with torch.no_grad():
        loss = (model(x) - x).square().mean().item()
    settled = [row["validation_loss"] for row in history[149:]]
    assert min(settled) < 0.999 * settled[-1]
    assert loss == pytest.approx(min(settled), rel=1e-4)
    assert {name: layer.nnz for name, layer in model.layers.items()} == target_nnz(CONFIG)


def test_a_loss_that_is_no_number_stops_with_advice():
    with pytest.raises(
        FloatingPointError,
        match=r"at step \d+ of stage 'joint', epoch \d+\. Lower learning_rate_init \(now 1e\+30\)",
    ):
        train(learning_rate_init=1e30)


def test_ctrl_c_ends_cleanly(monkeypatch):
    calls = []
    original = ArraySource.batches

    def interrupted(self, *args, **kwargs):
        for batch in original(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == 6:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    monkeypatch.setattr(ArraySource, "batches", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 2, stage 'joint'"):
        model, history = train()
    assert len(history) == 2
    assert len(calls) == 6
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.isfinite(model(torch.from_numpy(data()))).all()


def test_a_second_ctrl_c_raises():
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@each(verbose=[0, 1])
def test_silent_without_a_terminal(capfd, verbose):
    X = data()
    model = Autoencoder(CONFIG)
    fit(model, ArraySource(X), (Stage("all", 1, ("encoder.0",)),), TrainConfig(max_iter=1), verbose=verbose)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_sees_one_line(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    fit(Autoencoder(CONFIG), ArraySource(data()), (Stage("all", 2, ("encoder.0",)),), TrainConfig(), verbose=1)
    shown = capsys.readouterr().err
    assert "epoch 2" in shown
    assert "loss" in shown
    assert "density" in shown


@each(rank=[0, 1])
def test_of_several_processes_rank_0_draws_the_line(capsys, monkeypatch, rank):
    monkeypatch.setenv("FORCE_COLOR", "1")
    capsys.readouterr()
    among = ops.Alone()
    among.rank = rank
    with ops.among(among):
        fit(Autoencoder(CONFIG), ArraySource(data()), (Stage("all", 1, ("encoder.0",)),), TrainConfig(), verbose=1)
    assert ("epoch 1" in capsys.readouterr().err) == (rank == 0)


@each(shrink=["tempered", "random"])
def test_training_ends_on_a_plateau_of_its_own_loss_but_not_before_the_last_rewiring(shrink):
    settings = {"shrink": shrink, "learning_rate_init": 1e-12, "max_iter": 12, "n_iter_no_change": 2, "tol": 0.01}
    model, history = train(**settings)
    assert len(history) == (11 if shrink == "tempered" else 3)  # the first that counts sets the mark
    assert model.density == train(**settings | {"n_iter_no_change": 100})[0].density

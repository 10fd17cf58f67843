"""Layer by layer, the first layer minimises the data's loss and an inner one the squared error of its input."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each
from torch.nn import functional as F

from dsae import ops
from dsae.config import AutoencoderConfig, TrainConfig
from dsae.nn import Autoencoder
from dsae.train._objective import objective_of, temporary_decoder
from dsae.train._stages import Stage

X = (np.random.default_rng(0).random((40, 12)) < 0.3).astype(np.float32)


def model(loss):
    output = "sigmoid" if loss == "bce" else "identity"
    config = AutoencoderConfig(12, 3, hidden_layer_sizes=(7,), output_activation=output, density=0.5)
    found = Autoencoder(config, torch.Generator().manual_seed(0))
    found.set_moments(torch.tensor(X.mean(axis=0)), torch.ones(12))
    return found


def objective(model, loss, name, rows, weight=None):
    decoder = temporary_decoder(model.layers[name], seed=1)
    run = SimpleNamespace(model=model, config=TrainConfig(loss=loss))
    stage = Stage("alone", 1, (name,), temporary_decoder=True)
    value, whole = objective_of(run, stage, decoder, ops.given_of(rows, weight=weight))
    assert value is whole
    value.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (model.layers[name].values, decoder.values))
    return value.item(), decoder


@each(rows=[X, sp.csr_matrix(X)], loss=["mse", "bce"])
def test_the_first_layer_has_the_loss_of_the_data(loss, rows):
    one = model(loss)
    value, decoder = objective(one, loss, "encoder.0", rows)
    x = torch.tensor(X)
    hidden = torch.relu(one.layers["encoder.0"](x - one.mean))
    logits = decoder(hidden)
    wanted = F.mse_loss(logits, x - one.mean) if loss == "mse" else F.binary_cross_entropy_with_logits(logits, x)
    assert value == pytest.approx(wanted.item(), rel=1e-5)


@each(name=["encoder.0", "encoder.1"], rows=[X, sp.csr_matrix(X)])
def test_a_row_of_weight_two_is_two_rows(rows, name):
    weight = np.arange(40) % 3
    twice = rows[np.repeat(np.arange(40), weight)]
    values = [objective(model("mse"), "mse", name, *given)[0] for given in ((rows, weight), (twice, None))]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


@each(rows=[X, sp.csr_matrix(X)], loss=["mse", "bce"])
def test_an_inner_layer_has_the_squared_error_of_its_input(loss, rows):
    one = model(loss)
    value, decoder = objective(one, loss, "encoder.1", rows)
    hidden = torch.relu(one.layers["encoder.0"](torch.tensor(X) - one.mean))
    wanted = F.mse_loss(decoder(one.layers["encoder.1"](hidden)), hidden)
    assert value == pytest.approx(wanted.item(), rel=1e-5)

"""AuxK reaches the encoder of latents that are dead, and brings them back."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each

from dsae import DeepSparseAutoencoder, ops
from dsae.config import AutoencoderConfig
from dsae.data import make_sparse_features
from dsae.nn import Autoencoder
from dsae.ops import SparseRows
from dsae.shrink import AuxK, Shrinker

N_ROWS, WIDTH, LATENTS, K = 70, 12, 20, 4
DEAD = [0, 3, 7]


def model_with_dead(code="topk", density=1.0, **changes):
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation=code, k=K, density=density, **changes)
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in model.decoder:
            layer.values.mul_(10)  # the first reconstruction is nearly the mean
        list(model.encoder)[-1].bias[DEAD] = -10.0
    return model


def rows(n=N_ROWS, seed=0):
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


def dense_twin(layers):
    """Linear layers with a ReLU between them."""
    linear = [layer.to_dense() for layer in layers]
    return torch.nn.Sequential(*[part for layer in linear for part in (layer, torch.nn.ReLU())][:-1])


def by_autograd(model, x, weight):
    """The formula on dense matrices, the decoder's Jacobian by torch; value and gradient of the last encoder layer."""
    encoder, decoder = dense_twin(model.encoder), dense_twin(model.decoder)
    z = encoder(x)
    t = torch.zeros_like(z)
    t[:, DEAD] = z[:, DEAD]
    code = model.encode(x).detach()
    jacobians = torch.stack([torch.autograd.functional.jacobian(decoder, row) for row in code])
    e = (x - decoder(code)).detach()
    off = torch.einsum("rij,rj->ri", jacobians, t) - e
    value = weight * x.var(0, correction=0).mean() * off.square().sum() / e.square().sum()
    (gradient,) = torch.autograd.grad(value, encoder[-1].weight)
    return value, gradient


@each(density=[1.0, 0.4], hidden=[(), (9,)], code=["topk", "batchtopk", "jumprelu"])
def test_value_and_gradient_are_those_of_the_dense_twin(code, hidden, density):
    model, x = model_with_dead(code, density, hidden_layer_sizes=hidden), rows()
    aux = AuxK(dead_after=N_ROWS, weight=0.3)
    aux.idle = torch.zeros(LATENTS, dtype=torch.int64)
    aux.idle[DEAD] = N_ROWS
    model.eval()
    trace = model.trace(x)
    assert isinstance(trace.pre_code, ops.Panels) == (density < 1)
    value = aux.penalty(model, trace)
    wanted, gradient = by_autograd(model, x, 0.3)
    torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5)
    value.backward()
    layer = list(model.encoder)[-1]
    at = torch.from_numpy(layer.topology.flat).long()
    torch.testing.assert_close(layer.values.grad, gradient.flatten()[at], rtol=1e-3, atol=1e-5)


@each(density=[1.0, 0.4])
def test_the_gradient_reaches_the_encoder_of_dead_latents_and_of_no_others(density):
    model = model_with_dead(density=density).train()
    aux = AuxK(dead_after=N_ROWS)
    aux.penalty(model, model.trace(rows())).backward()
    layer = model.layers["encoder.0"]
    gradient = torch.zeros(LATENTS, WIDTH)
    gradient.view(-1)[torch.from_numpy(layer.topology.flat).long()] = layer.values.grad
    norms = gradient.norm(dim=1)
    dead = torch.zeros(LATENTS, dtype=torch.bool)
    dead[aux.dead()] = True
    assert set(DEAD) <= set(aux.dead().tolist())
    assert (norms[dead] > 0).all()
    assert (norms[~dead] == 0).all()
    assert (layer.bias.grad[dead] != 0).all()
    assert model.layers["decoder.0"].bias.grad is None


@each(density=[1.0, 0.4], hidden=[(), (9,)])
def test_of_a_wide_sparse_batch_the_first_rows_count(density, hidden, monkeypatch):
    model = model_with_dead(density=density, hidden_layer_sizes=hidden).eval()
    X = sp.random(N_ROWS, WIDTH, 0.3, "csr", np.float32, random_state=0)
    aux, traces = AuxK(dead_after=1), [model.trace(SparseRows.of(x)) for x in (X, X[:5])]
    aux.idle = torch.zeros(LATENTS, dtype=torch.int64)
    aux.idle[DEAD] = 1
    wanted = aux.penalty(model, traces[1]) / traces[1].variance
    monkeypatch.setattr("dsae.nn._trace._VALUES_AT_ONCE", 5 * WIDTH + 1)
    torch.testing.assert_close(aux.penalty(model, traces[0]) / traces[0].variance, wanted)


def test_nothing_dead_costs_nothing():
    model = model_with_dead().train()
    aux = AuxK(dead_after=3 * N_ROWS)
    for _ in range(2):
        assert aux.penalty(model, model.trace(rows())) == 0.0
    assert isinstance(aux.penalty(model, model.trace(rows())), torch.Tensor)


def test_the_clock_counts_samples_and_stands_still_in_use():
    model, aux = model_with_dead().train(), AuxK(1000)
    for n in (30, 33, 7):
        trace = model.trace(rows(n))
        aux.penalty(model, trace)
    assert (aux.idle[DEAD] == 70).all()
    fired = (trace.code != 0).any(0)
    assert (aux.idle[fired] == 0).all()
    model.eval()
    aux.penalty(model, model.trace(rows()))
    assert (aux.idle[DEAD] == 70).all()


@each(x=[torch.zeros(5, WIDTH), torch.full((5, WIDTH), 1e-30), 1e12 * rows(5)])
def test_it_is_finite_always(x):
    model = model_with_dead().train()
    with torch.no_grad():
        for layer in model.layers.values():
            layer.bias.zero_()
    aux = AuxK(dead_after=1)
    aux.idle = torch.full((LATENTS,), 10)
    value = aux.penalty(model, model.trace(x))
    value.backward()
    assert value.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(("code", "density"), [("topk", 1.0), ("batchtopk", 0.4)])
def test_latents_that_start_with_a_bias_of_minus_ten_come_back(code, density):
    X = torch.from_numpy(make_sparse_features(8000, 24, 80, n_trees=0, max_rate=0.2, random_state=0).X)

    def dead_share(shrinker, n_steps):
        config = AutoencoderConfig(24, 40, code_activation=code, k=K, density=density)
        model = Autoencoder(config, torch.Generator().manual_seed(0)).train()
        model.set_moments(X.mean(0), torch.ones(24))
        with torch.no_grad():
            model.layers["encoder.0"].bias[:12] = -10.0
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for step in range(n_steps):
            optimizer.zero_grad()
            trace = model.trace(X[64 * (step % 125) :][:64])
            ((trace.rows(trace.output) - trace.target).square().mean() + shrinker.penalty(model, trace)).backward()
            optimizer.step()
        model.eval()
        return (model.encode(X) == 0).all(0).float().mean()

    assert dead_share(Shrinker(), 150) > 0.25
    assert dead_share(AuxK(dead_after=2000), 600) < 0.05


@pytest.mark.parametrize("code", ["topk", "jumprelu"])
def test_training_brings_dead_latents_back(code):
    weight = np.random.default_rng(0).normal(size=(LATENTS, WIDTH)).astype(np.float32)
    init = [(weight, np.isin(np.arange(LATENTS), DEAD) * -20.0), (weight.T / WIDTH, np.zeros(WIDTH))]
    settings = {"hidden_layer_sizes": (), "density": 1.0, "shrink": "none", "max_iter": 60, "batch_size": 10}
    # At a dictionary's own rate, which is for more rows a step than ten, some fire so rarely that rounding decides.
    settings["learning_rate_init"] = 3e-3
    dsa = DeepSparseAutoencoder(LATENTS, code_activation=code, k=K, init=init, random_state=3, **settings)
    dsa.fit(rows(300).numpy())
    # One that came back fires in some 1 of 100 rows.
    assert (dsa.transform(rows(3000).numpy())[:, DEAD] > 0).any(axis=0).all()


def test_a_bias_rises_until_its_latent_fires_and_those_of_living_latents_stay():
    model = model_with_dead().train()
    aux, bias = AuxK(dead_after=N_ROWS), model.layers["encoder.0"].bias
    aux.penalty(model, model.trace(rows()))
    before = bias.detach().clone()
    living = torch.ones(LATENTS, dtype=torch.bool)
    living[aux.dead()] = False
    for _ in range(500):
        aux.penalty(model, model.trace(rows()))
    assert torch.equal(bias[living], before[living])
    assert (aux.idle[DEAD] < 100 * N_ROWS).all()
    assert (model.encode(rows())[:, DEAD] > 0).float().mean() < 0.1

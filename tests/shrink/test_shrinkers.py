"""Every shrinker: one hook each; the penalties are what their papers say."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each

from dsae import shrink
from dsae.config import AutoencoderConfig
from dsae.nn import Autoencoder
from dsae.ops import SparseRows
from dsae.shrink import L1, L2, Clock, Contractive, DropZeros, Schedule, Shrinker, TargetL0, TargetRate

KINDS = [
    kind
    for kind in vars(shrink).values()
    if isinstance(kind, type) and issubclass(kind, Shrinker) and kind is not Shrinker
]


def model_and_trace(code="sigmoid", n_rows=40, **changes):
    k = 2 if code in ("topk", "batchtopk", "jumprelu") else None
    settings = {"n_features": 12, "n_components": 5, "density": 0.6} | changes
    model = Autoencoder(AutoencoderConfig(code_activation=code, k=k, **settings))
    return model, model.trace(torch.randn(n_rows, 12))


@each(kind=KINDS)
def test_exactly_one_hook(kind):
    assert len({"penalty", "prox", "rewire"} & set(vars(kind))) == 1


def test_the_neutral_shrinker_does_nothing():
    model, trace = model_and_trace()
    before = model.layers["encoder.0"].values.clone()
    neutral = Shrinker()
    assert neutral.penalty(model, trace) == 0
    neutral.prox(model.layers, dict.fromkeys(model.layers, 0.1))
    assert neutral.rewire(model.layers, Clock(1, 1, 1)) == {}
    assert torch.equal(before, model.layers["encoder.0"].values)


def test_l1_is_the_proximal_operator():
    model, _ = model_and_trace()
    layer = model.layers["encoder.0"]
    before = layer.values.detach().clone()
    L1(0.5).prox(model.layers, dict.fromkeys(model.layers, 0.2))
    torch.testing.assert_close(layer.values.detach(), before.sign() * (before.abs() - 0.1).clamp(min=0))
    assert (layer.values == 0).any()


@each(block_size=[4, 8])
def test_l1_of_blocks_is_the_group_lasso_and_whole_blocks_leave(block_size):
    config = AutoencoderConfig(n_features=13, n_components=5, density=0.6, block_size=block_size)
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    layer = model.layers["decoder.0"]
    before = [part.clone() for part in layer.topology.by_block(layer.values.detach())]
    assert len(before) == 2  # the last group is narrower
    threshold = torch.cat([part.norm(dim=1) / part.shape[1] ** 0.5 for part in before]).median().item()
    assert L1(0.5).fuse(model.layers, dict.fromkeys(model.layers, 2 * threshold)) == {}
    L1(0.5).prox(model.layers, dict.fromkeys(model.layers, 2 * threshold))
    gone = 0
    for was, part in zip(before, layer.topology.by_block(layer.values.detach()), strict=True):
        norms = was.norm(dim=1, keepdim=True)
        kept = (1 - threshold * was.shape[1] ** 0.5 / norms).clamp(min=0)
        torch.testing.assert_close(part, kept * was)
        zero = (part == 0).all(1)
        assert torch.equal(zero, (part == 0).any(1))
        gone += int(zero.sum())
    assert 0 < gone < layer.topology.n_blocks
    n_blocks = layer.topology.n_blocks
    layer.rewire(DropZeros.zeros(model.layers)["decoder.0"])
    assert layer.topology.n_blocks == n_blocks - gone
    assert (layer.values != 0).all()


def test_zeros_leave_the_topology_and_nothing_else_does():
    model, _ = model_and_trace()
    L1(1.0).prox(model.layers, dict.fromkeys(model.layers, 0.2))
    dense = {name: layer.to_dense().weight for name, layer in model.layers.items()}
    drop = DropZeros(every=10)
    assert drop.rewire(model.layers, Clock(9, 100, 10)) == {}
    for name, rewiring in drop.rewire(model.layers, Clock(10, 100, 10)).items():
        model.layers[name].rewire(rewiring)
    for name, layer in model.layers.items():
        assert (layer.values != 0).all()
        assert torch.equal(layer.to_dense().weight, dense[name])


def test_l2_is_half_the_squared_norm():
    model, trace = model_and_trace()
    norm = sum(layer.values.detach().square().sum() for layer in model.layers.values())
    torch.testing.assert_close(L2(0.3).penalty(model, trace).detach(), 0.15 * norm)


@each(hidden=[(), (9,)], code=["identity", "relu", "sigmoid", "softmax", "topk", "jumprelu"])
def test_contractive_estimates_the_jacobian_norm(code, hidden):
    model, _ = model_and_trace(code, hidden_layer_sizes=hidden, activation="sigmoid")
    x = torch.randn(1, 12)
    jacobian = torch.autograd.functional.jacobian(lambda row: model.double().encode(row), x.double()).squeeze()
    wanted = jacobian.square().sum().item()
    model.float()
    trace = model.trace(x.repeat(20_000, 1))
    assert Contractive(1.0, 0).squared_norm(model, trace).item() == pytest.approx(wanted, rel=0.05, abs=1e-9)


def test_contractive_draws_for_the_first_rows_of_a_wide_sparse_batch(monkeypatch):
    model, _ = model_and_trace(density=1.0)
    X = sp.random(40, 12, 0.3, "csr", np.float32, random_state=0)
    wanted = Contractive(1.0, 0).squared_norm(model, model.trace(SparseRows.of(X[:5])))
    trace = model.trace(SparseRows.of(X))
    assert not torch.equal(Contractive(1.0, 0).squared_norm(model, trace), wanted)
    monkeypatch.setattr("dsae.nn._trace._VALUES_AT_ONCE", 5 * 12)
    torch.testing.assert_close(Contractive(1.0, 0).squared_norm(model, trace), wanted)


def test_contractive_for_one_sigmoid_layer_is_the_equation_of_the_paper():
    model, trace = model_and_trace(n_rows=20_000)
    h = trace.code
    rows = model.layers["encoder.0"].to_dense().weight.square().sum(1)
    wanted = ((h * (1 - h)).square() * rows).sum(1).mean() * 0.7 / 12
    torch.testing.assert_close(Contractive(0.7, 0).penalty(model, trace), wanted, rtol=0.05, atol=0)


def test_kl_penalty_is_ngs_formula():
    model, trace = model_and_trace()
    mean, rate = trace.code.detach().double().numpy().mean(0), 0.1
    divergence = rate * np.log(rate / mean) + (1 - rate) * np.log((1 - rate) / (1 - mean))
    assert TargetRate(rate, beta=3).penalty(model, trace).item() == pytest.approx(
        2 * 3 * divergence.sum() / 12, rel=1e-4
    )


@each(code=["sigmoid", "softmax"])
def test_target_rate_draws_the_code_to_its_rate(code):
    model, _ = model_and_trace(code)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    x = torch.randn(40, 12)
    for _ in range(200):
        optimizer.zero_grad()
        TargetRate(0.3).penalty(model, model.trace(x)).backward()
        optimizer.step()
    codes = model.encode(x).detach()
    if code == "sigmoid":
        np.testing.assert_allclose(codes.mean(0), 0.3, atol=0.02)
    else:
        perplexity = torch.exp(-(codes * codes.clamp(min=1e-9).log()).sum(1))
        assert (perplexity / 5).mean() < 0.35


def test_target_l0_gives_the_first_batch_its_l0_and_charges_what_it_takes():
    model, trace = model_and_trace("jumprelu", n_rows=400)
    model.train()
    shrinker = TargetL0(2)
    shrinker.penalty(model, trace)
    x = trace.target
    assert abs((model.encode(x) != 0).sum(1).float().mean() - 2) < 0.05
    for _ in range(5):
        with torch.no_grad():
            model.activations[0].log_threshold -= 0.1
        before, excess = shrinker.price, (model.encode(x) != 0).sum(1).float().mean() / 2 - 1
        value = shrinker.penalty(model, model.trace(x))
        assert shrinker.price == pytest.approx(before + 1e-3 * min(excess.item(), 1), rel=1e-4)
        wanted = x.var(0, correction=0).mean() * (shrinker.price * excess + 0.1 * excess**2)
        assert value.item() == pytest.approx(wanted.item(), rel=1e-4)
    model.eval()
    before = shrinker.price
    shrinker.penalty(model, model.trace(x))
    assert shrinker.price == before


@each(off=[-1.0, 1.0])
def test_target_l0_is_reached_where_nothing_else_learns(off):
    torch.manual_seed(0)
    model, trace = model_and_trace("jumprelu", n_rows=400)
    model.train()
    shrinker = TargetL0(2, shift=0.05)
    shrinker.penalty(model, trace)
    with torch.no_grad():
        model.activations[0].log_threshold += off
    l0 = [(model.encode(trace.target) != 0).sum(1).float().mean().item()]
    for _ in range(300):
        shrinker.penalty(model, model.trace(trace.target))
    l0.append((model.encode(trace.target) != 0).sum(1).float().mean().item())
    assert abs(l0[0] - 2) > 0.2
    assert l0[1] == pytest.approx(2, abs=0.05)


def test_target_l0_out_of_reach_leaves_thresholds_that_can_return():
    model, trace = model_and_trace("jumprelu")
    model.train()
    shrinker = TargetL0(5, shift=100.0)
    with torch.no_grad():
        model.layers["encoder.0"].bias.fill_(-100)
    for _ in range(3):
        shrinker.penalty(model, model.trace(trace.target))
    jump = model.activations[0]
    assert (jump.threshold > 0).all()
    assert (jump.log_threshold == -12).all()


def test_the_cubic_schedule():
    schedule = Schedule(start=math.inf, until=0.5)
    counts = [schedule.nnz(Clock(step, 200, 10), 1000, 100) for step in (0, 50, 100, 150)]
    assert counts == [1000, round(100 + 900 * 0.125), 100, 100]


def test_the_cosine_share():
    schedule = Schedule(share=0.4, cosine=True, until=0.5)
    assert [schedule.exchanged(Clock(step, 200, 10), 100) for step in (0, 50, 100)] == [40, 20, 0]
    assert [schedule.due(Clock(step, 200, 10)) for step in (99, 100, 102)] == [True, True, False]

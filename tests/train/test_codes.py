"""Steps that leave out a code's zeros have the gradients of those that do not."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import covering, each, pairs
from tests.train.runs import STEPS, Killed, StoppedError, same, train

from dsae import ops
from dsae.config import AutoencoderConfig, TrainConfig
from dsae.nn import Autoencoder, target_nnz
from dsae.ops import Code
from dsae.train import Checkpoints, SparseAdam, _train_step, joint
from dsae.train._step import AutogradStep

N_ROWS, WIDTH, LATENTS, K = 64, 24, 96, 5
CODES = ["topk", "batchtopk", "jumprelu"]


def entries(monkeypatch, most):
    """Leave out zeros where at most this share of a code lives: 0 never, 1 always."""
    monkeypatch.setattr("dsae.nn._codes.MOST_ENTRIES", most)


def rows(rng, sparse=False):
    X = np.abs(rng.normal(size=(N_ROWS, 8)) @ rng.normal(size=(8, WIDTH))).astype(np.float32) / 8
    if not sparse:
        return torch.from_numpy(X)
    X *= rng.random(X.shape) < 0.1
    return ops.SparseRows.of(sp.csr_matrix(X))


def step(model, shrinkers, x, loss):
    """Kind of the code, loss and objective, gradients by name, and what the shrinkers know afterwards."""
    trace = model.train().trace(x)
    value = trace.loss(loss)
    objective = value + sum(shrinker.penalty(model, trace) for shrinker in shrinkers)
    model.zero_grad()
    objective.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    known = {name: b.clone() for name, b in model.named_buffers()}, [s.state_dict() for s in shrinkers]
    return type(trace.hidden[-1]), (value.item(), objective.item()), gradients, known


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.allclose(one, other, rtol=1e-5) if isinstance(one, torch.Tensor) else one == pytest.approx(other, 1e-5)


@native
@covering(
    code=CODES,
    density=[1.0, 0.4, 0.1],
    sizes=[((), None), ((30,), None), ((), (30,)), ((30, 20), (20,))],
    loss=["mse", "bce"],
    sparse=[False, True],
    dead=[False, True],
    l2=[0.0, 1e-3],
    by="code",
)
def test_steps_from_the_oracles_state_have_its_gradients(
    monkeypatch, rng, code, density, sizes, loss, sparse, dead, l2
):
    """AuxK with and without dead latents, the price of jumprelu's L0 and all thresholds included."""
    output = "sigmoid" if loss == "bce" else "identity"
    config = AutoencoderConfig(WIDTH, LATENTS, *sizes, "relu", code, output, K, density)
    how = TrainConfig(loss=loss, l2=l2, shrink="none")
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    shrinkers = joint(config, how, target_nnz(config), 0)[0].shrinkers
    if dead:
        shrinkers[-1].dead_after = 2 * N_ROWS
    optimizer = SparseAdam(model.layers, model.parameters(), 3e-3)
    for _ in range(max(24, STEPS)):
        x = rows(rng, sparse)
        with torch.no_grad():  # latents without inputs tie, of which torch takes any
            list(model.encoder)[-1].bias.add_(torch.from_numpy(rng.normal(0, 1e-3, LATENTS).astype(np.float32)))
        twin, beside = copy.deepcopy(model), copy.deepcopy(shrinkers)
        entries(monkeypatch, 1)
        kind, values, gradients, known = step(twin, beside, x, loss)
        entries(monkeypatch, 0)
        dense, expected, oracle, wanted = step(model, shrinkers, x, loss)
        assert kind is Code
        assert dense is not Code
        assert values == pytest.approx(expected, 1e-5)
        assert equal(known, wanted)
        assert gradients.keys() == oracle.keys()
        for name, gradient in oracle.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-5 * gradient.abs().max().item())
        optimizer.step()
    assert not dead or len(shrinkers[-1].dead())


@native
@each(code=CODES, density=[1.0, 0.3])
def test_whether_zeros_are_left_out_is_decided_by_how_many_there_are(monkeypatch, code, density):
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation=code, k=K, density=density)
    model = Autoencoder(config, torch.Generator().manual_seed(0)).train()
    kinds = []
    for share in (0.9, 1.1):
        if code == "jumprelu":
            entries(monkeypatch, 1)
            share *= model.trace(rows(np.random.default_rng(0))).hidden[-1].pattern.density
        else:
            share *= K / LATENTS
        entries(monkeypatch, share)
        kinds.append(type(model.trace(rows(np.random.default_rng(0))).hidden[-1]) is Code)
    assert kinds == [False, True]


def dense_rows(z):
    return (ops.unpack(z) if isinstance(z, ops.Panels) else z).detach()


@native
@pairs(code=CODES, density=[1.0, 0.3], n=[3, 17])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, code, density, n):
    settings = {"n_components": 80, "hidden_layer_sizes": (), "code_activation": code, "k": 4, "density": density}
    whole = train(**settings)
    with pytest.raises(StoppedError):
        train(Killed(tmp_path, n), **settings)
    same(whole, train(Checkpoints(tmp_path), **settings))


@native
@pairs(code=CODES, density=[1.0, 0.3], hidden=[(), (40,)])
def test_the_bits_do_not_depend_on_the_number_of_threads(code, density, hidden):
    settings = {"n_components": 2048, "hidden_layer_sizes": hidden, "code_activation": code, "k": 8}
    X = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
    before, runs = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            runs.append(train(rows=X, density=density, max_iter=2, batch_size=300, **settings))
    finally:
        torch.set_num_threads(before)
    same(*runs)


@native
def test_growth_by_gradient_sees_the_gradient_of_all_of_the_code(monkeypatch, rng):
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation="topk", k=K, density=0.4)
    model, x, tapes = Autoencoder(config, torch.Generator().manual_seed(0)), rows(rng), []
    for most in (0, 1):
        entries(monkeypatch, most)
        for layer in model.layers.values():
            layer.tape.clear()
            layer.tape.recording = True
        model.train().trace(x).loss("mse").backward()
        tapes.append([dense_rows(t) for layer in model.layers.values() for t in (layer.tape.x, layer.tape.dy)])
    for got, expected in zip(*tapes, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6 * expected.abs().max().item())


@native
def test_torch_func_differentiates_all_of_it(monkeypatch, rng):
    entries(monkeypatch, 1)
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation="topk", k=K)
    model, x = Autoencoder(config, torch.Generator().manual_seed(0)).eval(), rows(rng)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf).square().sum(), leaf)
    got = torch.func.grad(lambda x: model(x).square().sum())(x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@native
@each(k=[4, 40])
def test_no_other_step_takes_a_code_whose_zeros_are_left_out(monkeypatch, k):
    """The stage that shrinks has no penalty on the code, so that the step by panels would take it."""
    chosen, choose = set(), _train_step.step_for

    def step_for(run, learner):
        step = choose(run, learner)
        if learner.extra is None:
            chosen.add(type(step))
        return step

    monkeypatch.setattr(_train_step, "step_for", step_for)
    settings = {"n_components": 80, "hidden_layer_sizes": (), "code_activation": "topk", "density": 0.3}
    train(k=k, schedule="stagewise", **settings)
    assert (chosen == {AutogradStep}) == (k == 4)


def test_growth_takes_the_gradients_of_training_alone(monkeypatch, rng):
    """Importances are measured after an epoch, on batches of other lengths, while the next step is to be taped."""
    entries(monkeypatch, 1)
    settings = {"n_components": 80, "hidden_layer_sizes": (), "code_activation": "topk", "k": K, "density": 0.3}
    train(rows=np.tile(rows(rng).numpy(), (4, 1))[:300], shrink="rigl", batch_size=80, max_iter=3, **settings)


def test_biases_learn_where_weights_are_frozen(monkeypatch, rng):
    entries(monkeypatch, 1)
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation="topk", k=K)
    model, x = Autoencoder(config, torch.Generator().manual_seed(0)), rows(rng)
    model.trace(x).loss("mse").backward()
    expected = model.encoder[0].bias.grad.clone()
    model.zero_grad()
    model.encoder[0].values.requires_grad_(False)
    model.trace(x).loss("mse").backward()
    torch.testing.assert_close(model.encoder[0].bias.grad, expected)

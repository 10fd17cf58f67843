"""Every topology method in a loop of one's own, with any optimizer."""

import io
import math

import numpy as np
import pytest
import torch
from tests.covering import each
from torch import nn

from dsae.nn import SparseLinear
from dsae.shrink import METHODS, Method, OpenEnded, Pruner, Schedule, swap_parameter
from dsae.topology import erdos_renyi

N_STEPS = 60
OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.003, momentum=0.5),
}
# every method, every optimizer, both ways to give a density, each device's verbs (float64 is plain torch)
CASES = [
    (
        method,
        list(OPTIMIZERS)[i % 4],
        [0.15, {"0": 0.3, "2.inner": 0.1}][i // 2 % 2],
        [torch.float32, torch.float64][i % 3 == 2],
    )
    for i, method in enumerate(METHODS)
]
cases = pytest.mark.parametrize(("method", "optimizer", "density", "dtype"), CASES)
X = torch.randn(40, 3, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Block(nn.Module):
    def __init__(self, n_in, n_out, density):
        super().__init__()
        self.inner = SparseLinear(n_in, n_out, density=density)

    def forward(self, x):
        return self.inner(x.relu())


class Training:
    """A user's module, optimizer and loop."""

    def __init__(self, optimizer, dtype=torch.float32, built=1.0, earlier=None, **settings):
        torch.manual_seed(0)
        self.model = nn.Sequential(SparseLinear(12, 20, density=built), nn.LayerNorm(20), Block(20, 5, built)).to(dtype)
        if earlier is not None:
            self.model.load_state_dict(earlier["model"])
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        if earlier is not None:
            self.optimizer.load_state_dict(earlier["optimizer"])
        self.pruner = Pruner(self.model, self.optimizer, seed=3, **settings)
        if earlier is not None:
            self.pruner.load_state_dict(earlier["pruner"])
        self.x, self.y = X.to(dtype), Y.to(dtype)

    @property
    def counts(self):
        return {name: layer.nnz for name, layer in self.pruner.layers.items()}

    def run(self, n_steps):
        changed = []
        for _ in range(n_steps):
            self.optimizer.zero_grad()
            self.loss = nn.functional.mse_loss(self.model(self.x), self.y)
            self.loss.backward()
            self.optimizer.step()
            changed.append(self.pruner.step())
        return changed

    def state(self):
        buffer = io.BytesIO()
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "pruner")}
        torch.save(parts, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=True)


def wanted(density):
    sizes = {"0": (20, 12), "2.inner": (5, 20)}
    if isinstance(density, dict):
        return {name: round(share * sizes[name][0] * sizes[name][1]) for name, share in density.items()}
    return dict(zip(sizes, erdos_renyi(list(sizes.values()), density), strict=True))


@cases
def test_density_promised_is_density_obtained_and_stays(method, optimizer, density, dtype):
    training = Training(optimizer, dtype, density=density, method=method, n_steps=N_STEPS)
    before = nn.functional.mse_loss(training.model(training.x), training.y).item()
    changed = training.run(round(0.75 * N_STEPS))
    assert any(changed) == (method != "random")
    assert training.pruner.finished
    assert training.counts == wanted(density)
    at_the_end = {name: layer.topology.indices for name, layer in training.pruner.layers.items()}
    assert not any(training.run(N_STEPS - len(changed)))
    for name, layer in training.pruner.layers.items():
        assert layer.topology.indices is at_the_end[name]
        assert not layer.tape.recording
    assert training.loss.item() < before
    held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in training.model.parameters()}
    assert set(map(id, training.optimizer.state)) <= held


@each(method=METHODS)
def test_layers_of_blocks_come_to_their_density_within_one_block(method):
    layers = SparseLinear(12, 20, block_size=8), SparseLinear(20, 5, block_size=4)
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    pruner = Pruner(model, optimizer, density=0.3, method=method, n_steps=20)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(X.float()), Y.float()).backward()
        optimizer.step()
        pruner.step()
    wanted = erdos_renyi([(20, 12), (5, 20)], 0.3)
    for layer, count in zip(layers, wanted, strict=True):
        assert abs(layer.nnz - count) <= layer.block_size / 2


@cases
def test_stopped_and_resumed_it_ends_with_the_same_weights(method, optimizer, density, dtype):
    settings = {"density": density, "method": method, "n_steps": N_STEPS}
    whole, stops = Training(optimizer, dtype, **settings), {}
    for step in range(1, N_STEPS + 1):
        whole.run(1)
        if step in (1, 19, 20, 44, 50):
            stops[step] = whole.state()
    for step, state in stops.items():
        again = Training(optimizer, dtype, earlier=state, **settings)
        again.run(N_STEPS - step)
        for (name, one), (_, other) in zip(whole.pruner.layers.items(), again.pruner.layers.items(), strict=True):
            np.testing.assert_array_equal(one.topology.flat, other.topology.flat, err_msg=f"{name}, stopped at {step}")
            assert torch.equal(one.values, other.values)


@each(method=METHODS)
def test_open_ended_it_has_its_density_from_the_start(method):
    training = Training("adam", density=0.2, method=method)
    assert training.counts == wanted(0.2)
    changed = training.run(201)
    assert training.counts == wanted(0.2)
    assert [i for i, c in enumerate(changed, 1) if c] == ([] if method == "random" else [100, 200])
    assert training.pruner.finished == (method == "random")


@each(method=["random", "rigl", "tempered"])
def test_layers_that_are_too_sparse_grow_to_what_is_wanted(method):
    training = Training("adam", built=0.05, density=0.4, method=method, n_steps=N_STEPS)
    assert training.counts == wanted(0.4)
    training.run(N_STEPS)
    assert training.counts == wanted(0.4)


@each(optimizer=OPTIMIZERS)
def test_state_per_weight_moves_with_its_edge(optimizer):
    training = Training(optimizer, density=1.0, method="random")
    training.run(3)
    layer = training.model[0]
    old = {key: value.clone() for key, value in training.optimizer.state[layer.values].items() if value.ndim}
    drop = np.arange(layer.nnz) % 3 == 0
    swap_parameter(training.optimizer, layer, layer.topology.rewire(drop))
    state = training.optimizer.state[layer.values]
    assert old.keys() == {key for key, value in state.items() if value.ndim}
    for key, value in old.items():
        assert torch.equal(state[key], value[torch.tensor(~drop)])
    mean = state.get("exp_avg_sq", torch.zeros(1)).mean()
    grown = layer.topology.rewire(np.zeros(layer.nnz, bool), type(layer.topology).from_edges((20, 12), [0], [0]))
    swap_parameter(training.optimizer, layer, grown)
    new = torch.tensor(grown.source < 0)
    state = training.optimizer.state[layer.values]
    assert layer.values[new].item() == 0
    assert state.get("exp_avg_sq", torch.zeros(1, 1).expand(new.numel(), 1))[new].mean() == pytest.approx(mean.item())
    assert all(state[key][new].item() == 0 for key in ("momentum_buffer", "exp_avg") if key in state)


def test_layers_that_are_not_named_or_do_not_learn_keep_their_edges():
    training = Training("adam", density={"2.inner": 0.2}, method="set", n_steps=N_STEPS)
    training.run(N_STEPS)
    assert training.model[0].nnz == 240
    model = nn.Sequential(SparseLinear(6, 6).requires_grad_(False), SparseLinear(6, 2))
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), 0.1), density=0.5, method="magnitude", n_steps=10)
    assert list(pruner.layers) == ["1"]


def test_a_schedule_of_ones_own():
    schedule = Schedule(start=math.inf, every=5, until=0.5)
    training = Training("adam", density=0.2, method="magnitude", n_steps=40, schedule=schedule)
    assert sum(training.run(20)) > 2
    assert training.counts == wanted(0.2)
    method = Method(METHODS["saliency"].drop, METHODS["rigl"].grow, OpenEnded(every=7))
    assert Training("adam", density=0.2, method=method).run(14).count(True) == 2


def _model():
    return nn.Sequential(SparseLinear(4, 3), nn.Linear(3, 3))


@each(
    {
        "settings, message": [
            ({"density": 0}, r"density must be a number in \(0, 1\]; got 0"),
            ({"density": {"0": 2.0}}, r"density\['0'\] must be a number in \(0, 1\]; got 2"),
            ({"density": {"1": 0.5}}, "density names '1', which is no SparseLinear layer that learns"),
            ({"density": {}}, "density must name a layer"),
            ({"density": 0.5, "method": "rigel"}, "method must be one of .*; got 'rigel'. Did you mean 'rigl'"),
            ({"density": 0.5, "n_steps": 0}, "n_steps must be a whole number"),
            ({"density": 0.5, "schedule": Schedule(share=0.1)}, "n_steps must be the number of training steps"),
        ]
    }
)
def test_wrong_settings_are_refused(settings, message):
    model = _model()
    with pytest.raises(ValueError, match=message):
        Pruner(model, torch.optim.SGD(model.parameters(), 0.1), **settings)


def test_a_wrong_model_or_optimizer_is_refused():
    model = _model()
    with pytest.raises(ValueError, match="it has none"):
        Pruner(nn.Linear(2, 2), torch.optim.SGD(model.parameters(), 0.1), density=0.5)
    with pytest.raises(ValueError, match="optimizer must hold the values of layer '0'"):
        Pruner(model, torch.optim.SGD(model[1].parameters(), 0.1), density=0.5)
    with pytest.raises(ValueError, match="LBFGS"):
        Pruner(model, torch.optim.LBFGS(model.parameters()), density=0.5)


def test_a_step_without_gradients_is_refused():
    model = _model()
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), 0.1), density=0.5, n_steps=10)
    with pytest.raises(
        ValueError, match=r"after optimizer.step\(\) and before zero_grad\(\); layer '0' has no gradient"
    ):
        pruner.step()


def test_the_state_of_other_layers_is_refused():
    model = _model()
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), 0.1), density=0.5, n_steps=10)
    training = Training("adam", density=0.2, method="rigl", n_steps=N_STEPS)
    training.run(1)
    with pytest.raises(ValueError, match="Expected the state of layers"):
        pruner.load_state_dict(training.pruner.state_dict())

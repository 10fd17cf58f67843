"""Every topology method keeps the same promises."""

import math

import numpy as np
import pytest
import torch
from tests.covering import covering, each, pairs

from dsae import ops
from dsae.config import SHRINK, AutoencoderConfig, TrainConfig
from dsae.nn import Autoencoder, SparseLinear, target_nnz
from dsae.shrink import METHODS, Clock, Contractive, Rewire, rewire_by
from dsae.shrink._scores import AbsentGradient, Saliency, Tempered
from dsae.topology import inactive_edges
from dsae.train import SparseAdam, start_model, swap_parameter
from dsae.train._start import start_nnz

NAMES = sorted(METHODS)
N_STEPS = 60


def run(name, density=0.1, seed=0, n_steps=N_STEPS, watch=lambda model, step: None, block_size=1):
    """Adam on random targets, with the method's rewirings; the model at the end."""
    config = AutoencoderConfig(
        n_features=30, n_components=6, hidden_layer_sizes=(20,), density=density, block_size=block_size
    )
    moments = (np.zeros(30, np.float32), np.ones(30, np.float32))
    model = start_model(config, TrainConfig(shrink=name), torch.Generator().manual_seed(seed), moments)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    rewire = Rewire(METHODS[name], target_nnz(config), seed)
    x = torch.randn(64, 30, generator=torch.Generator().manual_seed(seed))
    for step in range(1, n_steps + 1):
        optimizer.zero_grad()
        (model(x) - x).square().mean().backward()
        optimizer.step()
        rewire.observe(model.layers)
        for layer, rewiring in rewire.rewire(model.layers, Clock(step, n_steps, 4)).items():
            swap_parameter(optimizer, model.layers[layer], rewiring)
            rewire.moved(layer, rewiring)
        watch(model, step)
    return model


def test_every_name_has_a_method():
    assert {*NAMES, "none"} == set(SHRINK)


@covering(
    name=NAMES, density=[0.02, 0.55, 1.0, {"encoder.0": 0.2, "decoder.0": 0.5}], n_steps=[1, 2, 7, N_STEPS], by="name"
)
def test_density_promised_is_density_obtained(name, density, n_steps):
    """Even in the shortest run."""
    model = run(name, density, n_steps=n_steps)
    assert {layer: module.nnz for layer, module in model.layers.items()} == target_nnz(model.config)


@pairs(name=NAMES, block_size=[4, 8], n_steps=[2, 40])
def test_blocks_come_to_their_density_within_one_block(name, block_size, n_steps):
    model = run(name, 0.2, n_steps=n_steps, block_size=block_size)
    for layer, wanted in target_nnz(model.config).items():
        topology = model.layers[layer].topology
        assert topology.block_size == block_size
        assert abs(topology.nnz - wanted) <= block_size / 2


@pytest.mark.parametrize("name", NAMES)
def test_rows_stay_sorted_and_distinct(name):
    for module in run(name).layers.values():
        t = module.topology
        for row in range(t.shape[0]):
            assert np.all(np.diff(t.indices[t.indptr[row] : t.indptr[row + 1]]) > 0)
        assert t.indptr[-1] == module.values.numel()


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_the_run_bit_for_bit(name):
    one, other = (run(name, seed=5, n_steps=24) for _ in range(2))
    for a, b in zip(one.layers.values(), other.layers.values(), strict=True):
        assert np.array_equal(a.topology.indices, b.topology.indices)
        assert torch.equal(a.values, b.values)
    different = run(name, seed=6, n_steps=24)
    assert not torch.equal(one.layers["encoder.0"].values[:5], different.layers["encoder.0"].values[:5])


@each(name=NAMES)
def test_methods_only_shrink_and_never_exceed_the_density_they_start_with(name):
    seen = []
    model = run(name, watch=lambda model, step: seen.append(model.nnz))
    schedule, size = METHODS[name].schedule, model.nnz / model.density
    assert seen == sorted(seen, reverse=True)
    start = min(schedule.start * model.nnz, max(schedule.densest * size, 2 * model.nnz))
    assert 0.8 * start < seen[0] <= 1.2 * start


@each({"name, changes": [("random", False), ("set", True), ("rigl", True), ("granet", True)]})
def test_who_exchanges_edges(name, changes):
    edges = []
    run(name, watch=lambda model, step: edges.append(model.layers["encoder.0"].topology.indices))
    assert (not np.array_equal(edges[0], edges[-1])) == changes


@each(name=["saliency", "magnitude", "gradient", "tempered"])
def test_what_goes_has_the_smallest_score(name):
    model = Autoencoder(AutoencoderConfig(n_features=30, n_components=6))
    x = torch.randn(64, 30)
    (model(x) - x).square().mean().backward()
    layer = model.layers["encoder.0"]
    score = {
        "magnitude": layer.values.abs(),
        "gradient": layer.values.grad.abs(),
        "saliency": (layer.values * layer.values.grad).abs(),
        "tempered": layer.values.abs() * layer.values.grad.abs() ** 0.25,
    }[name].detach()
    rewire = Rewire(METHODS[name], {"encoder.0": 20, "decoder.0": 20}, 0)
    rewire.observe(model.layers)
    kept = rewire.rewire(model.layers, Clock(1, 1, 1))["encoder.0"].source
    assert set(kept.tolist()) == set(score.topk(20).indices.tolist())


@each(name=["saliency", "tempered"])
def test_a_running_mean_follows_its_edges(name):
    layer, score, mean = SparseLinear(6, 5, density=0.5), METHODS[name].drop(), 0
    for _ in range(2):
        layer.values.grad = torch.randn_like(layer.values)
        now = layer.values.grad.abs() * (layer.values.detach().abs() if name == "saliency" else 1)
        mean = 0.99 * mean + 0.01 * now
        score.observe({"layer": layer})
    grown = inactive_edges(layer.topology, 4, np.random.default_rng(0))
    rewiring = layer.topology.rewire(np.arange(15) % 3 == 0, grown)
    score.moved("layer", rewiring)
    np.testing.assert_allclose(score.state_dict()["layer"], rewiring.move(mean.numpy()), rtol=1e-5)


@each(name=NAMES)
def test_the_optimisers_pass_tells_a_score_what_it_would_observe(name):
    """Until the topology is final; scores that need more than the gradient observe for themselves."""
    states, n_steps = [], 1000
    for fuses in (True, False):
        config = AutoencoderConfig(n_features=30, n_components=6, density=0.5)
        model = Autoencoder(config, torch.Generator().manual_seed(0))
        optimizer, rewire = SparseAdam(model.layers, lr=1e-3), Rewire(METHODS[name], target_nnz(config), 0)
        x = torch.randn(64, 30, generator=torch.Generator().manual_seed(0))
        for step in (1, 2, 3, n_steps, n_steps):
            optimizer.zero_grad()
            (model(x) - x).square().mean().backward()
            fused = rewire.fuse(model.layers, optimizer.rates()) if fuses else {}
            optimizer.step(fused=fused)
            if not fused:
                rewire.observe(model.layers)
            states.append((bool(fused), rewire.state_dict()["drop"]))
            assert not rewire.rewire(model.layers, Clock(step, n_steps, 10))
    drop = METHODS[name].drop
    assert [fused for fused, _ in states] == [*[drop is Tempered] * 4, False, *[False] * 5]
    assert [bool(state) for _, state in states] == [*[issubclass(drop, Saliency)] * 4, False] * 2
    for one, other in zip(states[:5], states[5:], strict=True):
        assert one[1].keys() == other[1].keys()
        for layer, mean in one[1].items():
            torch.testing.assert_close(mean, other[1][layer], rtol=1e-6, atol=0)


def test_set_drops_the_weakest_and_grows_at_zero():
    model = Autoencoder(AutoencoderConfig(n_features=30, n_components=6, density=0.2))
    for layer in model.layers.values():
        layer.values.grad = torch.zeros_like(layer.values)
    layer = model.layers["encoder.0"]
    weakest = set(layer.values.detach().abs().topk(round(0.3 * layer.nnz), largest=False).indices.tolist())
    rewire = Rewire(METHODS["set"], {name: module.nnz for name, module in model.layers.items()}, 0)
    rewiring = rewire.rewire(model.layers, Clock(5, 1000, 5))["encoder.0"]
    kept = set(rewiring.source[rewiring.source >= 0].tolist())
    assert kept == set(range(layer.nnz)) - weakest
    layer.rewire(rewiring)
    assert (layer.values[torch.tensor(rewiring.source < 0)] == 0).all()


@each(n_steps=[40, 400])
def test_rigl_grows_by_the_gradient_in_runs_of_any_length(n_steps, monkeypatch):
    by_chance = []
    original = AbsentGradient.edges

    def spy(self, layer, n):
        by_chance.append(layer.tape.x is None)
        return original(self, layer, n)

    monkeypatch.setattr(AbsentGradient, "edges", spy)
    run("rigl", n_steps=n_steps)
    assert sum(by_chance) <= 4, "only an update in the first step has no gradient yet"
    assert len(by_chance) > 40


@each(density=[0.1, 0.6])
def test_the_tape_holds_the_gradient_of_the_loss(density):
    model = Autoencoder(AutoencoderConfig(n_features=30, n_components=6, density=density, code_activation="sigmoid"))
    layer = model.layers["encoder.0"]
    layer.tape.recording = True
    x = torch.randn(64, 30)
    trace = model.trace(x)
    (
        (model._restored(trace.rows(trace.output)) - x).square().mean() + Contractive(0.0, 0).penalty(model, trace)
    ).backward()
    dy, inputs = layer.tape.dy, layer.tape.x
    packed = isinstance(dy, ops.Panels)
    dense = torch.einsum("pol,pil->oi", dy.tensor, inputs.tensor) if packed else dy.T @ inputs
    live = dense.view(-1)[torch.from_numpy(layer.topology.flat)]
    torch.testing.assert_close(live, layer.values.grad, rtol=1e-4, atol=1e-6)


@each({"density, share": [(0.05, 0.5), (0.2, 0.5), (0.4, 0.8), (0.7, 1.0)]})
def test_gradual_methods_start_with_half_of_the_weights_and_init_with_its_own(density, share):
    names = "encoder.0", "encoder.1", "decoder.0", "decoder.1"
    config = AutoencoderConfig(
        n_features=30, n_components=6, hidden_layer_sizes=(20,), density=dict.fromkeys(names, density)
    )
    train, generator = TrainConfig(shrink="tempered"), torch.Generator().manual_seed(0)
    moments = (np.zeros(30, np.float32), np.ones(30, np.float32))
    fresh = start_model(config, train, generator, moments)
    assert [layer.density for layer in fresh.layers.values()] == pytest.approx([share] * 4, abs=0.01)
    spread = start_nnz(config.replace(density=density), train)
    assert spread == target_nnz(config.replace(density=share))
    dense = Autoencoder(config.replace(density=1.0), generator).to_layers()
    assert start_model(config, train, generator, moments, dense).density == 1


@each(name=METHODS)
def test_wide_layers_have_the_final_edges_from_the_start_and_grow_by_the_gradient(name, monkeypatch):
    monkeypatch.setattr("dsae.shrink._rewire.LARGEST_DENSE_START", 100)
    monkeypatch.setattr("dsae.train._start.LARGEST_DENSE_START", 100)
    config = AutoencoderConfig(n_features=30, n_components=4, hidden_layer_sizes=(20,), density=0.2)
    sizes = {layer: n_out * n_in for layer, (n_out, n_in) in config.layer_shapes.items()}
    final, start = target_nnz(config), start_nnz(config, TrainConfig(shrink=name))
    shrinkers = rewire_by(name, final, sizes, 0)
    assert {layer: nnz for shrinker in shrinkers for layer, nnz in shrinker.final.items()} == final
    wide = [layer for layer in sizes if sizes[layer] > 100]
    if METHODS[name].schedule.start < math.inf:
        assert len(shrinkers) == 1
        assert shrinkers[0].schedule == METHODS[name].schedule
        return
    assert [set(shrinker.final) == set(wide) for shrinker in shrinkers] == [True, False]
    assert all((start[layer] == final[layer]) == (layer in wide) for layer in sizes)
    assert shrinkers[0].schedule.share > 0
    assert isinstance(shrinkers[0]._grow, AbsentGradient)


def test_a_shrinker_leaves_the_layers_of_another_alone():
    model = Autoencoder(AutoencoderConfig(n_features=30, n_components=4, hidden_layer_sizes=(20,), density=0.2))
    layers = model.layers
    rewire = Rewire(METHODS["set"], {"encoder.0": layers["encoder.0"].nnz}, 0)
    clock = Clock(10, 100, 10)
    rewire.observe(layers)
    assert rewire.due(clock)
    assert list(rewire.rewire(layers, clock)) == ["encoder.0"]

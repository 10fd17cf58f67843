"""Latents without a way from an input to an output cannot fire."""

import numpy as np
import torch
from tests.covering import each, pairs

from dsae.config import AutoencoderConfig
from dsae.nn import Autoencoder
from dsae.topology import Topology

WIDTH, LATENTS = 10, 24


def model(density=0.06, code="topk", seed=0, **changes):
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation=code, k=3, density=density, **changes)
    return Autoencoder(config, torch.Generator().manual_seed(seed))


def paths(layers):
    """Number of paths from each of the first layer's inputs to each of the last one's outputs."""
    product = None
    for layer in layers:
        edges = np.zeros(layer.topology.shape)
        edges[layer.topology.rows, layer.topology.cols] = 1
        product = edges if product is None else edges @ product
    return product


@pairs(density=[0.02, 0.06, 0.3, 1.0], hidden=[(), (7,), (7, 5)], block_size=[1, 4], seed=[0, 1])
def test_connected_are_those_with_a_path_on_both_sides(density, hidden, block_size, seed):
    made = model(density, hidden_layer_sizes=hidden, block_size=block_size, seed=seed)
    wanted = paths(made.encoder).any(axis=1) & paths(made.decoder).any(axis=0)
    np.testing.assert_array_equal(made.connected, wanted)


@each(code=["topk", "batchtopk", "jumprelu"])
def test_latents_that_are_not_stay_off_whatever_comes(code):
    made, x = model(code=code), 100 * torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.encoder[-1].bias.fill_(5.0)
    assert not made.connected.all()
    made.switch_unconnected()
    codes = made.train().encode(x).detach().numpy()
    assert not codes[:, ~made.connected].any()
    assert codes[:, made.connected].any()


def test_they_may_fire_again_once_edges_have_grown():
    made = model()
    made.switch_unconnected()
    before, bias = made.connected, made.encoder[-1].bias.detach().clone()
    for layer in made.layers.values():
        missing = Topology.from_mask(~_mask(layer.topology))
        layer.rewire(layer.topology.rewire(np.zeros(layer.nnz, bool), missing))
    made.switch_unconnected()
    assert made.connected.all()
    after = made.encoder[-1].bias.detach()
    assert (after[torch.from_numpy(~before)] == 0).all()
    assert torch.equal(after[torch.from_numpy(before)], bias[torch.from_numpy(before)])


def _mask(topology):
    mask = np.zeros(topology.shape, bool)
    mask[topology.rows, topology.cols] = True
    return mask


def test_other_codes_are_left_alone():
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation="relu", density=0.06)
    made = Autoencoder(config, torch.Generator().manual_seed(0))
    before = made.encoder[-1].bias.detach().clone()
    made.switch_unconnected()
    assert torch.equal(made.encoder[-1].bias, before)

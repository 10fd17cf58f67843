"""Networks whose halves are computed apart have the gradients of the whole, alone and where several meet in a code."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import covering

from dsae import ops
from dsae.config import ACTIVATIONS, AutoencoderConfig, loss_of
from dsae.nn import Autoencoder

pytestmark = native
N_COMPONENTS = 6


def model_of(n_features, hidden, loss, seed, block_size=1):
    config = AutoencoderConfig(
        n_features=n_features,
        n_components=N_COMPONENTS,
        hidden_layer_sizes=hidden,
        density=0.4,
        block_size=block_size,
        output_activation=loss_of(loss).link,
    )
    generator = torch.Generator().manual_seed(seed)
    model = Autoencoder(config, generator)
    with torch.no_grad():
        for layer in model.layers.values():
            layer.bias.uniform_(-0.3, 0.3, generator=generator)
            layer.values.uniform_(-0.5, 0.5, generator=generator)
    model.set_moments(torch.rand(n_features, generator=generator), 0.5 + torch.rand(n_features, generator=generator))
    return model


def rows_of(n_rows, n_features, sparse, seed):
    X = sp.random(n_rows, n_features, 0.2 if sparse else 0.9, "csr", np.float32, seed)
    return ops.SparseRows.of(X) if sparse else torch.from_numpy(X.toarray())


def halves_of(model):
    kinds = model.config.activations
    for half in ("encoder", "decoder"):
        layers = [(ACTIVATIONS[kinds[name]], model.layers[name]) for name in model.names(half)]
        yield [ops.StepLayer(layer.topology, layer.values, layer.bias, kind) for kind, layer in layers]


def tower_of(model, sparse):
    return (ops.SparseTower if sparse else ops.Tower)(*halves_of(model))


def parameters_of(model):
    return [p for layer in model.layers.values() for p in (layer.values, layer.bias)]


def mean_of(zs, weights):
    return sum(w * z for z, w in zip(zs, weights, strict=True)) / sum(weights)


def expected(models, batches, weights, losses, scales):
    """The loss of each and the gradients of all by autograd, those of the weights of the code last."""
    code = mean_of([model.encode(x) for model, x in zip(models, batches, strict=True)], weights).relu()
    found = []
    for model, x, loss in zip(models, batches, losses, strict=True):
        out = model.steps(model.names("decoder")[:-1], model.enter(code))
        out = model.layers[model.names("decoder")[-1]](out[-1][1] if out else model.enter(code))
        out = ops.unpack(out) if isinstance(out, ops.Panels) else out
        out = out if loss_of(loss).needs_link else model.activations[-1](out)
        aim = model.aim(ops.Given(x))
        aim = aim.dense(out) if isinstance(aim, ops.SparseRows) else aim
        found.append(ops.torch_loss(loss).mean(out, aim))
    sum(scale * loss for scale, loss in zip(scales, found, strict=True)).backward()
    return found, [p.grad.clone() for model in models for p in parameters_of(model)] + [w.grad for w in weights]


def by_towers(models, batches, weights, losses, scales):
    """The same by towers: only the code, as narrow as it is, goes through autograd."""
    towers = [tower_of(model, isinstance(x, ops.SparseRows)) for model, x in zip(models, batches, strict=True)]
    zs = []
    for model, tower, x in zip(models, towers, batches, strict=True):
        z = (
            tower.encode(model.centred(x))
            if isinstance(x, ops.SparseRows)
            else tower.encode(x, (model.mean, model.scale))
        )
        zs.append(z.requires_grad_())
    code = mean_of(zs, weights).relu()
    found, by_code = [], torch.zeros_like(code)
    for model, tower, x, loss, scale in zip(models, towers, batches, losses, scales, strict=True):
        aim = model.aim(ops.Given(x))
        given = loss if isinstance(x, ops.SparseRows) else loss_of(loss)
        mean, d_code = tower.decode(code.detach(), aim, given, scale=scale)
        found.append(mean)
        by_code += d_code
    code.backward(by_code)
    for tower, z in zip(towers, zs, strict=True):
        tower.back(z.grad)
    return found, [g for tower in towers for g in tower.grads] + [w.grad for w in weights]


@covering(
    sparse=[(False, False), (False, True), (True, True)],
    hidden=[(), (12,), (14, 9)],
    losses=[("mse", "mse"), ("mse", "bce"), ("bce", "mse")],
    n_rows=[5, 64, 150],
    block_size=[1, 4],
)
def test_two_towers_that_meet_in_a_code_have_the_gradients_of_autograd(sparse, hidden, losses, n_rows, block_size):
    models = [
        model_of(n, hidden, loss, i, block_size) for i, (n, loss) in enumerate(zip((30, 41), losses, strict=True))
    ]
    batches = [rows_of(n_rows, n, kind, i) for i, (n, kind) in enumerate(zip((30, 41), sparse, strict=True))]
    both = []
    for how in (expected, by_towers):
        weights = [torch.rand(N_COMPONENTS, generator=torch.Generator().manual_seed(i)) + 0.5 for i in range(2)]
        both.append(how(models, batches, [w.requires_grad_() for w in weights], losses, (1.0, 0.3)))
    (wanted, gradients), (found, by_hand) = both
    np.testing.assert_allclose(found, [loss.item() for loss in wanted], rtol=1e-5)
    assert len(gradients) == len(by_hand)
    for one, other in zip(gradients, by_hand, strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


@covering(known=[False, True], weight=[False, True])
def test_weights_of_a_towers_decoder_are_those_of_its_mean(known, weight):
    model, x, generator = model_of(30, (12,), "mse", 0), rows_of(70, 30, False, 0), torch.Generator().manual_seed(1)
    given = {"known": torch.rand(70, 30, generator=generator) if known else None}
    given |= {"weight": (torch.rand(70, generator=generator) > 0.5).float() if weight else None}
    batch = ops.Given(x, **given)
    wanted = model.trace(batch).loss("mse")
    wanted.backward()
    tower = tower_of(model, False)
    code = tower.encode(x, (model.mean, model.scale))
    found, d_code = tower.decode(code, model.aim(batch), loss_of("mse"), size=batch.size, **given)
    tower.back(d_code)
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    for parameter, grad in zip(parameters_of(model), tower.grads, strict=True):
        assert (parameter.grad - grad).abs().max() <= 1e-5 * parameter.grad.abs().max()


def test_gradients_lie_in_one_buffer_by_layer_and_layers_are_told_of_the_last_first():
    model, x, told = model_of(30, (12,), "mse", 0), rows_of(70, 30, False, 0), []
    tower = tower_of(model, False)
    places = [grad.data_ptr() for grad in tower.grads]
    code = tower.encode(x, (model.mean, model.scale))
    _, d_code = tower.decode(code, model.aim(ops.Given(x)), loss_of("mse"), finished=told.append)
    tower.back(d_code, finished=told.append)
    assert told == [3, 2, 1, 0]
    assert places == [grad.data_ptr() for grad in tower.grads]
    assert torch.equal(torch.cat(tower.grads), tower.network.flat)

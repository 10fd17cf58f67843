"""The native step has autograd's gradients."""

from functools import partial

import numpy as np
import pytest
import torch
from tests.arrays import native
from tests.covering import covering, each, pairs
from tests.train.runs import STEPS, check_gradients, data, epochs, exact_gradients, parameters_of, same, train, undone

from dsae import kernels
from dsae.config import ACTIVATIONS, LOSSES, AutoencoderConfig
from dsae.nn import Autoencoder
from dsae.ops import _lines
from dsae.train import _train_step
from dsae.train._dense import DenseStep
from dsae.train._panels import PanelStep
from dsae.train._step import AutogradStep

pytestmark = native


class Checked(AutogradStep):
    """Autograd's steps, each compared with the native one from the same state."""

    steps = 0

    def __init__(self, run, learner):
        super().__init__(run, learner)
        assert PanelStep.covers(run, learner)
        self.step = PanelStep(run, learner)

    def gradients(self, x):
        if not self.step.takes(x):
            return super().gradients(x)
        parameters, extras = parameters_of(self._run)
        with undone(self._run, self._learner):
            found = self.step.gradients(x)
            grads = [p.grad.clone() for p in [*parameters, *extras]]
        wanted = super().gradients(x)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        exact = partial(exact_gradients, self._run, self._learner, x)
        check_gradients(grads, parameters, extras, rounding=2e-5, exact=exact)
        Checked.steps += 1
        return wanted


CODES = [
    ("identity", None, None),
    ("relu", None, None),
    *((kind, None, rate) for kind in ("sigmoid", "softmax") for rate in (None, 0.2)),
    *((kind, 3, None) for kind in ("topk", "batchtopk", "jumprelu")),
]
OUTPUTS = [
    *(("mse", kind) for kind in ("identity", "sigmoid", "softmax", "relu", "exp")),
    *((name, loss.link) for name, loss in LOSSES.items() if loss.needs_link),
]


@covering(
    {"code, k, rate": CODES, "loss, output": OUTPUTS},
    activation=["relu", "identity", "sigmoid", "softmax"],
    shrink=["none", "random", "tempered", "rigl"],
    penalty=[{}, {"l1": 0.1}, {"l2": 0.01}],
    batch_size=[10, 65, 200],
    scale=[False, True],
    block_size=[1, 4, 8],
    by="code, k, rate",
)
def test_steps_have_the_gradients_of_autograd(
    monkeypatch, code, k, rate, loss, output, activation, shrink, penalty, batch_size, scale, block_size
):
    monkeypatch.setattr(_train_step, "step_for", Checked)
    Checked.steps = 0
    how = {"code_activation": code, "k": k, "target_rate": rate, "loss": loss, "output_activation": output, **penalty}
    how |= {"activation": activation, "shrink": shrink, "batch_size": batch_size, "scale": scale}
    how |= {"block_size": block_size}
    train(rows=np.clip(data(210), 0, 1), max_iter=epochs(210, batch_size, 12), **how)
    # before rigl grows autograd keeps what it needs, and while a latent is dead it revives that
    assert Checked.steps >= (1 if k else 3 if shrink == "rigl" else max(12, STEPS))


@each({"block_size, kind": [(1, DenseStep), (8, PanelStep)]})
def test_blocks_take_the_native_step_where_single_weights_take_matrices(monkeypatch, block_size, kind):
    chosen, step_for = [], _train_step.step_for

    def seen(run, learner):
        chosen.append(step_for(run, learner))
        return chosen[-1]

    monkeypatch.setattr(_train_step, "step_for", seen)
    monkeypatch.setattr("dsae.train._choose._SIZES", (0, 0))  # as a large network
    train(density=0.7, shrink="random", block_size=block_size, max_iter=1)
    assert [type(step) for step in chosen] == [kind]


class Rounded(AutogradStep):
    """Autograd's steps on lines of 16 bits, each compared with the native one, which rounds other factors."""

    steps = 0

    def __init__(self, run, learner):
        super().__init__(run, learner)
        for layer in run.model.layers.values():
            assert layer.lines == (True, True, True)
        self.step = PanelStep(run, learner)

    def gradients(self, x):
        found = self.step.gradients(x)
        grads = [p.grad.clone() for p in self.step.parameters]
        wanted = super().gradients(x)
        np.testing.assert_allclose(found, wanted, rtol=0.02)
        assert found != wanted
        for grad, parameter in zip(grads, self.step.parameters, strict=True):
            assert (grad - parameter.grad).norm() <= 0.03 * parameter.grad.norm() + 1e-6
        Rounded.steps += 1
        return wanted


def test_steps_on_lines_of_16_bits_have_nearly_the_gradients_of_autograd(monkeypatch):
    monkeypatch.setattr(_lines, "_SMALLEST", 1)
    monkeypatch.setattr(_lines, "_PAYS", {kernels.isa(): (0, 0, 0)})
    monkeypatch.setattr(_train_step, "step_for", Rounded)
    Rounded.steps = 0
    train(rows=data(400), max_iter=5, batch_size=80, shrink="random")
    assert Rounded.steps == 25


def model_and_step(private_bytes=None, **config):
    config = {"n_features": 40, "n_components": 8, "hidden_layer_sizes": (30, 20), "density": 0.3} | config
    model = Autoencoder(AutoencoderConfig(**config), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in model.layers.values():
            layer.bias.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(1))
    step = kernels.Step() if private_bytes is None else kernels.Step(private_bytes)
    grads = []
    for name, layer in model.layers.items():
        topology = layer.topology
        transposed, slots = topology.transpose
        single = layer.block_size == 1
        grads.append((np.zeros(topology.nnz, np.float32), np.zeros(topology.shape[0], np.float32)))
        step.add(
            (topology.indptr, topology.indices, layer.values.detach().numpy(), layer.bias.detach().numpy()),
            (transposed.indptr, transposed.indices, slots) if single else None,
            grads[-1],
            layer.in_features,
            ACTIVATIONS[model.config.activations[name]].kernel,
            layer.block_size,
        )
    return model, step, grads


def batch(n_rows=300, seed=2):
    return np.random.default_rng(seed).normal(size=(n_rows, 40)).astype(np.float32)


def summed(step, x, **given):
    arguments = {"first": 0, "last": 6, "n_rows": len(x), "centring": None, "target": None, "as_given": False}
    arguments |= {"known": None, "weights": None, "loss": 0, "factor": 2 / max(x.size, 1), "dx": None, "finished": None}
    return step.gradients(x=x, **(arguments | given))


@each(block_size=[1, 8], private_bytes=[None, 0])
def test_threads_change_no_bit(private_bytes, block_size):
    found = []
    for threads in (1, 2, 3):
        _, step, grads = model_and_step(private_bytes, block_size=block_size)
        before = kernels.set_threads(threads)
        try:
            found.append((summed(step, batch(3000)), *(a for pair in grads for a in pair)))
        finally:
            kernels.set_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@each(block_size=[1, 4])
def test_by_panels_and_by_layer_agree(block_size):
    found = []
    for private_bytes in (None, 0):
        _, step, grads = model_and_step(private_bytes, block_size=block_size)
        found.append((summed(step, batch()), *(a for pair in grads for a in pair)))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pairs(private_bytes=[None, 0], activated=[True, False], n_rows=[300, 64, 5], block_size=[1, 4, 8])
def test_halves_make_the_whole(private_bytes, activated, n_rows, block_size):
    model, step, grads = model_and_step(private_bytes, code_activation="sigmoid", block_size=block_size)
    x = batch(n_rows)
    whole = [summed(step, x), *(a.copy() for pair in grads for a in pair)]
    for pair in grads:
        for array in pair:
            array[:] = np.nan
    code = kernels.empty_panels(n_rows, 8)
    step.forward(0, 3, x, n_rows, None, code, activated)
    entering = code if activated else 1 / (1 + np.exp(-code))
    dx = np.empty_like(code)
    loss = summed(step, entering, first=3, n_rows=n_rows, target=x, dx=dx, factor=2 / x.size)
    step.backward(code, dx if activated else dx * entering * (1 - entering), None, activated, None)
    for one, two in zip(whole, [loss, *(a for pair in grads for a in pair)], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    assert model.config.n_components == 8


@pairs(target=[False, True], known=[False, True], weights=[False, True], loss=["mse", "bce"], n_rows=[300, 7])
def test_targets_known_values_and_weights_are_those_of_the_formula(target, known, weights, loss, n_rows):
    model, step, grads = model_and_step(output_activation="sigmoid" if loss == "bce" else "identity")
    rng = np.random.default_rng(5)
    x = rng.random((n_rows, 40), np.float32)
    aim = rng.random((n_rows, 40), np.float32) if target else x
    is_known = (rng.random((n_rows, 40)) < 0.5).astype(np.float32) if known else np.ones_like(x)
    weight = rng.random(n_rows, np.float32) if weights else np.ones(n_rows, np.float32)
    given = {
        "target": aim if target else None,
        "known": is_known if known else None,
        "weights": weight if weights else None,
    }
    found = summed(step, x, loss=LOSSES[loss].kernel, factor=LOSSES[loss].factor, **given)
    z = model.trace(torch.from_numpy(x)).logits
    z = z if isinstance(z, torch.Tensor) else model.trace(torch.from_numpy(x)).rows(z)
    each = {"mse": torch.nn.functional.mse_loss, "bce": torch.nn.functional.binary_cross_entropy_with_logits}[loss]
    wanted = (each(z, torch.from_numpy(aim), reduction="none") * torch.from_numpy(is_known * weight[:, None])).sum()
    wanted.backward()
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    for layer, (dw, dbias) in zip(model.layers.values(), grads, strict=True):
        for grad, own in ((layer.values.grad, dw), (layer.bias.grad, dbias)):
            size = grad.abs().max().item()
            np.testing.assert_allclose(own / size, grad / size, atol=1e-5)


@each(private_bytes=[None, 0])
def test_layers_are_told_when_they_are_finished_the_last_first(private_bytes):
    _, step, grads = model_and_step(private_bytes)
    told = []

    def finished(layer):
        told.append(layer)
        copies.append([a.copy() for a in grads[layer]])

    copies = []
    summed(step, batch(), finished=finished)
    assert told == [5, 4, 3, 2, 1, 0]
    for layer, copied in zip(told, copies, strict=True):
        for then, now in zip(copied, grads[layer], strict=True):
            np.testing.assert_array_equal(then, now)


def test_what_a_callback_raises_arrives():
    _, step, _ = model_and_step()

    def finished(layer):
        raise KeyError(layer)

    with pytest.raises(KeyError):
        summed(step, batch(), finished=finished)


@each(
    {
        "given, message": [
            ({"first": 3, "last": 9}, r"layers within \[0, 6\)"),
            ({"loss": 99}, "a loss below"),
            ({"n_rows": 3}, "n_rows"),
            ({"known": np.ones((3, 40), np.float32)}, "known"),
            ({"weights": np.ones(3, np.float32)}, "weights"),
            ({"x": batch()[:, :30].copy()}, "the width of the first layer"),
            ({"x": batch(0), "n_rows": 0}, "at least one row"),
        ]
    }
)
def test_what_does_not_fit_is_refused(given, message):
    _, step, _ = model_and_step()
    with pytest.raises(ValueError, match=message):
        summed(step, **({"x": batch()} | given))


def test_backward_needs_a_forward_pass():
    _, step, _ = model_and_step()
    with pytest.raises(ValueError, match="a forward pass before"):
        step.backward(kernels.empty_panels(4, 8), kernels.empty_panels(4, 8), None, True, None)


def test_a_run_by_native_steps_repeats():
    same(train(shrink="tempered", max_iter=3), train(shrink="tempered", max_iter=3))


def test_unknown_targets_may_be_anything():
    found = []
    for hidden in (0.0, np.nan, np.inf):
        _, step, grads = model_and_step()
        x, known = batch(70), np.ones((70, 40), np.float32)
        known[::3, ::2] = 0
        target = np.where(known == 1, x, np.float32(hidden))
        found.append((summed(step, x, target=target, known=known), *(a for pair in grads for a in pair)))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_lanes_that_are_no_samples_count_for_nothing():
    scale, mean = np.full(40, 1e-30, np.float32), np.full(40, 1e30, np.float32)  # their quotient overflows
    _, step, grads = model_and_step()
    x = mean + np.zeros((70, 40), np.float32)
    assert np.isfinite(summed(step, x, centring=(mean, scale)))
    assert all(np.isfinite(array).all() for pair in grads for array in pair)


def test_networks_of_more_layers_than_a_native_step_has_are_trained():
    train(rows=data(40, 6), hidden_layer_sizes=(5,) * 130, shrink="random", max_iter=1)

"""Steps on dense masters are those of autograd, and leave nothing behind when they end."""

from functools import partial

import numpy as np
import pytest
from tests.arrays import native
from tests.covering import covering, each, pairs
from tests.train.runs import (
    STEPS,
    Killed,
    StoppedError,
    check_gradients,
    epochs,
    exact_gradients,
    parameters_of,
    same,
    train,
    undone,
)

from dsae import kernels, ops
from dsae.config import LOSSES
from dsae.train import Checkpoints, _train_step
from dsae.train._choose import dense_above
from dsae.train._dense import DenseStep, covers
from dsae.train._step import AutogradStep

pytestmark = native
N_FEATURES = 20


def trained(step_for, monkeypatch, **settings):
    """A model after 15 steps that are computed as ``step_for`` says, and its history."""
    monkeypatch.setattr(_train_step, "step_for", step_for)
    X = np.random.default_rng(0).random((110, N_FEATURES)).astype(np.float32)
    how = {"n_components": 4, "hidden_layer_sizes": (12,), "density": 0.4, "max_iter": 3, "batch_size": 25}
    return train(rows=X, **(how | settings))


class Compared(AutogradStep):
    """Autograd's steps; before each of them, its gradients are compared with those of a new `DenseStep`."""

    n_steps = 0

    def gradients(self, x):
        assert covers(self._run, self._learner)
        dense = DenseStep(self._run, self._learner)
        if not dense.takes(x):
            return super().gradients(x)
        parameters, extras = parameters_of(self._run)
        with undone(self._run, self._learner):
            found = dense.gradients(x)
            dense.settle()
            by_hand = [p.grad.clone() for p in [*parameters, *extras]]
        losses = super().gradients(x)
        np.testing.assert_allclose(found, losses, rtol=1e-5)
        exact = partial(exact_gradients, self._run, self._learner, x)
        check_gradients(by_hand, parameters, extras, exact=exact)
        Compared.n_steps += 1
        return losses


CODES = [*((kind, None, None) for kind in ("identity", "relu", "sigmoid", "softmax")), ("sigmoid", None, 0.2)]
CODES += [(kind, 3, None) for kind in ("topk", "batchtopk", "jumprelu")]
OUTPUTS = [*(("mse", kind, "none") for kind in ("identity", "sigmoid", "softmax", "exp")), ("bce", "sigmoid", "none")]
OUTPUTS += [(name, loss.link, how) for name, loss in LOSSES.items() if loss.counts for how in ("none", "log1p")]


@covering(
    {"code, k, rate": CODES, "loss, output, transform": OUTPUTS},
    density=[1.0, 0.4],
    activation=["relu", "sigmoid", "identity"],
    shrink=["tempered", "magnitude", "gradient", "none"],
    l1_and_l2=[(0.0, 0.0), (0.1, 0.0), (0.0, 0.01), (0.1, 0.1)],
    by="code, k, rate",
)
def test_steps_have_the_gradients_of_autograd(
    monkeypatch, code, k, rate, loss, output, transform, density, activation, shrink, l1_and_l2
):
    Compared.n_steps = 0
    how = {"code_activation": code, "k": k, "target_rate": rate, "loss": loss, "output_activation": output}
    how |= {"input_transform": transform, "density": density, "activation": activation, "shrink": shrink}
    trained(Compared, monkeypatch, **how, l1=l1_and_l2[0], l2=l1_and_l2[1], max_iter=epochs(110, 25, 15))
    # while a latent is dead, autograd revives it
    assert Compared.n_steps >= (3 if k else max(15, STEPS))


class Moved(DenseStep):
    """Dense steps that are given autograd's gradients."""

    def gradients(self, x):
        losses = super().gradients(x)
        self.settle()
        AutogradStep(self._run, self._learner).gradients(x)
        for master in self._masters.values():
            master.grad.copy_(ops.dense(master.layer.values.grad, master.topology))
            if master.matrices.mask is not None:
                master.grad[master.matrices.mask == 0] = 7  # must not count
        self._moved = True
        return losses


@pairs(density=[1.0, 0.4], shrink=["tempered", "magnitude", "gradient", "none"], l1=[0.0, 0.2])
def test_equal_gradients_move_weights_and_edges_alike_bit_for_bit(monkeypatch, density, shrink, l1):
    models = [trained(step, monkeypatch, density=density, shrink=shrink, l1=l1)[0] for step in (Moved, AutogradStep)]
    for one, other in zip(*(model.layers.values() for model in models), strict=True):
        assert np.array_equal(one.topology.indices, other.topology.indices)
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.bias, other.bias)


@each(
    settings=[{"shrink": "saliency"}, {"contractive": 0.1}, {"output_activation": "relu", "block_size": 4, "l1": 0.1}]
)
def test_what_is_not_covered_is_left_to_autograd(monkeypatch, settings):
    seen = []

    def step_for(run, learner):
        seen.append(covers(run, learner))
        return AutogradStep(run, learner)

    trained(step_for, monkeypatch, **({"code_activation": "sigmoid"} | settings))
    assert not seen[0]


def test_a_nearly_dense_network_has_dense_steps_and_a_sparse_one_has_not(monkeypatch):
    """As the table says for large ones; by the instruction set and the cache that a checkpoint has kept."""
    chosen, choose = [], _train_step.step_for
    monkeypatch.setattr("dsae.train._choose._SIZES", (0, 0))

    def step_for(run, learner):
        run.isa, run.l2 = "x86-64-v3", 1 << 19
        step = choose(run, learner)
        chosen.append((run.model.density, type(step)))
        return step

    trained(step_for, monkeypatch, density=0.1, shrink="magnitude")
    assert chosen[0] == (pytest.approx(0.5, abs=0.01), DenseStep)
    assert chosen[-1][1] is not DenseStep
    assert [kind is DenseStep for _, kind in chosen] == sorted((kind is DenseStep for _, kind in chosen), reverse=True)


def test_the_table_knows_sizes_instruction_sets_and_caches():
    for isa in kernels.ISAS:
        small, medium, large = (dense_above(size, isa, 1 << 20) for size in (1 << 15, 1 << 18, 1 << 21))
        assert 0 < large < medium < small == 1
        assert dense_above(1 << 21, isa, 1 << 19) < large
        assert dense_above(1, isa, 1 << 19) == 1
        assert dense_above(1 << 21, isa, 1 << 20, 4) > large


@each(step=[20, 30, 34])
def test_a_score_that_is_no_longer_wanted_ends_alike_after_a_restart(tmp_path, monkeypatch, step):
    """Saliency keeps a network from dense steps until the last rewiring, also where that changes nothing."""
    monkeypatch.setattr("dsae.train._choose.dense_above", lambda *a: 0.5)
    how = {"density": 1.0, "shrink": "saliency"}
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", step), **how)
    same(train(Checkpoints(tmp_path / "run"), **how), train(**how))

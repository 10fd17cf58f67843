"""Training of joint models: native steps, modality dropout, and runs that were stopped."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.arrays import native
from tests.covering import each, pairs
from tests.train.runs import Killed, StoppedError

from dsae.config import AutoencoderConfig, JointConfig, TrainConfig
from dsae.data import JointSource
from dsae.nn import Joint
from dsae.train import _train_step, fit_joint, learn_joint
from dsae.train._joint_batch import JointCorruption
from dsae.train._joint_step import JointStep, TowerPart
from dsae.train._step import AutogradStep

N = 90
TIMES = ("seconds", "samples_per_second")


def rows(sparse=False, missing=True, n=N):
    """Three views of the same three factors; the last is of counts."""
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(n, 3))
    views = {name: factors @ rng.normal(size=(3, width)) for name, width in (("a", 14), ("b", 6), ("c", 20))}
    X = {name: np.clip(np.abs(view), 0, 3).astype(np.float32) for name, view in views.items()}
    X["c"] = np.floor(X["c"] * (rng.random(X["c"].shape) < 0.05 if sparse else 1)).astype(np.float32)
    X["c"][:, 0] += 1  # every row has a total
    if sparse:
        X["c"] = sp.csr_matrix(X["c"])
    has = {name: rng.random(n) < 0.7 for name in X}
    has["a"] |= ~(has["b"] | has["c"])
    return JointSource(X, has if missing else None)


def config(losses=None, code="identity", k=None, dropout=0.5, source=None, **model):
    source = rows() if source is None else source
    links = {"poisson": "exp", "nb": "exp", "multinomial": "softmax", "bce": "sigmoid"}
    losses, of = losses or {}, {}
    for name, part in source.parts.items():
        loss = losses.get(name, "mse")
        counts = {"input_transform": "log1p"} if loss in ("poisson", "nb", "multinomial") else {}
        own = {"hidden_layer_sizes": (9,), "density": 0.3, "output_activation": links.get(loss, "identity")}
        of[name] = AutoencoderConfig(part.n_features, 5, code_activation=code, k=k, **(own | counts | model))
    return JointConfig(of, losses, modality_dropout=dropout)


def fitted(source=None, checkpoints=None, start=None, model=None, **how):
    source = rows() if source is None else source
    how = {"max_iter": 4, "batch_size": 20, "learning_rate_init": 0.01} | how
    return fit_joint(source, model or config(source=source), TrainConfig(**how), start, 3, checkpoints=checkpoints)


def same(one, other):
    for name, of in one.model.models.items():
        for layer, (topology, *arrays) in of.layers.items():
            twin, *others = other.model.models[name].layers[layer]
            for array, again in zip(
                (topology.indptr, topology.indices, *arrays), (twin.indptr, twin.indices, *others), strict=True
            ):
                np.testing.assert_array_equal(array, again)
        np.testing.assert_array_equal(one.model.weight[name], other.model.weight[name])
    strip = [[{k: v for k, v in row.items() if k not in TIMES} for row in found.history] for found in (one, other)]
    assert strip[0] == strip[1]


class Checked(AutogradStep):
    """Autograd's steps, each compared with the native one from the same state."""

    steps = native = 0

    def __init__(self, run, learner):
        super().__init__(run, learner)
        assert JointStep.covers(learner)
        self.step = JointStep(run, learner)

    def gradients(self, given):
        run = self._run
        parameters = [p for p in run.model.parameters() if p.requires_grad]
        found, measured = self.step.gradients(given), run.part_losses
        grads = [None if p.grad is None else p.grad.clone() for p in parameters]
        wanted = super().gradients(given)
        np.testing.assert_allclose(found, wanted, rtol=2e-5)
        assert measured == pytest.approx(run.part_losses, rel=2e-5)
        for grad, parameter in zip(grads, parameters, strict=True):
            assert (grad is None) == (parameter.grad is None)
            if grad is not None:
                size = max(parameter.grad.abs().max().item(), 1e-6)
                # torch's float32 takes one digamma from another by a dispersion
                atol = 1e-3 if any(parameter is p for m in run.model.models for p in m.extras.values()) else 2e-5
                np.testing.assert_allclose(grad / size, parameter.grad / size, atol=atol)
        Checked.steps += 1
        Checked.native += sum(isinstance(part, TowerPart) for part in self.step._parts.values())
        return wanted


@native
@pairs(
    {"code, k, rate": [("identity", None, None), ("relu", None, None), ("sigmoid", None, 0.2), ("topk", 2, None)]},
    loss=["mse", "poisson", "nb", "multinomial"],
    sparse=[False, True],
    missing=[False, True],
    shrink=["random", "tempered", "none"],
    penalty=[{}, {"l2": 0.01}, {"l1": 0.1}],
    dropout=[0.0, 0.5, 1.0],
    batch_size=[10, 65],
    noise=[{}, {"mask": 0.2}],
)
def test_native_steps_have_the_gradients_of_autograd(
    monkeypatch, code, k, rate, loss, sparse, missing, shrink, penalty, dropout, batch_size, noise
):
    monkeypatch.setattr(_train_step, "joint_step_for", Checked)
    Checked.steps = Checked.native = 0
    source = rows(sparse, missing)
    density = {"density": 1.0} if shrink == "none" else {}
    model = config({"c": loss}, code, k, dropout, source, **density)
    how = {"shrink": shrink, "target_rate": rate, "batch_size": batch_size, **penalty, **noise}
    fitted(source, model=model, max_iter=3, **how)
    assert Checked.steps >= 6
    assert (Checked.native > 0) == (shrink != "none")


def test_a_step_keeps_a_part_of_what_rows_have_that_depends_on_the_row_alone():
    rng = np.random.default_rng(0)
    numbers, has = np.arange(4000), rng.random((4000, 3)) < 0.7
    has[~has.any(1), 1] = True
    drawn = JointCorruption({}, 0.5, 7, None)
    kept = drawn.kept(has, numbers, 2)
    assert (kept <= has).all()
    assert kept.any(1).all()
    order = rng.permutation(4000)
    np.testing.assert_array_equal(drawn.kept(has[order], numbers[order], 2), kept[order])
    assert (drawn.kept(has, numbers, 3) != kept).any()
    assert (JointCorruption({}, 0.0, 7, None).kept(has, numbers, 2) == has).all()
    whole = has.all(1)
    shares = np.unique(kept[whole], axis=0, return_counts=True)[1] / whole.sum()
    assert len(shares) == 7  # every part but the empty one, each in a fourteenth of the rows and all in more
    np.testing.assert_allclose(shares[:-1], 0.5 / 7, atol=0.03)
    always = JointCorruption({}, 1.0, 7, None).kept(has, numbers, 2)[whole].sum(1)
    np.testing.assert_allclose(always.mean(), 12 / 7, atol=0.1)  # 3 sets of one, 3 of two, one of three


@each(n=[1, 5, 7, 13, 19])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, n):
    whole = fitted()
    with pytest.raises(StoppedError):
        fitted(checkpoints=Killed(tmp_path / "run", n))
    from dsae.train import Checkpoints

    same(whole, fitted(checkpoints=Checkpoints(tmp_path / "run")))


def test_other_data_are_not_taken_up(tmp_path):
    from dsae.train import Checkpoints

    with pytest.raises(StoppedError):
        fitted(checkpoints=Killed(tmp_path / "run", 3))
    with pytest.raises(ValueError, match="other settings or data"):
        fitted(rows(missing=False), Checkpoints(tmp_path / "run"))


def test_every_layer_ends_with_the_edges_asked_for():
    model = fitted().model
    for name, of in model.models.items():
        asked = round(0.3 * sum(layer.topology.size for layer in of.layers.values()))
        assert abs(of.nnz - asked) <= len(of.layers), name


def test_modalities_have_unit_mean_square_whatever_their_units():
    source = rows()
    louder = JointSource({**source.rows, "b": 1000 * source.rows["b"]}, source.present)
    one, other = fitted(source), fitted(louder)
    np.testing.assert_allclose([row["loss"] for row in one.history], [row["loss"] for row in other.history], rtol=1e-3)
    assert 0 < one.history[-1]["losses"]["b"] < one.history[0]["losses"]["b"] <= 1.3


def test_a_weight_of_a_modality_weighs_its_loss():
    source = rows(missing=False)
    plain, weighed = config(source=source), config(source=source)
    object.__setattr__(weighed, "weights", {**weighed.weights, "b": 8.0})
    errors = [fitted(source, model=model, max_iter=20).history[-1]["losses"]["b"] for model in (plain, weighed)]
    assert errors[1] < errors[0]


def test_passes_continue_where_the_last_one_ended():
    source = rows()
    model, how = config(source=source), TrainConfig(batch_size=20, learning_rate_init=0.01)
    first = learn_joint(source[np.arange(45)], model, how, seed=1)
    one = learn_joint(source[np.arange(45, N)], model, how, first.model)
    other = learn_joint(source[np.arange(45, N)], model, how, first.model)
    same(one, other)
    assert [row["epoch"] for row in one.history] == [1, 2]
    assert one.model.nnz == first.model.nnz


def test_the_joint_code_of_one_modality_is_its_own():
    import torch

    from dsae.nn import JointGiven
    from dsae.ops import Given

    source, model = rows(missing=False), config(code="relu")
    from dsae.train._joint import JointStart

    joint: Joint = JointStart.of(source, model, TrainConfig(), None, 0).model
    with torch.no_grad():
        joint.log_weight.normal_()
        x = torch.from_numpy(source.rows["a"])
        alone = JointGiven({"a": Given(x)}, {}, {"a": torch.ones(N)}, N)
        np.testing.assert_allclose(joint.trace(alone).code, joint.encode_part("a", Given(x)).relu(), atol=1e-6)

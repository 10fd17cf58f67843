"""What holds for every dictionary, whatever its code and however its edges are chosen."""

import itertools

import numpy as np
import pytest
from tests.covering import covering, each
from tests.train.runs import Killed, StoppedError, same, train

from dsae.config import SHRINK, AutoencoderConfig, TrainConfig
from dsae.data import make_sparse_features
from dsae.runtime import Runtime
from dsae.train import Checkpoints, Events, fit_rows, learn_rows

WIDTH, LATENTS, K = 16, 64, 4
X = make_sparse_features(400, WIDTH, 40, n_trees=0, max_rate=0.2, random_state=0).X
CODES = ["topk", "batchtopk", "jumprelu"]
BASE = {"n_components": LATENTS, "hidden_layer_sizes": (), "k": K, "rows": X, "batch_size": 20}


def configs(code, density=1.0, **how):
    how = {"shrink": "none" if density == 1 else "tempered", "max_iter": 3, "batch_size": 50} | how
    return AutoencoderConfig(WIDTH, LATENTS, code_activation=code, k=K, density=density), TrainConfig(**how)


def firing(model, rows=X):
    return Runtime(model).encode(rows) != 0


def l0(model, rows=X):
    return firing(model, rows).sum(axis=1).mean()


@covering(
    code=CODES,
    shrink=[name for name in SHRINK if name != "none"],
    density=[0.02, 0.05, 0.3],
    l1=[0.0, 0.3],
    block_size=[1, 4],
    schedule=["joint", "stagewise"],
    by="code",
)
def test_no_latent_fires_that_has_no_input_or_no_atom(code, shrink, density, l1, block_size, schedule):
    settings = {"shrink": shrink, "density": density, "l1": l1, "block_size": block_size, "schedule": schedule}
    model, _ = train(code_activation=code, max_iter=4, **BASE | {"batch_size": 40}, **settings)
    encoder, decoder = model.layers["encoder.0"].topology, model.layers["decoder.0"].topology
    empty = (encoder.fan_in == 0) | (np.bincount(decoder.cols, minlength=LATENTS) == 0)
    assert density == 0.3 or empty.any()
    assert not firing(model)[:, empty].any()


@each(code=CODES)
def test_nor_in_training_without_an_end(code):
    config, how = configs(code, 0.05)
    model = None
    for _ in range(6):
        model = learn_rows(X, config, how, model, seed=1).model
    empty = np.bincount(model.layers["decoder.0"].topology.cols, minlength=LATENTS) == 0
    assert empty.any()
    assert not firing(model)[:, empty].any()


def interrupted(tmp_path, config, how):
    """Stopped by a callback after three epochs of ten."""

    class Stop(Quiet):
        def on_epoch(self, row, trained):
            return row["epoch"] == 3

    return fit_rows(X, config, how.__class__(**{**vars(how), "max_iter": 10}), seed=1, events=Stop()).model


class Quiet(Events):
    every = 10**9

    def begin(self):
        pass

    def on_step(self, row):
        pass

    def on_epoch(self, row, trained):
        return False


def resumed(tmp_path, config, how):
    with pytest.raises(StoppedError):
        fit_rows(X, config, how, seed=1, checkpoints=Killed(tmp_path, 9))
    return fit_rows(X, config, how, seed=1, checkpoints=Checkpoints(tmp_path)).model


def in_pieces(tmp_path, config, how):
    model = None
    for _ in range(3):
        model = learn_rows(X, config, how, model, seed=1).model
    return model


WAYS = {
    "three epochs": lambda path, config, how: fit_rows(X, config, how, seed=1).model,
    "eight epochs": lambda path, config, how: fit_rows(X, config, TrainConfig(**vars(how) | {"max_iter": 8})).model,
    "early stopping": lambda path, config, how: fit_rows(X, config, how, seed=1, validation=X[:50]).model,
    "stopped": interrupted,
    "resumed": resumed,
    "in pieces": in_pieces,
}


@pytest.mark.filterwarnings("ignore:Training was stopped")
@covering(way=list(WAYS), code=["batchtopk", "jumprelu"], density=[1.0, 0.3], by="code")
def test_training_rows_have_the_asked_number_of_latents(tmp_path, way, code, density):
    model = WAYS[way](tmp_path, *configs(code, density))
    assert l0(model) == pytest.approx(K, rel=0.02)


@each(code=["batchtopk", "jumprelu"])
def test_where_rows_offer_less_all_of_it_lives(code):
    config = AutoencoderConfig(WIDTH, LATENTS, code_activation=code, k=LATENTS, density=1.0)
    model = fit_rows(X, config, TrainConfig(shrink="none", max_iter=3, batch_size=50)).model
    twin = Runtime(model)
    positive = (twin.encode(X) > 0).sum()
    model.threshold[:] = 0
    assert positive == pytest.approx((Runtime(model).encode(X) > 0).sum(), rel=0.01)


def test_a_factor_of_many_batches_is_that_of_all_rows_at_once(monkeypatch):
    """Rows in order, so that one batch holds nearly all latents that count."""
    rows = np.concatenate([5 * X[:50], 0.01 * X[50:]])
    config, how = configs("batchtopk", batch_size=10)
    model = fit_rows(rows, config, how).model
    assert l0(model, rows) == pytest.approx(K, rel=0.02)


@each(code=CODES, density=[1.0, 0.3])
def test_history_and_steps_tell_error_and_activity(code, density):
    steps, epochs = [], []

    class Told(Quiet):
        every = 1

        def on_step(self, row):
            steps.append(row)

        def on_epoch(self, row, trained):
            epochs.append(row)
            return False

    config, how = configs(code, density)
    history = fit_rows(X, config, how, events=Told()).history
    assert epochs == history
    variance = X.var(axis=0).mean()
    unit = history[0]["loss"] / history[0]["fvu"] / variance  # losses are in the model's own unit
    for rows, times in ((history, 1), (steps, len(steps) // len(history))):
        assert len(rows) == len(history) * times
        assert all(row["loss"] / row["fvu"] == pytest.approx(unit * variance, rel=1e-5) for row in rows)
        assert all(0 <= row["dead"] <= 1 for row in rows)
        assert all(("threshold" in row) == (code != "topk") for row in rows)
    of_epoch = [steps[i : i + len(steps) // 3] for i in range(0, len(steps), len(steps) // 3)]
    for row, of in zip(history, of_epoch, strict=True):
        assert row["l0"] == pytest.approx(np.mean([step["l0"] for step in of]))  # batches of one size
    if code == "batchtopk":
        assert history[-1]["l0"] == pytest.approx(K)


def test_dead_are_those_that_fire_in_no_row_of_an_epoch():
    """Latents whose biases keep them off all the time, and no others."""
    config, how = configs("topk", learning_rate_init=1e-9)
    rng = np.random.default_rng(0)
    start = fit_rows(X, config, how).model
    start.layers["encoder.0"].bias[rng.permutation(LATENTS)[:10]] = -1e6
    result = fit_rows(X, config, how, start=start)
    assert result.history[-1]["dead"] == pytest.approx((~firing(start).any(axis=0)).mean())


@each(shrink=["tempered", "set"])
def test_any_code_has_error_and_activity(shrink):
    for code, widths in itertools.product(["identity", "relu", "sigmoid"], [(), (9,)]):
        _, history = train(code_activation=code, hidden_layer_sizes=widths, shrink=shrink, n_components=5, max_iter=3)
        assert all({"fvu", "l0", "dead"} <= row.keys() for row in history)
        if code == "identity":
            assert history[-1]["l0"] == pytest.approx(5)


def test_two_runs_tell_the_same():
    settings = {"code_activation": "jumprelu", "max_iter": 3, "density": 0.3, **BASE}
    same(train(**settings), train(**settings))

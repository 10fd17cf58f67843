"""Training on lines of 16 bits: only where asked for, close to float32, and resumed bit for bit."""

import pytest
from tests.arrays import native
from tests.covering import each
from tests.train.runs import Killed, StoppedError, data, same, train

from dsae import kernels
from dsae.config import TrainConfig
from dsae.ops import _lines
from dsae.train import Checkpoints

pytestmark = native
SETTINGS = {"shrink": "rigl", "density": 0.3, "max_iter": 5}
# Steps of the native pass, and of autograd, which contractive needs.
STEPS = [{}, {"contractive": 0.1}]


@pytest.fixture(autouse=True)
def rounds_wherever_it_may(monkeypatch):
    monkeypatch.setattr(_lines, "_SMALLEST", 1)
    monkeypatch.setattr(_lines, "_PAYS", {kernels.isa(): (1, 1, 1)})


@each(more=STEPS)
def test_auto_rounds_and_float32_does_not(monkeypatch, more):
    rounded, exact = train(**SETTINGS, **more), train(**SETTINGS, **more, precision="float32")
    losses = [history[-1]["loss"] for _, history in (rounded, exact)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    monkeypatch.setattr(_lines, "_PAYS", {})
    same(train(**SETTINGS, **more), exact)


def test_blocks_stay_float32():
    same(train(**SETTINGS, block_size=4), train(**SETTINGS, block_size=4, precision="float32"))


@each(more=STEPS, step=[1, 13])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, step, more):
    whole = train(**SETTINGS, **more)
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", step), **SETTINGS, **more)
    same(train(Checkpoints(tmp_path / "run"), **SETTINGS, **more), whole)


def test_a_run_goes_on_with_the_table_that_it_began_with(tmp_path, monkeypatch):
    whole = train(**SETTINGS)
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 7), **SETTINGS)
    monkeypatch.setattr(kernels, "isa", lambda: "another")  # whose table would round nothing
    same(train(Checkpoints(tmp_path / "run"), **SETTINGS), whole)


def test_the_batch_and_the_model_stay_float32():
    model, _ = train(rows=data(40), **SETTINGS)
    assert {array.dtype.name for layer in model.layers.values() for array in (layer.values, layer.bias)} == {"float32"}


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match="precision must be one of auto, float32; got 'bfloat16'"):
        TrainConfig(precision="bfloat16")

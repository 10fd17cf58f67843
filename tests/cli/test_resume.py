"""A command that is interrupted keeps what it has, and continues with --resume."""

import json
import signal

import numpy as np
import pytest

from dsae import store

QUICK = ["--n-components", 2, "--density", 0.5, "--max-iter", 2, "--random-state", 0]


@pytest.fixture
def ctrl_c(monkeypatch):
    """Ctrl-C at the third mini-batch."""
    from dsae.train._progress import ProgressLine

    steps = []

    def step(self):
        steps.append(1)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressLine, "step", step)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_fit_keeps_its_model_and_exits_130(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--max-iter", 1000, "--batch-size", 8, "--json")
    assert done.code == 130
    assert done.err.startswith("dsae: warning: Training was interrupted in epoch 1")
    assert done.err.endswith("dsae: interrupted\n")
    assert json.loads(done.text)["epochs"] == 1
    assert len(store.read(tmp_path / "m").history) == 1


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_fit_continues_with_resume(dsae, data, tmp_path):
    command = ["fit", data, *QUICK, "--max-iter", 6, "--batch-size", 8]
    assert dsae(*command, "-o", tmp_path / "whole" / "m", "--checkpoint-every", 5).code == 130
    assert dsae(*command, "-o", tmp_path / "m", "--checkpoint-every", 5).code == 0  # the signal comes once
    done = dsae(*command, "-o", tmp_path / "whole" / "m", "--checkpoint-every", 5)
    assert done.code == 2
    assert "m.checkpoint holds an unfinished run. Continue with --resume, or remove it" in done.err
    done = dsae(*command, "-o", tmp_path / "whole" / "m", "--resume")
    assert (done.code, done.err) == (0, "")
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["m"]
    one, other = store.read(tmp_path / "whole" / "m"), store.read(tmp_path / "m")
    assert len(one.history) == len(other.history) == 6
    for name, layer in one.layers.items():
        np.testing.assert_array_equal(layer.values, other.layers[name].values)
        np.testing.assert_array_equal(layer.topology.indices, other.layers[name].topology.indices)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_user_is_told_how_to_continue(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--batch-size", 8, "--checkpoint-every", 5)
    assert done.err.endswith("dsae: continue with the same command and --resume\ndsae: interrupted\n")
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--batch-size", 16, "--resume")
    assert done.code == 2
    assert "batch_size was 8 and is 16" in done.err


def test_nothing_to_resume_is_said_and_is_no_error(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--resume")
    assert done.code == 0
    assert "m.checkpoint to resume; starting from the beginning" in done.err


def test_the_checkpoint_stays_until_the_model_is_written(dsae, data, tmp_path, monkeypatch):
    from dsae.runtime import Runtime

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Runtime, "save", full)
        assert dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--checkpoint-every", 0).code == 1
    assert (tmp_path / "m.checkpoint").is_dir()
    assert dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--resume").code == 0
    assert not (tmp_path / "m.checkpoint").exists()


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_comparison_is_none(dsae, data, tmp_path):
    done = dsae("compare", data, "-o", tmp_path / "study", *QUICK, "--batch-size", 8)
    assert done.code == 130
    assert done.err.endswith("dsae: interrupted\n")
    assert not list((tmp_path / "study").iterdir())

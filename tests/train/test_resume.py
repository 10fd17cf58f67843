"""An estimator whose fit was stopped goes on as if it had not been."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from tests.train.runs import StoppedError, data, same

from dsae import DeepSparseAutoencoder, store
from dsae.train import Checkpoints


def small(folder=None, **settings):
    how = {"n_components": 4, "hidden_layer_sizes": (9,), "density": 0.3, "max_iter": 6, "batch_size": 20}
    return DeepSparseAutoencoder(**how, checkpoint=folder, **{"random_state": 0, "checkpoint_every": 0} | settings)


@pytest.mark.parametrize("block_size", [1, 4])
def test_the_estimator_goes_on_and_tidies_up(tmp_path, monkeypatch, block_size):
    whole = small(block_size=block_size).fit(data())
    write = Checkpoints.write
    steps = itertools.count(1)

    def stop(self, state):
        write(self, state)
        if next(steps) == 11:
            raise StoppedError

    monkeypatch.setattr(Checkpoints, "write", stop)
    with pytest.raises(StoppedError):
        small(tmp_path / "run", block_size=block_size).fit(data())
    assert (tmp_path / "run").is_dir()
    dsa = small(tmp_path / "run", block_size=block_size).fit(data())
    same((whole.runtime_.model, whole.history_), (dsa.runtime_.model, dsa.history_))
    assert not list(tmp_path.iterdir())
    assert dsa.fit_time_ >= dsa.history_[-1]["seconds"]


def test_without_a_random_state_the_checkpoints_seed_counts(tmp_path, monkeypatch):
    seeds = []
    write = Checkpoints.write

    def stop(self, state):
        write(self, state)
        seeds.append(self._run["seed"])
        if len(seeds) == 4:
            raise StoppedError

    monkeypatch.setattr(Checkpoints, "write", stop)
    with pytest.raises(StoppedError):
        small(tmp_path / "run", random_state=None).fit(data())
    small(tmp_path / "run", random_state=None).fit(data())
    assert len(set(seeds)) == 1
    assert len(seeds) == 30


def test_checkpoint_every_is_minutes(monkeypatch):
    clock = iter([0, 119, 120])
    monkeypatch.setattr("dsae.train._checkpoint.time", SimpleNamespace(monotonic=lambda: next(clock)))
    checkpoints = Checkpoints("somewhere", every=2)
    assert [checkpoints.due(), checkpoints.due()] == [False, True]
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"checkpoint_every must be a number in \[0, inf\); got -1"):
        small("somewhere", checkpoint_every=-1).fit(data())


RUN = """
import os, random, signal, sys, time
import numpy as np
from dsae import DeepSparseAutoencoder

data, folder, model = sys.argv[1:]

def go():
    DeepSparseAutoencoder(
        4, hidden_layer_sizes=(9,), density=0.3, max_iter=6, batch_size=20, random_state=0, checkpoint=folder,
        checkpoint_every=0,
    ).fit(np.load(data)).save(model)

def killed(before, kill):
    child = os.fork()
    if not child:
        before()
        go()
        os._exit(0)
    kill(child)
    return os.waitpid(child, 0)[1] == signal.SIGKILL

def once_it_has_begun(child):
    while not os.path.exists(folder) and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.001)
    time.sleep(random.Random(0).random() * 0.1)
    os.kill(child, signal.SIGKILL)

def die_in_the_fourth_write():
    sync, left = os.fsync, [4]
    def die(file):
        left[0] -= 1
        left[0] or os.kill(os.getpid(), signal.SIGKILL)
        sync(file)
    os.fsync = die

DeepSparseAutoencoder(2, max_iter=1).fit(np.load(data))  # what it imports is there for all children
killed(lambda: None, once_it_has_begun)
assert killed(die_in_the_fourth_write, lambda child: None)
assert os.path.exists(folder)
go()
"""


def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_weights(fresh, tmp_path):
    np.save(tmp_path / "x.npy", data())
    small().fit(data()).save(tmp_path / "whole")
    run = fresh(RUN, tmp_path / "x.npy", tmp_path / "run", tmp_path / "model")
    assert run.returncode == 0, run.stderr
    one, other = store.read(tmp_path / "whole"), store.read(tmp_path / "model")
    same((one, one.history), (other, other.history))
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "whole", "model"}

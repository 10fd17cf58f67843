"""An estimator whose fit was stopped goes on as if it had not been."""

import itertools
import random
import signal
import subprocess
import sys
import textwrap
import time
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
import os, signal, sys
import numpy as np
from dsae import DeepSparseAutoencoder
sync, left = os.fsync, [int(sys.argv[4])]
def die(file):
    left[0] -= 1
    left[0] or os.kill(os.getpid(), signal.SIGKILL)
    sync(file)
os.fsync = die
X = np.load(sys.argv[1])
dsa = DeepSparseAutoencoder(
    4, hidden_layer_sizes=(9,), density=0.3, max_iter=15, batch_size=20, random_state=0, checkpoint=sys.argv[2],
    checkpoint_every=0,
)
dsa.fit(X).save(sys.argv[3])
"""


def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_weights(tmp_path):
    np.save(tmp_path / "x.npy", data())
    args = [sys.executable, "-c", textwrap.dedent(RUN), tmp_path / "x.npy"]
    small().set_params(max_iter=15).fit(data()).save(tmp_path / "whole")
    process = subprocess.Popen([*args, tmp_path / "run", tmp_path / "model", "0"])
    while not (tmp_path / "run").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.Random(0).random() * 0.1)
    process.kill()
    process.wait()
    in_the_midst_of_a_write = subprocess.run([*args, tmp_path / "run", tmp_path / "model", "4"])
    assert in_the_midst_of_a_write.returncode == -signal.SIGKILL
    subprocess.run([*args, tmp_path / "run", tmp_path / "model", "0"], check=True)
    one, other = store.read(tmp_path / "whole"), store.read(tmp_path / "model")
    same((one, one.history), (other, other.history))
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "whole", "model"}

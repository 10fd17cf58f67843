"""The old model or the new one, whatever fails and whenever the machine stops."""

import builtins
import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dsae import store
from dsae.store import _commit, _model

FULL = OSError(errno.ENOSPC, "No space left on device")


def weights(folder):
    return [layer.values for layer in store.read(folder).layers.values()]


def is_whole(folder, *models):
    found = weights(folder)
    known = [[layer.values for layer in model.layers.values()] for model in models]
    return any(all(map(np.array_equal, found, one)) for one in known)


@pytest.fixture
def models(make_model):
    return make_model(seed=0, model={"learning": {"a": np.ones(3), "b": {"c": 1}}}), make_model(seed=1)


@pytest.fixture(params=["at once", "in two steps"])
def swapping(request, monkeypatch):
    if request.param == "in two steps":
        monkeypatch.setattr(_commit, "_swapped", lambda left, right: False)
    return request.param


CALLS = [
    (os, "fsync"),
    (os, "open"),
    (os, "scandir"),
    (os, "mkdir"),
    (os, "rename"),
    (builtins, "open"),
]


def failing_at(monkeypatch, module, name, n):
    """Let the n-th call of a function fail as on a full disk; tells how many there were."""
    original, calls = getattr(module, name), []

    def fail(*args, **kwargs):
        calls.append(1)
        if len(calls) == n:
            raise FULL
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, fail)
    return calls


@pytest.mark.usefixtures("swapping")
@pytest.mark.parametrize(("module", "name"), CALLS, ids=lambda value: getattr(value, "__name__", value))
def test_whichever_call_fails_one_whole_model_is_there(models, tmp_path, module, name):
    old, new = models
    store.write(tmp_path / "model", old)
    for n in range(1, 30):
        with pytest.MonkeyPatch.context() as patch:
            calls = failing_at(patch, module, name, n)
            try:
                store.write(tmp_path / "model", new)
            except OSError as error:
                assert str(error).startswith(f"[save] {tmp_path}/model cannot be written: No space left")  # noqa: PT017
        assert (tmp_path / "model").is_dir(), "also for those who read it without us"
        assert is_whole(tmp_path / "model", old, new)
        store.write(tmp_path / "model", old)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        if len(calls) < n:
            return
    pytest.fail("the writing never came to its end")


class Stingy:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, file, left):
        self.file, self.left = file, left

    def write(self, content):
        size = memoryview(content).nbytes
        if size > self.left[0]:
            self.file.write(bytes(content)[: self.left[0]])
            raise FULL
        self.left[0] -= size
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


def stingy_open(original, left, path, mode="r", **settings):
    return Stingy(original(path, mode, **settings), left)


@pytest.mark.usefixtures("swapping")
def test_wherever_the_disk_is_full_the_old_model_stays(models, tmp_path):
    old, new = models
    store.write(tmp_path / "model", old)
    size = sum(path.stat().st_size for path in store.write(tmp_path / "other", new).iterdir())
    for limit in range(0, size, 97):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "open", partial(stingy_open, builtins.open, [limit]))
            with pytest.raises(OSError, match=r"\[save\] .*model cannot be written: No space left on device\."):
                store.write(tmp_path / "model", new)
        assert is_whole(tmp_path / "model", old)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other"}


def test_a_limit_of_the_system_is_an_error_like_any_other(make_model, tmp_path):
    old, new = make_model(seed=0), make_model(60, 50, seed=1)
    store.write(tmp_path / "model", old)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"\[save\] .*model cannot be written: File too large"):
            store.write(tmp_path / "model", new)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert is_whole(tmp_path / "model", old)


@contextlib.contextmanager
def as_nobody():
    """Root may write everywhere; all others stay who they are."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_may_not_be_written_is_named(models):
    with tempfile.TemporaryDirectory() as parent:  # pytest's own is closed to others
        model = store.write(Path(parent) / "model", models[0])
        Path(parent).chmod(0o555)
        with (
            as_nobody(),
            pytest.raises(OSError, match=r"cannot be written: Permission denied\. Choose a"),
        ):
            store.write(model, models[1])
        Path(parent).chmod(0o755)
        assert is_whole(model, models[0])


SAVE_FOR_EVER = """
import sys, itertools
from dsae import store
from dsae.store import _commit
if sys.argv[2] == "in two steps":
    _commit._swapped = lambda left, right: False
one, other = store.read(sys.argv[1]), store.read(sys.argv[1] + "2")
print("ready", flush=True)
for model in itertools.cycle((other, one)):
    store.write(sys.argv[1], model)
"""


def test_killed_while_saving_at_any_moment(models, tmp_path, swapping):
    """SIGKILL cannot be handled: what is on the disk then is what there is."""
    old, new = models
    store.write(tmp_path / "model", old)
    store.write(tmp_path / "model2", new)
    rng = random.Random(swapping)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, tmp_path / "model", swapping], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * 0.05)
        process.kill()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        assert is_whole(tmp_path / "model", old, new)
    store.write(tmp_path / "model", old)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model2"}


def killed_between_two_renames(tmp_path, old, new):
    """What a writer leaves that was killed between moving the old model aside and the new one in."""
    store.write(tmp_path / "model", old).rename(tmp_path / ".model.abcd1234.old")
    store.write(tmp_path / "new", new).rename(tmp_path / ".model.abcd1234.tmp")


def test_a_model_moved_aside_comes_back_when_it_is_read(models, tmp_path):
    killed_between_two_renames(tmp_path, *models)
    (tmp_path / "latest").symlink_to(tmp_path / "model")
    assert is_whole(tmp_path / "latest", models[0])
    assert is_whole(tmp_path / "model", models[0])


def test_a_model_moved_aside_survives_a_failed_writing(models, tmp_path, monkeypatch):
    killed_between_two_renames(tmp_path, *models)
    with monkeypatch.context() as patch:
        failing_at(patch, builtins, "open", 3)
        with pytest.raises(OSError, match="No space left"):
            store.write(tmp_path / "model", models[1])
    assert is_whole(tmp_path / "model", models[0])


def test_a_model_moved_aside_survives_the_look_before_training(models, tmp_path):
    killed_between_two_renames(tmp_path, *models)
    store.check_target(tmp_path / "model")
    assert is_whole(tmp_path / "model", models[0])


def test_what_is_saved_is_on_the_disk_with_its_names(models, tmp_path, monkeypatch):
    synced = set()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    folder = store.write(tmp_path / "model", models[0])
    assert {path.stat().st_ino for path in (tmp_path, folder, *folder.iterdir())} <= synced


def test_only_what_killed_writers_left_is_removed(models, tmp_path):
    theirs = [".model.settings", ".model.old", ".model.abcd1234.backup", ".models.abcd1234.tmp", ".model.ABCD1234.tmp"]
    for name in theirs:
        (tmp_path / name).mkdir()
    (tmp_path / ".model.abcd1234.tmp").mkdir()
    with _commit.replaced(tmp_path / "model", lambda target: None):  # one that lives
        living = set(_commit._siblings(tmp_path / "model"))
        assert len(living) == 1
        store.write(tmp_path / "model", models[0])
        assert set(_commit._siblings(tmp_path / "model")) == living
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "model"}


def test_old_and_new_change_places_in_one_step_here(tmp_path):
    """Were it not so on Linux, the window between two renames would be back unnoticed."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert _commit._swapped(tmp_path / "a", tmp_path / "b") == (sys.platform in ("linux", "darwin"))
    assert not _commit._swapped(tmp_path / "a", tmp_path / "none")


@pytest.mark.parametrize("torn", [False, True])
def test_a_model_that_is_replaced_while_it_is_read_is_read_again(models, tmp_path, monkeypatch, torn):
    old, new = models
    store.write(tmp_path / "model", old)
    original = _model._read_tensors
    once = [lambda: store.write(tmp_path / "model", new)]

    def replaced_meanwhile(*args):
        if once:
            once.pop()()
            if torn:
                raise ValueError("half of it is another's")
        return original(*args)

    monkeypatch.setattr(_model, "_read_tensors", replaced_meanwhile)
    found = store.read(tmp_path / "model")
    assert np.array_equal(found.layers["encoder.0"].values, new.layers["encoder.0"].values)
    assert found.config == new.config


def test_a_model_that_never_stays_the_same_is_refused(models, tmp_path, monkeypatch):
    folder = store.write(tmp_path / "model", models[0])
    original = _model._read_tensors
    monkeypatch.setattr(_model, "_read_tensors", lambda *a: (folder / "metrics.json").touch() or original(*a))
    with pytest.raises(OSError, match=r"^\[load\] .*model changed each time it was read"):
        store.read(folder)

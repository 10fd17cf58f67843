"""Several writers and readers of one folder at once, some of them killed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.store.whole import is_clean, is_whole

from dsae import store
from dsae.store import _commit

SAVE_FOR_EVER = """
import sys, itertools
from dsae import store
one, other = store.read(sys.argv[1]), store.read(sys.argv[1] + "2")
print("ready", flush=True)
for model in itertools.cycle((other, one)):
    store.write(sys.argv[1], model)
"""


@contextlib.contextmanager
def saving(script, *args):
    """A process that writes until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, args)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.stdout.close()
    assert process.wait() == -signal.SIGKILL


def test_killed_while_saving_at_any_moment(models, tmp_path):
    """SIGKILL cannot be handled: what is on the disk then is what there is."""
    old, new = models
    store.write(tmp_path / "model", old)
    store.write(tmp_path / "model2", new)
    rng = random.Random(0)
    for _ in range(4):
        with saving(SAVE_FOR_EVER, tmp_path / "model"):
            time.sleep(rng.random() * 0.05)
        assert is_whole(tmp_path / "model", old, new)
    for path in (tmp_path / "model").iterdir():
        os.utime(path, (0, 0))  # as if that were long ago
    store.write(tmp_path / "model", old)
    assert is_clean(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model2"}


GENERATIONS = """
import sys, itertools
from dsae import store
print("ready", flush=True)
for n in itertools.count(int(sys.argv[2])):
    names = ("model.bin", "rna/model.bin", "protein/words.json")[: 1 + n % 3]
    store.commit(sys.argv[1], "head.json", {"n": n}, [(name, f"{n} {name}".encode()) for name in names])
"""


def test_several_files_and_subfolders_are_of_one_moment_with_two_writers_at_once(tmp_path):
    seen = set()

    def read(found):
        n = found.content["n"]
        assert len(found.listed) == 1 + n % 3
        for name in found.listed:
            assert found.read(name, lambda data, _: data) == f"{n} {name}".encode()
        seen.add(n)

    store.commit(tmp_path / "joint", "head.json", {"n": 0}, [("model.bin", b"0 model.bin")])
    with (
        saving(GENERATIONS, tmp_path / "joint", 0),
        saving(GENERATIONS, tmp_path / "joint", 10**6),
    ):
        while len(seen) < 5:  # a slow disk takes many reads from one commit to the next
            with contextlib.suppress(OSError):  # each time another
                store.committed(tmp_path / "joint", "head.json", read)
    store.committed(tmp_path / "joint", "head.json", read)


def test_a_writer_that_commits_while_another_does_leaves_nothing(models, tmp_path, monkeypatch):
    """Right after the other's files, and after it has seen which files are to go."""
    folder, replace, sync = store.write(tmp_path / "model", models[0]), os.replace, _commit._sync
    with monkeypatch.context() as patch:
        during = iter([lambda: store.write(folder, models[0])])
        patch.setattr(_commit, "_sync", lambda path: (sync(path), next(during, bool)()))
        store.write(folder, models[1])
    assert is_whole(folder, models[1])
    assert is_clean(folder)

    def overtaken(draft, target):
        if Path(target).name != "config.json":
            return replace(draft, target)
        later = iter([lambda: None, lambda: replace(draft, target)])  # after the other's own replacement
        with monkeypatch.context() as inner:
            inner.setattr(os, "replace", replace)
            inner.setattr(_commit, "_sync", lambda path: (sync(path), next(later, bool)()))
            store.write(folder, models[0])

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", overtaken)
        store.write(folder, models[1])
    assert is_whole(folder, models[1])
    assert is_clean(folder)


def test_a_writer_that_stalls_right_before_its_replacement_leaves_nothing_of_others(models, tmp_path, monkeypatch):
    folder, replace = store.write(tmp_path / "model", models[0]), os.replace
    others = iter([lambda: store.write(folder, models[0])])

    def stalled(draft, target):
        next(others, bool)()
        replace(draft, target)

    monkeypatch.setattr(os, "replace", stalled)
    store.write(folder, models[1])
    assert is_whole(folder, models[1])
    assert is_clean(folder)


def test_a_writer_whose_files_are_gone_does_not_list_them(models, tmp_path, monkeypatch):
    """It stalled for more than an hour, and another has taken it for killed."""
    folder, sync = store.write(tmp_path / "model", models[0]), _commit._sync

    def an_hour_later(path):
        with monkeypatch.context() as patch:
            patch.setattr(_commit, "_sync", sync)
            patch.setattr(time, "time", lambda now=time.time: now() + 4000)
            store.write(folder, models[0])
        sync(path)

    monkeypatch.setattr(_commit, "_sync", an_hour_later)
    with pytest.raises(OSError, match=r"^\[save\] .* was removed by another writer"):
        store.write(folder, models[1])
    monkeypatch.undo()
    assert is_whole(folder, models[0])


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(models, tmp_path, monkeypatch):
    old, new = models
    store.write(tmp_path / "model", old)
    original, once = _commit.Committed.read, [lambda: store.write(tmp_path / "model", new)]

    def replaced_meanwhile(self, *args):
        if once:
            once.pop()()
        return original(self, *args)

    monkeypatch.setattr(_commit.Committed, "read", replaced_meanwhile)
    assert is_whole(tmp_path / "model", new)


def test_a_model_that_never_stays_the_same_is_refused(models, tmp_path, monkeypatch):
    folder = store.write(tmp_path / "model", models[0])
    original = _commit.Committed.read
    monkeypatch.setattr(_commit.Committed, "read", lambda *args: store.write(folder, models[0]) and original(*args))
    with pytest.raises(OSError, match=r"^\[load\] .*model changed each time it was read"):
        store.read(folder)

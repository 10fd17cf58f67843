"""The old files or the new ones, whatever fails and whenever the machine stops."""

import builtins
import contextlib
import errno
import json
import os
import resource
import tempfile
from functools import partial
from pathlib import Path

import pytest
from tests.covering import each
from tests.folders import stored
from tests.store.whole import is_clean, is_whole

from dsae import store
from dsae.store import _commit

FULL = OSError(errno.ENOSPC, "No space left on device")


CALLS = [
    (os, "fsync"),
    (os, "open"),
    (os, "scandir"),
    (os, "mkdir"),
    (os, "replace"),
    (os, "unlink"),
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


@each({"module, name": CALLS})
def test_whichever_call_fails_one_whole_model_is_there(models, tmp_path, module, name):
    old, new = models
    store.write(tmp_path / "model", old)
    for n in range(1, 40):
        with pytest.MonkeyPatch.context() as patch:
            calls = failing_at(patch, module, name, n)
            try:
                store.write(tmp_path / "model", new)
            except OSError as error:
                assert str(error).startswith(f"[save] {tmp_path}/model cannot be written: No space left")  # noqa: PT017
        assert is_whole(tmp_path / "model", old, new)
        store.write(tmp_path / "model", old)
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


def test_wherever_the_disk_is_full_one_whole_model_and_nothing_else_is_there(models, tmp_path):
    old, new = models
    size = sum(path.stat().st_size for path in store.write(tmp_path / "other", new).iterdir())
    card = (tmp_path / "other" / "README.md").stat().st_size
    for limit in range(0, size, 97):
        store.write(tmp_path / "model", old)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "open", partial(stingy_open, builtins.open, [limit]))
            with pytest.raises(OSError, match=r"\[save\] .*model cannot be written: No space left on device\.$"):
                store.write(tmp_path / "model", new)
        assert is_whole(tmp_path / "model", old if limit < size - card - 8 else new)
    store.write(tmp_path / "model", old)
    assert is_clean(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other"}


def test_a_first_writing_that_fails_leaves_nothing(models, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        failing_at(patch, os, "replace", 1)
        with pytest.raises(OSError, match="No space left"):
            store.write(tmp_path / "model", models[0])
    assert not (tmp_path / "model").exists()


def test_an_interrupt_right_after_the_replacement_keeps_the_new_files(models, tmp_path, monkeypatch):
    store.write(tmp_path / "model", models[0])
    replace = os.replace

    def interrupted(source, target):
        replace(source, target)
        if Path(target).name == "config.json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.write(tmp_path / "model", models[1])
    assert is_whole(tmp_path / "model", models[1])


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
    assert is_clean(tmp_path / "model")


@contextlib.contextmanager
def as_nobody():
    """Root may write everywhere; all others stay who they are."""
    root = os.geteuid() == 0
    if root:
        try:
            os.seteuid(65534)
        except OSError:  # a container's root may be the only user there
            pytest.skip("this root cannot be anybody else")
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@each(write=[store.write, lambda folder, model: store.check_target(folder)])
def test_a_folder_that_may_not_be_written_is_named(models, write):
    with tempfile.TemporaryDirectory() as parent:  # pytest's own is closed to others
        model = store.write(Path(parent) / "model", models[0])
        model.chmod(0o555)
        Path(parent).chmod(0o555)
        for folder in (model, Path(parent) / "another"):
            with as_nobody(), pytest.raises(OSError, match=r"cannot be written: Permission denied\. Choose a"):
                write(folder, models[1])
        Path(parent).chmod(0o755)
        assert is_whole(model, models[0])


def test_the_look_before_training_leaves_nothing(tmp_path, models):
    store.check_target(tmp_path / "a" / "model")
    assert not (tmp_path / "a" / "model").exists()
    folder = store.write(tmp_path / "model", models[0])
    store.check_target(folder)
    assert is_clean(folder)


def test_what_a_commit_no_longer_lists_is_removed_with_its_subfolder(tmp_path):
    store.commit(tmp_path, "head.json", {}, [("a.bin", b"1"), ("b/c.bin", b"2")])
    (tmp_path / "thesis.tex").write_text("years of work")
    store.commit(tmp_path, "head.json", {}, [("a.bin", b"3")])
    assert {path.name for path in tmp_path.iterdir()} == {
        "thesis.tex",
        "head.json",
        stored(tmp_path, "a.bin", "head.json").name,
    }


def test_only_what_was_abandoned_is_removed(models, tmp_path):
    folder = store.write(tmp_path / "model", models[0])
    theirs = ["model-abc.safetensors", "weights.safetensors", "a-0123456789abcdef.bin", ".abcd.tmp", "x.tmp"]
    ours = ["model-0123456789abcdef-01234567.safetensors", ".01234567.tmp"]
    for name in (*theirs, *ours):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    # that a living writer is about to list, and what one leaves that was killed after another had replaced its head
    young, draft = folder / "model-0123456789abcdef-89abcdef.safetensors", folder / ".89abcdef.tmp"
    overtaken = folder / "model-0123456789abcdef-76543210.safetensors"
    for path in (young, draft, overtaken):
        path.touch()
    store.write(folder, models[1])
    there = {path.name for path in folder.iterdir()}
    assert {*theirs, young.name, draft.name} <= there
    assert not there & {*ours, overtaken.name}


def test_what_a_killed_first_writer_left_is_written_over(models, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model-0123456789abcdef-01234567.safetensors").touch()
    assert is_whole(store.write(tmp_path / "model", models[0]), models[0])


FOREIGN = ['{"architectures": ["BertModel"], "model_type": "bert"}', '{"format": "dsae checkpoint"}', "[]", "{", ""]


@each(text=FOREIGN)
def test_the_configuration_of_another_program_is_not_written_over(models, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    for write in (store.write, lambda folder, model: store.check_target(folder)):
        with pytest.raises(ValueError, match=r"^\[save\] .* exists and is not a model folder"):
            write(tmp_path, models[0])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("config.json", text)]


def test_what_is_saved_is_on_the_disk_with_its_names(models, tmp_path, monkeypatch):
    synced = set()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    folder = store.write(tmp_path / "model", models[0])
    assert {path.stat().st_ino for path in (folder, *folder.iterdir())} <= synced


def test_a_link_stays_a_link(models, tmp_path):
    store.write(tmp_path / "model", models[0])
    (tmp_path / "latest").symlink_to(tmp_path / "model")
    store.write(tmp_path / "latest", models[1])
    assert (tmp_path / "latest").is_symlink()
    assert is_whole(tmp_path / "model", models[1])


@each(
    {
        "edit, message": [
            (lambda h: h.pop("files"), r"config\.json must list its files"),
            (lambda h: h.update(files=[]), r"config\.json must list its files"),
            (lambda h: h["files"].clear(), r"must list model\.safetensors with its bytes and sha256"),
            (
                lambda h: h["files"]["model.safetensors"].update(sha256="../" * 21 + "x"),
                r"must list model\.safetensors",
            ),
            (lambda h: h["files"]["model.safetensors"].update(bytes="3"), r"must list model\.safetensors"),
            (lambda h: h["files"]["model.safetensors"].update(bytes=3), r"it should have 3 bytes; got \d+"),
            (lambda h: h.update(commit="/etc/pwd"), "name the commit"),
            (
                lambda h: h.update(commit="01234567"),
                r"-01234567\.safetensors is missing; the folder was not copied whole",
            ),
        ]
    }
)
def test_a_listing_that_lies_is_refused(models, tmp_path, edit, message):
    folder = store.write(tmp_path / "model", models[1])
    header = json.loads((folder / "config.json").read_text())
    edit(header)
    (folder / "config.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match=rf"^\[load\] .*{message}"):
        store.read(folder)


@each(worth_a_thread=[0, 1 << 20])
def test_one_changed_byte_is_told(models, tmp_path, monkeypatch, worth_a_thread):
    monkeypatch.setattr(_commit, "_WORTH_A_THREAD", worth_a_thread)
    path = stored(store.write(tmp_path / "model", models[0]), "model.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=r"^\[load\] .*\.safetensors is corrupt: its SHA-256 is not the one in config"):
        store.read(tmp_path / "model")

"""A run that was stopped goes on as if it had not been: the same weights, bit for bit."""

import itertools
import json
import os
import random
import shutil
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each, pairwise
from tests.folders import change_state, put, stored
from tests.train.runs import Killed, StoppedError, data, same, train

from dsae import ops
from dsae.config import CODE_ACTIVATIONS, SHRINK
from dsae.data import open_rows, write_rows
from dsae.store import state_from_bytes
from dsae.train import Checkpoints
from dsae.train._interrupt import Interrupt

HEAD, STATE = "checkpoint.json", "state.safetensors"


def stopped_and_resumed(folder, steps, **settings):
    """Stopped after each of ``steps`` steps, each time in what a new process would hold."""
    for n in steps:
        with pytest.raises(StoppedError):
            train(Killed(folder, n), **settings)
    resumed = train(Checkpoints(folder), **settings)
    shutil.rmtree(folder)
    return resumed


CODES = [
    *({"code_activation": code} for code in CODE_ACTIVATIONS if code not in ("topk", "batchtopk", "jumprelu")),
    *({"code_activation": code, "k": 2} for code in ("topk", "batchtopk", "jumprelu")),
    {"code_activation": "sigmoid", "target_rate": 0.2},
]
OTHERS = [{}, {"contractive": 0.1}, {"l2": 1e-3, "scale": True}, {"loss": "bce", "output_activation": "sigmoid"}, {}]
PATIENT = {"early_stopping": True, "max_iter": 20, "n_iter_no_change": 2, "tol": 0.3}
# Schedule, method, l1 and patience meet in pairs; every code and every other setting meets both schedules.
PAIRS = sorted(
    pairwise(shrink=SHRINK, schedule=["joint", "stagewise"], l1=[0.0, 0.3], stop=[{"max_iter": 7}, PATIENT]),
    key=lambda case: case["schedule"],
)
EVERY = [case | CODES[i % len(CODES)] | OTHERS[i % len(OTHERS)] for i, case in enumerate(PAIRS)]


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: "-".join(f"{v}" for v in s.values() if v != s["stop"]))
def test_stopped_and_resumed_is_never_stopped(tmp_path, settings):
    settings = settings | settings["stop"]
    del settings["stop"]
    if settings["shrink"] == "none":
        settings["density"] = 1.0
    if settings.get("loss") == "bce":
        settings["rows"] = data() / data().max()
    rng = random.Random(repr(settings.items()))
    steps = [rng.randrange(1, 12) for _ in range(2)]
    same(train(**settings), stopped_and_resumed(tmp_path / "run", steps, **settings))


@pytest.mark.parametrize("code", [{}, {"code_activation": "jumprelu", "k": 2, "shrink": "granet"}])
def test_it_may_stop_at_any_step(tmp_path, code):
    settings = {"schedule": "stagewise", "max_iter": 5, "l1": 0.1, "contractive": 0.1, **code}
    whole = train(**settings)
    for n in range(1, 5 * len(whole[1]), 2):
        same(whole, stopped_and_resumed(tmp_path / "run", [n], **settings))


LATE = {
    "the best weights are behind": (
        {"early_stopping": True, "shrink": "random", "max_iter": 20, "n_iter_no_change": 3, "learning_rate_init": 0.05},
        62,
    ),
    "zeros wait for their turn": ({"shrink": "set", "l1": 0.5, "max_iter": 30}, 100),
}


@pytest.mark.parametrize("when", sorted(LATE))
def test_late_in_the_run(tmp_path, when):
    settings, step = LATE[when]
    same(train(**settings), stopped_and_resumed(tmp_path / "run", [step], **settings))


def test_sparse_rows_go_on_too(tmp_path):
    rows = sp.csr_matrix(data())
    same(train(rows=rows), stopped_and_resumed(tmp_path / "run", [3, 9], rows=rows))


def test_a_stream_goes_on_too(tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._shuffle._POOL_BYTES", 1 << 11)
    write_rows(tmp_path / "x.parquet", data())
    rows = open_rows(tmp_path / "x.parquet")
    assert len(list(rows.batches(20, 0))) == 5
    same(train(rows=rows), stopped_and_resumed(tmp_path / "run", [3, 9], rows=rows))


def test_the_optimizers_state_is_needed(tmp_path, monkeypatch):
    """The law above would not hold by itself."""
    from dsae.train import SparseAdam

    monkeypatch.setattr(SparseAdam, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError):
        same(train(), stopped_and_resumed(tmp_path / "run", [7]))


UNSEEN = np.random.default_rng(0).permutation(90)[-1:]  # a row beyond those that are compared number by number
CHANGED = {
    "density": ({"density": 0.5}, r"density was 0\.3 and is 0\.5"),
    "learning rate": ({"learning_rate_init": 0.02}, r"learning_rate_init was 0\.01 and is 0\.02"),
    "epochs": ({"max_iter": 8}, "max_iter was 7 and is 8"),
    "fewer rows": ({"rows": data()[1:]}, "the data's n_samples was 90 and is 89"),
    "other rows": ({"rows": data() + np.float32(1e-3)}, "the data's sha256 was"),
    "one row": ({"rows": data() + np.isin(np.arange(90), UNSEEN)[:, None].astype("f4")}, "the data's sha256 was"),
    "other order": ({"rows": data()[::-1].copy()}, "the data's sha256 was"),
}


@each(what=sorted(CHANGED))
def test_another_run_is_refused_by_what_differs(tmp_path, what):
    changed, message = CHANGED[what]
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 2))
    with pytest.raises(ValueError, match=rf"^\[fit\] .*run holds the unfinished run of other .*{message}"):
        train(Checkpoints(tmp_path / "run"), **changed)


def test_weights_to_start_from_belong_to_the_run(tmp_path):
    start, other = (train(max_iter=1, learning_rate_init=rate)[0] for rate in (0.01, 0.02))
    same(train(start=start), stopped_and_resumed(tmp_path / "run", [7], start=start))
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 2), start=start)
    with pytest.raises(ValueError, match=r"start was '\w+' and is '\w+'\. Give the same again"):
        train(Checkpoints(tmp_path / "run"), start=other)


def test_thresholds_to_start_from_belong_to_the_run(tmp_path):
    code = {"code_activation": "jumprelu", "k": 2}
    start = train(max_iter=2, **code)[0]
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 2), start=start, **code)
    with pytest.raises(ValueError, match="start was"):
        train(Checkpoints(tmp_path / "run"), start=replace(start, threshold=start.threshold * 3), **code)


def test_another_number_of_threads_is_told(tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 3))
    n = ops.most_threads()
    monkeypatch.setattr(ops, "most_threads", lambda: n + 1)
    with pytest.warns(UserWarning, match=rf"run on {n} threads, which goes on on {n + 1}: .* Set OMP_NUM_THREADS={n}"):
        train(Checkpoints(tmp_path / "run"))


@each(name=["thesis.tex", "checkpoint.json"])
def test_what_is_no_checkpoint_is_not_overwritten(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("{}")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        train(Checkpoints(tmp_path / "run"))
    assert (tmp_path / "run" / name).read_text() == "{}"


def test_a_file_on_the_way_to_a_checkpoint_is_noticed_before_training(tmp_path):
    (tmp_path / "run").write_text("a thesis")
    with pytest.raises(ValueError, match=r"checkpoint must be the path of a folder; .*, but \S+run is a file"):
        train(Checkpoints(tmp_path / "run" / "x" / "y"))


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 2))
    folder, kept = tmp_path / "run", tmp_path / "kept"
    shutil.copytree(folder, kept)
    head = json.loads((folder / HEAD).read_text())
    path = stored(folder, STATE, HEAD)
    state = state_from_bytes(path.read_bytes(), path)
    damages = [
        lambda: put(folder, STATE, path.read_bytes()[:-4], HEAD),
        lambda: path.write_bytes(path.read_bytes()[:-4]),
        lambda: (folder / HEAD).write_bytes(b"{"),
        lambda: (folder / HEAD).write_text(json.dumps(head | {"format_version": 9})),
        lambda: (folder / HEAD).write_text(json.dumps(head | {"run": 3})),
        *(partial(change_state, folder, STATE, lambda _, broken=broken: broken, HEAD) for broken in _broken(state)),
    ]
    assert len(damages) >= 20
    for damage in damages:
        damage()
        with pytest.raises(ValueError, match=r"^\[fit\] .*run.*Remove the folder to start over"):
            train(Checkpoints(folder))
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)


TAMPERED = {
    "an epoch of no rows": ("learner", "sums", "n_rows", 0),
    "an epoch in no time": ("learner", "sums", "seconds", 0.0),
    "a step that no integer holds": ("learner", "optimizer", "state", "0", "step", 10**400),
    "an epoch that is a text": ("history", 0, "an epoch"),
    "an epoch without a loss": ("history", 0, "loss", None),
    "best weights that are none": ("learner", "patience", "weights", "encoder.0.bias", 3),
}


@each(what=TAMPERED)
def test_a_tampered_checkpoint_is_refused_by_name(tmp_path, what):
    settings = {"early_stopping": True, "shrink": "set", "max_iter": 20}
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 81), **settings)
    *way, last, value = TAMPERED[what]

    def tamper(part):
        for key in way:
            part = part[key]
        assert last in part or isinstance(part, list)
        part[last] = value

    change_state(tmp_path / "run", STATE, tamper, HEAD)
    with pytest.raises(ValueError, match=r"^\[fit\] .*run is damaged .*Remove the folder to start over"):
        train(Checkpoints(tmp_path / "run"), **settings)


def _broken(state):
    for key in state:
        if key != "history":
            yield {k: v for k, v in state.items() if k != key}
            yield state | {key: "nonsense"}
    for key in state["learner"]:
        if key not in ("extra", "patience"):
            yield state | {"learner": {k: v for k, v in state["learner"].items() if k != key}}
    yield state | {"stage": 7}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_and_says_so(tmp_path, monkeypatch, number):
    from dsae.train._progress import ProgressLine

    whole = train()
    steps = itertools.count(1)
    monkeypatch.setattr(ProgressLine, "step", lambda self: next(steps) == 8 and os.kill(os.getpid(), number))
    with pytest.warns(RuntimeWarning, match=r"interrupted in epoch 2, .*run has what it needs to go on\.$"):
        train(Checkpoints(tmp_path / "run"))
    monkeypatch.undo()
    same(whole, train(Checkpoints(tmp_path / "run")))


def test_without_checkpoints_termination_is_as_ever():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) is before
    with Interrupt(terminable=True) as interrupt:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.asked
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch):
    whole = train()
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", 6))
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    def full(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.warns(
            RuntimeWarning, match=r"No space left on device\. Training continues without this checkpoint"
        ):
            same(whole, train(Checkpoints(tmp_path / "run", every=0)))
    assert kept == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

"""A folder made to harm: nothing but a ValueError or an OSError with a message, and no memory that it has not earned.

Mutations that know the structure, drawn from a seed; `make fuzz` tries thousands. What is still a model must run.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load
from tests.contract.attacks import RAW, TIMES, attacked, bruised, header_of, lying_header, mutated, with_header
from tests.covering import each, pairs
from tests.folders import put, stored

from dsae import DeepSparseAutoencoder, store
from dsae.features import TableRows
from dsae.runtime import Runtime
from dsae.store._state import tensors_to_bytes

FILES = ("config.json", "model.safetensors", "learning.safetensors", "sampler.safetensors")
TREES = ("learning.safetensors", "sampler.safetensors")
KINDS = {
    "topk": {"code_activation": "topk", "k": 2},
    "jumprelu": {"code_activation": "jumprelu", "k": 2, "shrink": "set"},
    "dense": {"density": 1.0, "shrink": "none", "code_activation": "sigmoid"},
}
X = np.abs(np.random.default_rng(0).normal(size=(24, 6))).astype(np.float32)
TABLE = TableRows().fit(  # of six features
    pd.DataFrame(
        {
            "colour": pd.Categorical(list("abcd") * 6),
            "x": np.arange(24.0) % 5,
            "day": pd.date_range("2020-01-01", periods=24),
        }
    )
)
SLACK = 2 << 20  # bytes: interpreter, numpy and the check itself
# Of which numbers numpy warns differs with the instruction set: damage gives any.
WARNED = ("invalid value", "overflow", "divide by zero")
pytestmark = [pytest.mark.filterwarnings(f"ignore:{what} encountered") for what in WARNED]


def use(model):
    """Run it, and make a table of what it gives where it was fitted to one."""
    runtime = Runtime(model)
    rows = runtime.reconstruct(np.ones((3, model.config.n_features), np.float32))
    if runtime.table is not None:
        assert runtime.table.to_arrow(rows).num_rows == 3
    if model.sampler is not None:
        with contextlib.suppress(ValueError):  # finite numbers may give codes that are not
            runtime.sample(3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for name, settings in KINDS.items():
        dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(5,), **{"density": 0.5} | settings)
        dsa.set_params(batch_size=8, random_state=0).partial_fit(X)
        dsa.fit_sampler(X, "mixture" if name == "dense" else "neighbours", 1)
        made[name] = dsa.save(tmp_path_factory.mktemp("hostile") / name, table=TABLE if name == "dense" else None)
        model = store.read(made[name], learning=True)  # what is imported on first use is no memory of a damaged file
        use(model)
    return made


@pytest.fixture(autouse=True)
def no_hang():
    def hung(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(300 * TIMES)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=sorted(KINDS))
def victim(request, folders, tmp_path):
    return shutil.copytree(folders[request.param], tmp_path / "model")


def attempt(folder):
    """Whether it was a model all the same; anything but the two errors, or too much memory, fails.

    Imports and caches of a first time are no memory of the file: it has a second try.
    """
    # None that was written is larger; what a file takes of a disk is known late on some of them.
    size = sum(min(path.stat().st_size, 1 << 20) for path in folder.iterdir() if path.is_file())
    for last in (False, True):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            model = store.read(folder, learning=True)
        except (ValueError, OSError) as error:
            assert str(error)  # noqa: PT017
            model = None
        took = tracemalloc.get_traced_memory()[1] - before
        if took < 40 * size + SLACK:
            break
        assert not last, took
    if model is not None:
        use(model)
    return model is not None


def content_of(folder, name):
    return (folder / name if name == "config.json" else stored(folder, name)).read_bytes()


def survive(folder, cases):
    """Every ``(file, content)``, one at a time, with hashes that agree; how many were still models."""
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    accepted = 0
    tracemalloc.start()
    try:
        for name, content in cases:
            if name == "config.json":
                (folder / name).write_bytes(content)
            else:
                put(folder, name, content)
            accepted += attempt(folder)
            for path in folder.iterdir():
                path.unlink()
            for path, content in kept.items():
                path.write_bytes(content)
        assert attempt(folder), "the folder is whole again"
    finally:
        tracemalloc.stop()
    return accepted


def test_json_with_a_changed_node(victim):
    rng, tree = random.Random(0), json.loads((victim / "config.json").read_text())
    cases = [("config.json", json.dumps(mutated(tree, rng)).encode()) for _ in range(30 * TIMES)]
    cases += [("config.json", raw) for raw in RAW]
    assert survive(victim, cases) < len(cases)


@each(name=TREES)
def test_a_tree_with_a_changed_node(victim, name):
    rng, content = random.Random(1), content_of(victim, name)
    tensors, tree = load(content), json.loads(header_of(content)["__metadata__"]["tree"])
    texts = [json.dumps(mutated(tree, rng)) for _ in range(15 * TIMES)] + [raw.decode("latin1") for raw in RAW]
    cases = [(name, tensors_to_bytes(tensors, {"tree": text})) for text in texts]
    assert survive(victim, cases) < len(cases)


@pytest.mark.parametrize("name", FILES)
def test_bytes_cut_flipped_repeated_or_put_in(victim, name):
    rng, content = random.Random(name), content_of(victim, name)
    survive(victim, [(name, bruised(content, rng)) for _ in range(12 * TIMES)] + [(name, raw) for raw in RAW])


@each(name=FILES[1:])
def test_a_header_that_lies(victim, name):
    rng, content = random.Random(name), content_of(victim, name)
    cases = [(name, with_header(content, lying_header, rng)) for _ in range(15 * TIMES)]
    assert survive(victim, cases) < len(cases) / 2


@each(name=FILES[1:])
def test_tensors_that_lead_astray(victim, name):
    rng, cases, content = random.Random(name), [], content_of(victim, name)
    tensors, metadata = load(content), header_of(content).get("__metadata__")
    for _ in range(15 * TIMES):
        changed = {key: attacked(tensors[key], rng) for key in rng.sample(sorted(tensors), rng.choice((1, 1, 2)))}
        cases.append((name, tensors_to_bytes({**tensors, **changed}, metadata)))
    assert survive(victim, cases) < len(cases)


def test_widths_that_promise_terabytes(victim):
    header = json.loads((victim / "config.json").read_text())
    cases = []
    for width in (2**20, 2**31 - 1, 2**31, 2**32 + 6, 2**40, 2**62, 2**64, 10**30):
        for key, value in (("n_features", width), ("hidden_layer_sizes", [width]), ("n_components", width)):
            for more in ({}, {"decoder_layer_sizes": [5]}, {"decoder_layer_sizes": [width]}):
                changed = {**header["model"], key: value, **more}
                cases.append(("config.json", json.dumps({**header, "model": changed}).encode()))
    assert survive(victim, cases) == 0


def test_files_in_each_others_place(victim, folders):
    cases = [(name, content_of(victim, other)) for name in FILES for other in FILES if name != other]
    cases += [(name, content_of(folder, name)) for folder in folders.values() for name in FILES]
    assert survive(victim, cases) < len(cases)


def itself(path):
    path.symlink_to(path)


def huge(path):
    with open(path, "wb") as file:
        file.truncate(1 << 42)


STRANGE = {
    "nothing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to itself": itself,
    "a link to nowhere": lambda path: path.symlink_to(path.with_name("nowhere")),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "four terabytes of nothing": huge,
    "what may not be read": lambda path: path.touch(mode=0),
}


@pairs(kind=KINDS, name=FILES, what=STRANGE)
def test_strange_files(folders, tmp_path, kind, name, what):
    victim = shutil.copytree(folders[kind], tmp_path / "model")
    path = victim / name if name == "config.json" else stored(victim, name)
    path.unlink()
    STRANGE[what](path)
    tracemalloc.start()
    try:
        assert not attempt(victim)
    finally:
        tracemalloc.stop()


def test_a_folder_that_is_none(tmp_path):
    itself(tmp_path / "itself")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for path in (tmp_path / "itself", tmp_path / "pipe", tmp_path / "file", tmp_path / "none", "/dev/null", ""):
        with pytest.raises(ValueError, match=r"^\[load\] .* is not a model folder"):
            store.read(path)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_more_training_on_a_damaged_memory(victim):
    """What was read is then put back, tensor by tensor: there, too, it is a ValueError or it trains."""
    rng, refused, name = random.Random(0), 0, "learning.safetensors"
    content = content_of(victim, name)
    tensors, metadata = load(content), header_of(content)["__metadata__"]
    for n in range(30):
        if n % 2:
            put(
                victim,
                name,
                tensors_to_bytes(tensors, {"tree": json.dumps(mutated(json.loads(metadata["tree"]), rng))}),
            )
        else:
            key = rng.choice(sorted(tensors))
            put(
                victim,
                name,
                tensors_to_bytes({**tensors, key: np.resize(tensors[key], tensors[key].size + 1)}, metadata),
            )
        try:
            DeepSparseAutoencoder.load(victim).set_params(batch_size=8).partial_fit(X)
        except (ValueError, FloatingPointError) as error:
            refused += str(error).startswith("[")
        put(victim, name, content)
    assert refused > 10

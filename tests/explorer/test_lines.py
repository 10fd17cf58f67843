"""The expressions by which a page names its model and rows are what a reader of the page can run."""

from itertools import cycle

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

import dsae
from dsae import DeepSparseAutoencoder, Runtime, explore
from dsae.config import JointConfig
from dsae.data import JointSource, named_rows, open_rows
from dsae.explorer import read_shard
from dsae.interpret import contributions
from dsae.runtime import JointRuntime
from dsae.store import JointModel

ROWS = np.random.default_rng(1).random((12, 12)).astype(np.float32)
LABELS = np.arange(12) % 3


def frame(_):
    import pandas as pd

    return pd.DataFrame(ROWS)


def file(folder):
    folder.mkdir(exist_ok=True)
    np.save(folder / "x.npy", ROWS)
    return open_rows(folder / "x.npy")


def fitted(make_model):
    settings = {"n_components": 4, "hidden_layer_sizes": (), "density": 0.9, "max_iter": 1, "random_state": 0}
    return DeepSparseAutoencoder(**settings).fit(ROWS)


MODELS = {"model": lambda make: make(), "runtime": lambda make: Runtime(make()), "estimator": fitted}
KINDS = {
    "array": lambda _: ROWS,
    "csr": lambda _: sp.csr_matrix(ROWS),
    "csc": lambda _: sp.csc_matrix(ROWS),
    "list": lambda _: ROWS.tolist(),
    "frame": frame,
    "file": file,
    "named": lambda _: named_rows(ROWS, labels=[str(label) for label in LABELS]),
}


@each({"kind, model": list(zip(KINDS, cycle(MODELS), strict=False))})
def test_they_name_what_was_given(make_model, tmp_path, kind, model):
    made, X = MODELS[model](make_model), KINDS[kind](tmp_path / "given")
    labels = None if kind == "named" else LABELS
    lines = read_shard(explore(made, X, tmp_path / f"{kind}-{model}", labels=labels), "index")["python"]
    names = {"dsae": dsae, "model": made, "X": X, "labels": labels, "texts": None}
    said = {name: eval(line, names) for name, line in lines.items()}
    assert type(said["model"]) is Runtime
    assert ("array" in said) == (kind in ("array", "csr", "file", "named"))
    some = said["array"][[3]] if "array" in said else dsae.interpret.take(said["model"], said["rows"], [3])
    np.testing.assert_array_equal(some.toarray() if sp.issparse(some) else some, ROWS[[3]])
    codes = said["model"].encode(said.get("array", said["rows"]))
    np.testing.assert_array_equal(codes, said["model"].encode(ROWS))
    assert [str(label) for label in said["labels"]] == [str(label) for label in LABELS]


@each(wrapped=[False, True])
def test_of_several_modalities(make_model, tmp_path, wrapped):
    parts = {name: make_model(n, n_components=4, live=0.8) for name, n in (("a", 12), ("b", 5))}
    config = JointConfig({name: of.config for name, of in parts.items()})
    model = JointModel(config, parts, {name: np.ones(4, np.float32) for name in parts})
    X = {"a": ROWS, "b": ROWS[:, :5]}
    if wrapped:
        model, X = JointRuntime(model), JointSource(X, labels=np.array([f"k{i % 2}" for i in range(12)], object))
    lines = read_shard(explore(model, X, tmp_path / f"joint-{wrapped}"), "index")["python"]
    names = {"dsae": dsae, "model": model, "X": X}
    said = {
        name: eval(line, names)
        for name, line in lines.items()
        if wrapped or name not in ("labels", "texts")
        if name != "texts"
    }
    assert type(said["model"]) is JointRuntime
    found = contributions(said["model"], dsae.interpret.take(said["model"], said["rows"], [7]))
    wanted = said["model"].encode({"a": ROWS[[7]], "b": ROWS[[7], :5]})
    np.testing.assert_allclose(found.codes.toarray(), wanted, rtol=1e-5)
    assert not wrapped or said["labels"][3] == "k1"


def test_what_is_known_better_is_taken(make_model, tmp_path):
    given = {"model": "dsae.load('m')", "rows": "dsae.data.open_rows('x.npy')"}
    lines = read_shard(explore(make_model(), ROWS, tmp_path / "e", expressions=given), "index")["python"]
    assert lines == {**given, "labels": "labels", "texts": "texts"}
    lines = read_shard(explore(make_model(), ROWS, tmp_path / "e", expressions={"model": "m"}), "index")["python"]
    assert lines == {"model": "m", "rows": "X", "array": "X", "labels": "labels", "texts": "texts"}


@pytest.mark.parametrize("single", [False, True])
def test_what_a_page_shows_is_read_from_one_file_or_many(make_model, tmp_path, single):
    folder = explore(make_model(), ROWS, tmp_path / "e", single=single)
    assert read_shard(folder, "latents/0")["n"] == 5
    with pytest.raises(FileNotFoundError):
        read_shard(folder, "latents/9")

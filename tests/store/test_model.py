"""A model folder comes back as it was, is replaced whole or not at all, and is trusted in nothing."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save
from tests import folders
from tests.covering import covering, each
from tests.folders import stored

from dsae import store
from dsae.config import CODE_ACTIVATIONS, HIDDEN_ACTIVATIONS
from dsae.runtime import Runtime
from dsae.topology import Layer, Topology

SPARSE = {"n_features": 6, "n_components": 3, "live": 0.5}


def same(left, right):
    assert left.config == right.config
    assert list(left.layers) == list(right.layers)
    for name, layer in left.layers.items():
        other = right.layers[name]
        assert layer.topology.shape == other.topology.shape
        assert layer.topology.block_size == other.topology.block_size
        for array, twin in zip((*layer[1:], *_plan(layer)), (*other[1:], *_plan(other)), strict=True):
            assert array.dtype == twin.dtype
            np.testing.assert_array_equal(array, twin)
    np.testing.assert_array_equal(left.threshold, right.threshold)
    np.testing.assert_array_equal(left.importance, right.importance)
    assert (left.inputs is None) == (right.inputs is None)
    for array, twin in zip(left.inputs or (), right.inputs or (), strict=True):
        np.testing.assert_array_equal(array, twin)
    assert (left.training, left.feature_names) == (right.training, right.feature_names)
    assert (left.history, left.metrics) == (right.history, right.metrics)


def _plan(layer):
    return layer.topology.indptr, layer.topology.indices


@pytest.fixture
def folder(make_model, tmp_path):
    return store.write(tmp_path / "model", make_model(**SPARSE, code_activation="jumprelu"))


@pytest.fixture
def change(folder, tmp_path):
    """Rewrite one file of a copy of the folder by a function of what it holds."""
    numbers = itertools.count()

    def change_(name, edit):
        changed = shutil.copytree(folder, tmp_path / f"changed{next(numbers)}")
        if name.endswith(".safetensors"):
            tensors = load(stored(changed, name).read_bytes())
            folders.put(changed, name, save(edit(tensors) or tensors))
        else:
            content = json.loads((changed / name).read_text())
            (changed / name).write_text(json.dumps(edit(content) or content))
        return changed

    return change_


@covering(code=CODE_ACTIVATIONS, activation=HIDDEN_ACTIVATIONS, live=[0.0, 0.3, 1.0], block_size=[1, 4, 8], by="code")
def test_round_trip(make_model, tmp_path, code, activation, live, block_size):
    k = {"k": 2} if code in ("topk", "batchtopk") else {}
    extra = {
        "training": {"shrink": "set", "max_iter": 3, "init": None},
        "feature_names": [f"größe {i}" for i in range(12)],
        "history": [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 0.25}],
        "metrics": {"fvu": 0.125},
        "importance": np.linspace(0, 1, 12, dtype=np.float32) if live else None,
        "inputs": store.Inputs(*np.arange(36, dtype=np.float32).reshape(3, 12)) if live else None,
    }
    config = {"activation": activation, "block_size": block_size, "missing": "mask" if live else "error", **k}
    model = make_model(live=live, code_activation=code, model=extra, **config)
    same(store.read(store.write(tmp_path / "a" / "b" / "model", model)), model)
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["model"]


def test_a_full_layer_stores_no_indices(make_model, tmp_path):
    folder = store.write(tmp_path / "model", make_model(live=1.0))
    assert set(load_file(stored(folder, "model.safetensors"))) == {
        "encoder.0.values",
        "encoder.0.bias",
        "decoder.0.values",
        "decoder.0.bias",
    }


def test_indices_are_as_short_as_the_layer_is_narrow(make_model, tmp_path):
    wide = make_model(n_features=2**16 + 1, n_components=2, live=1e-4)
    tensors = load_file(stored(store.write(tmp_path / "wide", wide), "model.safetensors"))
    assert tensors["encoder.0.indices"].dtype == np.int32
    assert tensors["decoder.0.indices"].dtype == np.uint16
    same(store.read(tmp_path / "wide"), wide)
    edge = make_model(n_features=2**16, n_components=1, live=0)
    last = Topology.from_edges((1, 2**16), np.array([0]), np.array([2**16 - 1]))
    edge.layers["encoder.0"] = Layer(last, np.ones(1, np.float32), np.zeros(1, np.float32))
    tensors = load_file(stored(store.write(tmp_path / "edge", edge), "model.safetensors"))
    assert tensors["encoder.0.indices"].dtype == np.uint16
    same(store.read(tmp_path / "edge"), edge)


def test_a_newer_model_replaces_an_older(make_model, tmp_path):
    store.write(tmp_path / "model", make_model(seed=0))
    newer = make_model(seed=1, n_components=2)
    same(store.read(store.write(tmp_path / "model", newer)), newer)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_no_model_is_not_overwritten(make_model, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("more")
    for name in ("folder", "file"):
        with pytest.raises(ValueError, match=rf"{name} exists and is not a model folder"):
            store.write(tmp_path / name, make_model())
    assert (tmp_path / "folder" / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_filled(make_model, tmp_path):
    same(store.read(store.write(tmp_path, make_model())), make_model())


def test_a_target_that_cannot_be_written_is_named(make_model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"\[save\] .*model cannot be written: .* Choose a writable folder\."):
        store.write(tmp_path / "file" / "model", make_model())


@each(name=["config.json", "model.safetensors"], agreeing=[False, True])
def test_a_truncated_file_is_refused_by_name(make_model, tmp_path, name, agreeing):
    folder = store.write(tmp_path / "model", make_model(**SPARSE, model={"metrics": {"fvu": 0.5}}))
    path = folder / name if name == "config.json" else stored(folder, name)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 13):
        if agreeing and name != "config.json":
            folders.put(folder, name, content[:length])
        else:
            path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf"^\[load\] .*{name.split('.')[0]}"):
            store.read(folder)


def test_a_missing_file_is_named_and_the_card_may_be_absent(folder):
    (folder / "README.md").unlink()
    assert store.read(folder).history == []
    stored(folder, "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"\.safetensors is missing; the folder was not copied whole"):
        store.read(folder)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r"is not a model folder: it has no config\.json"):
        store.read(folder)


def setting(key, value):
    def edit(header):
        header["model"][key] = value

    return edit


@each(
    {
        "edit, message": [
            (lambda h: h | {"format_version": 3}, r"format version 3, newer than the 2 .* upgrade dsae"),
            (lambda h: h | {"format_version": "1"}, "must give format_version as a whole number; got '1'"),
            (lambda h: h | {"format_version": True}, "must give format_version as a whole number"),
            (lambda h: h | {"format_version": 0}, "must give format_version as a whole number"),
            (lambda h: h | {"format": "other"}, "does not describe a dsae model"),
            (lambda h: [h], "must hold a mapping; got list"),
            (lambda h: h | {"model": None}, "lacks the model's configuration"),
            (lambda h: h | {"feature_names": ["a"]}, "must name 6 features"),
            (lambda h: h | {"feature_names": [1] * 6}, "must name 6 features"),
            (lambda h: h | {"training": 3}, "training must be a mapping"),
            (lambda h: h | {"colour": "red"}, r"has no setting 'colour'"),
            (setting("n_component", 3), r"config\.json.*no setting 'n_component'. Did you mean 'n_components'"),
            (setting("n_components", 4), r"encoder\.0\.bias must be float32 of shape \(4,\)"),
            (setting("n_components", "3"), r"config\.json.*n_components must be a whole number"),
            (setting("hidden_layer_sizes", None), r"config\.json.*hidden_layer_sizes"),
            (setting("hidden_layer_sizes", [2]), r"encoder\.0\.bias"),
            (setting("n_features", 10**12), r"encoder\.0 is corrupt.*at most 2\*\*31 - 1 inputs"),
            (setting("code_activation", "relu"), r"code\.threshold must be there for batchtopk and jumprelu"),
            (setting("code_activation", ["relu"]), "code_activation must be one of"),
            (setting("density", {"encoder.9": 1}), "density has no setting"),
        ]
    }
)
def test_a_config_that_contradicts_is_refused(change, edit, message):
    folder = change("config.json", edit)
    with pytest.raises(ValueError, match=message) as caught:
        store.read(folder)
    assert str(caught.value).startswith("[load] ")


@each({"key, value": [("metrics", []), ("history", [[]]), ("history", {}), ("history", None)]})
def test_metrics_and_history_must_be_mappings(change, key, value):
    with pytest.raises(ValueError, match=rf"config\.json: .*{key} must be a"):
        store.read(change("config.json", lambda header: {**header, key: value}))


def tensor(key, value):
    def edit(tensors):
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value(tensors[key]) if callable(value) else value

    return edit


def put(position, value):
    def edit(array):
        array = array.copy()
        array[position] = value
        return array

    return edit


def swap_first_two_of_a_row(tensors):
    indptr, indices = tensors["encoder.0.indptr"], tensors["encoder.0.indices"].copy()
    start = next(start for start, end in itertools.pairwise(indptr) if end - start >= 2)
    indices[[start, start + 1]] = indices[[start + 1, start]]
    tensors["encoder.0.indices"] = indices


def repeat_an_index(tensors):
    indptr, indices = tensors["encoder.0.indptr"], tensors["encoder.0.indices"].copy()
    start = next(start for start, end in itertools.pairwise(indptr) if end - start >= 2)
    indices[start + 1] = indices[start]
    tensors["encoder.0.indices"] = indices


# Every difference of neighbours in this one is positive, because int32 wraps around.
_WRAPPING = np.array([0, 2**31 - 1, -2, 1], np.int32)


@each(
    {
        "edit, message": [
            (tensor("encoder.0.bias", None), r"lacks the tensor encoder\.0\.bias"),
            (tensor("encoder.0.values", None), r"lacks the tensor encoder\.0\.values"),
            (tensor("encoder.0.indices", None), r"lacks the tensor encoder\.0\.indices"),
            (tensor("encoder.0.indptr", None), r"encoder\.0\.values must be float32 of shape \(18,\)"),
            (tensor("code.threshold", None), r"code\.threshold must be there"),
            (tensor("code.threshold", np.zeros(4, np.float32)), r"code\.threshold must be float32 of shape \(3,\)"),
            (tensor("code.threshold", np.full(3, np.nan, np.float32)), "must hold no NaN"),
            (tensor("input.importance", np.zeros(5, np.float32)), r"input\.importance must be float32 of shape \(6,\)"),
            (tensor("input.importance", np.full(6, np.inf, np.float32)), r"input\.importance must hold finite numbers"),
            (tensor("input.importance", np.full(6, -1, np.float32)), r"input\.importance must hold finite numbers"),
            (tensor("encoder.7.bias", np.zeros(3, np.float32)), r"format does not know: encoder\.7\.bias"),
            (tensor("input.mean", np.zeros(6, np.float32)), r"format does not know: input\.mean"),
            (tensor("encoder.0.bias", np.zeros(3)), r"must be float32 of shape \(3,\); got float64 \(3,\)"),
            (tensor("encoder.0.bias", np.zeros((3, 1), np.float32)), r"got float32 \(3, 1\)"),
            (tensor("encoder.0.bias", np.zeros(2, np.float32)), r"must be float32 of shape \(3,\); got float32 \(2,\)"),
            (tensor("encoder.0.values", lambda v: v[:-1]), r"encoder\.0\.values must be float32 of shape"),
            (tensor("encoder.0.values", put(0, np.nan)), r"the weights of encoder\.0 must be finite"),
            (tensor("encoder.0.bias", put(0, np.inf)), r"the weights of encoder\.0 must be finite"),
            (tensor("encoder.0.indptr", lambda v: v[:-1]), r"encoder\.0\.indptr must be int32 of shape \(4,\)"),
            (tensor("encoder.0.indptr", lambda v: v.astype(np.int64)), r"encoder\.0\.indptr must be int32"),
            (tensor("encoder.0.indptr", put(0, 1)), r"encoder\.0\.indptr must rise from 0"),
            (tensor("encoder.0.indptr", put(1, -1)), r"encoder\.0\.indptr must rise from 0"),
            (tensor("encoder.0.indptr", put(1, 99)), r"encoder\.0\.indptr must rise from 0"),
            (tensor("encoder.0.indptr", put(-1, 2**31 - 1)), r"encoder\.0\.indices must be uint16 or int32 of shape"),
            (tensor("encoder.0.indptr", _WRAPPING), r"encoder\.0\.indptr must rise from 0"),
            (tensor("encoder.0.indices", put(0, 6)), r"encoder\.0 is corrupt.*inside shape \(\d+, 6\)"),
            (tensor("encoder.0.indices", lambda v: put(0, -1)(v.astype(np.int32))), r"inside shape \(\d+, 6\)"),
            (tensor("encoder.0.indices", lambda v: v.astype(np.float32)), "must be uint16 or int32"),
            (swap_first_two_of_a_row, r"encoder\.0 is corrupt.*rise strictly within each row"),
            (repeat_an_index, r"encoder\.0 is corrupt.*rise strictly within each row"),
        ]
    }
)
def test_tensors_that_contradict_are_refused(change, edit, message):
    folder = change("model.safetensors", edit)
    with pytest.raises(ValueError, match=message) as caught:
        store.read(folder)
    assert str(caught.value).startswith("[load] ")
    assert ".safetensors" in str(caught.value)


def test_every_single_changed_byte_is_refused_or_still_a_model(folder):
    """No damage to the tensors leads to anything but a model of the same shapes or a ValueError."""
    content = stored(folder, "model.safetensors").read_bytes()
    refused = 0
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        folders.put(folder, "model.safetensors", bytes(damaged))
        try:
            model = store.read(folder)
        except ValueError:
            refused += 1
        else:
            for layer in model.layers.values():
                layer.to_dense()
    assert refused > 100


def test_a_folder_of_format_version_1_is_read_and_written_over(tmp_path):
    """Written by dsae before version 2, with `partial_fit`; the figures are those it gave itself."""
    folder = shutil.copytree(Path(__file__).parent / "version_1", tmp_path / "model")
    model = store.read(folder, learning=True)
    assert model.learning is None
    assert (model.config.k, model.feature_names, len(model.history)) == (2, list("abcdef"), 2)
    assert model.metrics == {"fvu": 0.5}
    expected = json.loads((folder / "expected.json").read_text())
    np.testing.assert_allclose(Runtime(model).encode(np.eye(6)), expected, rtol=1e-5, atol=1e-6)
    same(store.read(store.write(folder, model)), model)
    theirs = {"config.json", "README.md", "expected.json"}
    assert {path.name for path in folder.iterdir()} == {*theirs, stored(folder, "model.safetensors").name}


@each(name=["model.safetensors", "metrics.json", "history.jsonl"])
def test_a_truncated_folder_of_version_1_is_refused_by_name(tmp_path, name):
    folder = shutil.copytree(Path(__file__).parent / "version_1", tmp_path / "model")
    (folder / name).write_bytes((folder / name).read_bytes()[:-3])
    with pytest.raises(ValueError, match=rf"^\[load\] .*{name}.* is truncated or corrupt"):
        store.read(folder)


@each(
    {
        "name, values, message": [
            ("mean", None, r"lacks the tensor input\.mean"),
            ("low", np.zeros(5, np.float32), r"input\.low must be float32 of shape \(6,\)"),
            ("high", np.full(6, -1, np.float32), "must be finite, and low not above high"),
            ("mean", np.full(6, np.nan, np.float32), "must be finite, and low not above high"),
        ]
    }
)
def test_what_stands_for_nan_must_be_sound(make_model, tmp_path, name, values, message):
    inputs = store.Inputs(*np.zeros((3, 6), np.float32))
    folder = store.write(tmp_path / name, make_model(**SPARSE, missing="mask", model={"inputs": inputs}))
    tensors = load(stored(folder, "model.safetensors").read_bytes())
    tensors.pop(f"input.{name}")
    folders.put(folder, "model.safetensors", save(tensors | ({} if values is None else {f"input.{name}": values})))
    with pytest.raises(ValueError, match=message):
        store.read(folder)

"""The folder of a joint model: whole, or one modality at a time."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.contract.attacks import RAW, bruised, lying_header, with_header
from tests.covering import each
from tests.folders import change_state, put, stored

import dsae
from dsae import store
from dsae.config import JointConfig
from dsae.sampling import fit_sampler

WIDTHS = {"image": 12, "text": 7}


@pytest.fixture
def joint(make_model):
    models = {
        name: make_model(width, 5, seed=i, hidden_layer_sizes=(6,), code_activation="relu")
        for i, (name, width) in enumerate(WIDTHS.items())
    }
    config = JointConfig({name: model.config for name, model in models.items()}, weights={"text": 2})
    weight = {name: np.full(5, 1 + i, np.float32) for i, name in enumerate(WIDTHS)}
    return store.JointModel(config, models, weight, history=[{"loss": 1.0}], metrics={"fit_seconds": 2.0})


def test_what_was_written_is_read(joint, tmp_path):
    store.write_joint(tmp_path / "model", joint)
    again = store.read_joint(tmp_path / "model")
    assert again.config == joint.config
    assert (again.history, again.metrics) == (joint.history, joint.metrics)
    for name in WIDTHS:
        np.testing.assert_array_equal(again.weight[name], joint.weight[name])
        for layer, (topology, values, _) in again.models[name].layers.items():
            np.testing.assert_array_equal(values, joint.models[name].layers[layer].values)
            np.testing.assert_array_equal(topology.indices, joint.models[name].layers[layer].topology.indices)


def test_a_modality_is_an_ordinary_model_where_it_lies_and_where_it_is_copied_to(joint, tmp_path, rng):
    folder = store.write_joint(tmp_path / "model", joint)
    shutil.copytree(folder / "image", tmp_path / "alone")
    X = rng.random((3, 12)).astype(np.float32)
    wanted = dsae.load(folder).encode({"image": X})
    for place in (folder / "image", tmp_path / "alone"):
        np.testing.assert_array_equal(dsae.load(place).encode(X), wanted)


def test_a_modality_is_read_as_the_whole_was_committed(joint, tmp_path):
    """A writer that was killed between the commit and the heads of the subfolders leaves old heads there."""
    folder = store.write_joint(tmp_path / "model", joint)
    old = (folder / "image" / "config.json").read_text()
    store.write_joint(folder, joint)
    (folder / "image" / "config.json").write_text(old)
    assert dsae.load(folder / "image").model.nnz == joint.models["image"].nnz
    (folder / "image" / "config.json").unlink()
    assert dsae.load(folder / "image").model.nnz == joint.models["image"].nnz


def test_a_writer_that_fails_leaves_the_old_model(joint, tmp_path, monkeypatch):
    folder = store.write_joint(tmp_path / "model", joint)
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space"):
            store.write_joint(folder, joint)
    after = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_saving_again_leaves_no_file_behind(joint, tmp_path):
    folder = store.write_joint(tmp_path / "model", joint)
    n_files = len(list(folder.rglob("*")))
    store.write_joint(folder, joint)
    assert len(list(folder.rglob("*"))) == n_files


def test_saving_another_model_leaves_no_file_of_the_first(joint, make_model, tmp_path):
    encoder = '{"format": "dsae rows", "format_version": 1, "kind": "text"}'
    folder = store.write_joint(tmp_path / "model", replace(joint, encoders={"text": encoder}))
    (folder / "notes").mkdir()
    (folder / "notes" / "config.json").write_text("{}")
    models = {"image": joint.models["image"], "zz": make_model(3, 5, hidden_layer_sizes=(6,), code_activation="relu")}
    other = store.JointModel(
        JointConfig({name: model.config for name, model in models.items()}),
        models,
        dict.fromkeys(models, np.ones(5, np.float32)),
    )
    store.write_joint(folder, other)
    fresh = store.write_joint(tmp_path / "fresh", other)

    def names(of):
        return {str(path.relative_to(of)) for path in of.rglob("*") if "-" not in path.name}

    assert names(folder) == names(fresh) | {"notes", "notes/config.json"}
    assert set(store.read_joint(folder).models) == {"image", "zz"}


def test_no_modality_is_called_like_a_file_of_the_folder(joint, tmp_path):
    encoder = '{"format": "dsae rows", "format_version": 1, "kind": "text"}'
    model = replace(joint, encoders={"text": encoder}, learning={"factors": {}})
    folder = store.write_joint(tmp_path / "model", model)
    files = {path.name for path in folder.iterdir() if path.is_file()}
    named = {f"{Path(name).stem.partition('-')[0]}{Path(name).suffix}" for name in files}
    assert named == {"joint.json", "joint.safetensors", "learning.safetensors", "encoders.json", "README.md"}
    named.add("sampler.safetensors")
    for name in (*named, *(name.upper() for name in named)):
        with pytest.raises(ValueError, match="like a file of a model"):
            JointConfig({name: joint.models["image"].config})


@each(name=["sound.", "sound ", "CON", "nul.x", "\u6f22" * 40])
def test_a_modality_has_a_name_that_every_folder_may_have(joint, name):
    with pytest.raises(ValueError, match=r"Rename it\."):
        JointConfig({name: joint.models["image"].config})


def test_modalities_differ_by_more_than_case(joint):
    with pytest.raises(ValueError, match="'Image' and 'image'"):
        JointConfig(dict.fromkeys(("Image", "image"), joint.models["image"].config))


def test_nothing_else_is_written_over(joint, make_model, tmp_path):
    folder = store.write_joint(tmp_path / "model", joint)
    for target in (folder, folder / "image"):
        with pytest.raises(ValueError, match=r"not a model folder|part of the joint model"):
            store.write(target, make_model())
    store.write(tmp_path / "other", make_model())
    with pytest.raises(ValueError, match="not the folder of a joint model"):
        store.write_joint(tmp_path / "other", joint)
    with pytest.raises(ValueError, match="it holds a joint model"):
        store.read(folder)


def changed(folder, **changes):
    head = folder / "joint.json"
    content = json.loads(head.read_text())
    for path, value in changes.items():
        *way, last = path.split("__")
        at = content
        for key in way:
            at = at[key]
        at[last] = value
    head.write_text(json.dumps(content))


DAMAGE = {
    "format": {"format": "dsae"},
    "version": {"format_version": 2},
    "no config": {"joint": None},
    "unknown setting": {"joint__evil": 1},
    "weights": {"joint__weights": {"image": -1, "text": 1}},
    "dropout": {"joint__modality_dropout": 2},
    "noise": {"joint__noise": {"image": -1}},
    "mask": {"joint__mask": {"picture": 0.5}},
    "name": {"joint__modalities": {"../x": {"n_features": 12, "n_components": 5}}},
    "other code": {"joint__modalities__text__n_components": 4},
    "header": {"modalities__image__model__n_features": 13},
    "no header": {"modalities__image": None},
    "encoders": {"encoders": {"image": 3}},
    "an encoder of nothing": {"encoders": {"sound": "{}"}},
    "totals": {"totals": {"image": float("nan")}},
    "history": {"history": [1]},
}


@each(changes=DAMAGE.values())
def test_a_damaged_head_is_told_in_a_line(joint, tmp_path, changes):
    folder = store.write_joint(tmp_path / "model", joint)
    changed(folder, **changes)
    with pytest.raises(ValueError, match=r"^\[load\]") as found:
        store.read_joint(folder)
    assert "\n" not in str(found.value)


@each(weight=[np.zeros(5), np.full(5, np.nan), np.ones(4), None])
def test_weights_are_positive_numbers(joint, tmp_path, weight):
    bad = {"image": joint.weight["image"]} if weight is None else {**joint.weight, "text": weight.astype(np.float32)}
    folder = store.write_joint(tmp_path / "model", replace(joint, weight=bad))
    with pytest.raises(ValueError, match=r"must hold"):
        store.read_joint(folder)


def test_a_file_that_was_cut_is_told(joint, tmp_path):
    folder = store.write_joint(tmp_path / "model", joint)
    (path,) = (folder / "text").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="truncated or corrupt"):
        store.read_joint(folder)
    (path,) = folder.glob("joint-*.safetensors")
    save_file({name: -value for name, value in load_file(path).items()}, path)
    with pytest.raises(ValueError, match=r"\[load\]"):
        store.read_joint(folder)


@pytest.fixture
def sampled(joint, rng):
    """The same model with a sampler of its codes."""
    return replace(joint, sampler=fit_sampler(np.abs(rng.normal(size=(30, 5))), "neighbours", random_state=0))


def test_a_sampler_is_committed_with_the_model_and_leaves_with_it(joint, sampled, tmp_path):
    folder = store.write_joint(tmp_path / "model", sampled)
    again = store.read_joint(folder).sampler
    np.testing.assert_array_equal(again.sample(9, random_state=0), sampled.sampler.sample(9, random_state=0))
    assert store.read(folder / "image").sampler is None, "it is of joint codes"
    store.write_joint(folder, joint)
    assert store.read_joint(folder).sampler is None
    assert not list(folder.glob("sampler-*"))


DAMAGED_SAMPLERS = {
    "another width": lambda state: state | {"codes": state["codes"][:, :4]},
    "a row that there is not": lambda state: state | {"nearest": state["nearest"] + np.int32(30)},
    "another kind": lambda state: state | {"kind": "mixture"},
    "a bound that is a text": lambda state: state | {"low": "0"},
    "something else": lambda state: state | {"more": 1},
    "no novelty": lambda state: {name: value for name, value in state.items() if name != "novelty"},
}


@each(edit=DAMAGED_SAMPLERS.values())
def test_a_damaged_sampler_is_refused_by_name(sampled, tmp_path, edit):
    folder = store.write_joint(tmp_path / "model", sampled)
    change_state(folder, "sampler.safetensors", edit, "joint.json")
    with pytest.raises(ValueError, match=r"^\[load\] .*sampler-[^ ]*safetensors"):
        store.read_joint(folder)


def test_a_hostile_sampler_is_refused_or_draws(sampled, tmp_path):
    folder, name = store.write_joint(tmp_path / "model", sampled), "sampler.safetensors"
    content, r, refused = stored(folder, name, "joint.json").read_bytes(), random.Random(0), 0
    cases = [bruised(content, r) for _ in range(40)] + [with_header(content, lying_header, r) for _ in range(60)] + RAW
    for case in cases:
        put(folder, name, case, "joint.json")
        try:
            model = store.read_joint(folder)
        except ValueError as error:
            assert "sampler-" in str(error)  # noqa: PT017
            refused += 1
        else:
            assert model.sampler.sample(3, random_state=0).shape == (3, 5)
    assert refused > len(cases) / 2

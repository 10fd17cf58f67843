"""Folders that are damaged, made to harm, or not what was meant: an error that says so, and no code of theirs runs."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.contract.attacks import RAW, attacked, bruised, lying_header, mutated, with_header
from tests.covering import each
from tests.interop.foreign import ROWS, dictionary_folder, saelens_folder, sentence_folder, sparsify_folder
from tests.interop.test_read import FOLDERS

from dsae import interop
from dsae.interop._files import tensors_to_bytes

SETTINGS = {
    "saelens": "cfg.json",
    "sparsify": "cfg.json",
    "dictionary_learning": "config.json",
    "sentence_transformers": "config.json",
}
WEIGHTS = {
    "saelens": "sae_weights.safetensors",
    "sparsify": "sae.safetensors",
    "sentence_transformers": "model.safetensors",
}


def attempt(folder):
    """Whether it was a model all the same, which then runs; anything but the two errors fails."""
    try:
        runtime = interop.load(folder)
    except (ValueError, OSError) as error:
        assert str(error)  # noqa: PT017
        return False
    if runtime.config.n_features == ROWS.shape[1]:
        with np.errstate(all="ignore"):
            runtime.reconstruct(ROWS)
    return True


def survive(folder, file, cases):
    whole, accepted = (folder / file).read_bytes(), 0
    for case in cases:
        (folder / file).write_bytes(case)
        accepted += attempt(folder)
    (folder / file).write_bytes(whole)
    assert attempt(folder), "the folder is whole again"
    return accepted


@each(format=FOLDERS)
def test_settings_with_a_changed_node(tmp_path, format):
    folder, rng = FOLDERS[format](tmp_path / "sae"), random.Random(format)
    tree = json.loads((folder / SETTINGS[format]).read_text())
    cases = [json.dumps(mutated(tree, rng)).encode() for _ in range(100)] + RAW
    assert survive(folder, SETTINGS[format], cases) < len(cases)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:overflow encountered")
@each(format=WEIGHTS)
def test_weights_cut_flipped_or_made_up(tmp_path, format):
    folder, rng = FOLDERS[format](tmp_path / "sae"), random.Random(format)
    path = folder / WEIGHTS[format]
    content, tensors = path.read_bytes(), load_file(path)
    cases = [bruised(content, rng) for _ in range(40)] + [with_header(content, lying_header, rng) for _ in range(40)]
    for _ in range(40):
        name = rng.choice(sorted(tensors))
        cases.append(tensors_to_bytes({**tensors, name: attacked(tensors[name], rng)}))
    assert survive(folder, path.name, cases + RAW) < len(cases)


def test_a_pickle_that_is_cut_or_flipped(tmp_path):
    folder, rng = FOLDERS["dictionary_learning"](tmp_path / "sae"), random.Random(0)
    content = (folder / "ae.pt").read_bytes()
    cases = [bruised(content, rng) for _ in range(40)] + RAW
    assert survive(folder, "ae.pt", cases) < len(cases)


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@each(protocol=(2, 4))
def test_a_pickle_runs_no_code(tmp_path, protocol):
    import torch

    folder, victim = FOLDERS["dictionary_learning"](tmp_path / "sae"), str(tmp_path / "harmed")
    harmful = {"encoder.weight": Harm(victim)}
    torch.save(harmful, folder / "ae.pt", pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"^\[import\] .*ae.pt is no state dict that may be read safely"):
        interop.load(folder)
    (folder / "ae.pt").write_bytes(pickle.dumps(harmful, protocol))
    with pytest.raises(ValueError, match="may be read safely"):
        interop.load(folder)
    assert not os.path.exists(victim)


@each(
    make=(
        lambda torch: torch.zeros(1).expand(1 << 40),  # four bytes that claim to be terabytes
        lambda torch: torch.zeros(3, device="meta"),
        lambda torch: torch.eye(3).to_sparse(),
        lambda torch: 3.0,
    )
)
def test_strange_tensors_in_a_pickle_are_refused(tmp_path, make):
    import torch

    folder = dictionary_folder(tmp_path / "sae", "AutoEncoder", {})
    torch.save({"bias": make(torch)}, folder / "ae.pt")
    with pytest.raises(ValueError, match=r"^\[import\] .*(bias must be a plain tensor|may be read safely)"):
        interop.load(folder)


def test_what_lies_deep_is_refused(tmp_path):
    folder = saelens_folder(tmp_path / "sae", "standard")
    deep = "[" * 450 + "]" * 450
    text = (folder / "cfg.json").read_text().replace('"gpt2"', deep)
    (folder / "cfg.json").write_text(text)
    attempt(folder)


@each(format=FOLDERS)
def test_a_missing_file_is_named(tmp_path, format):
    folder = FOLDERS[format](tmp_path / "sae")
    (folder / SETTINGS[format]).unlink()
    with pytest.raises(ValueError, match=rf"^\[import\] .*{SETTINGS[format]} is missing"):
        interop.load(folder)


def test_the_weights_of_a_named_format_may_be_missing(tmp_path):
    folder = saelens_folder(tmp_path / "sae", "standard")
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"sae_weights.safetensors is missing; the folder was not copied whole."):
        interop.load(folder, "saelens")


OTHERS = {
    "nothing": "it lacks the file by which one is known: sae_weights.safetensors, sae.safetensors, ae.pt, ",
    "subfolders": "it has models in its subfolders layers.0, layers.1. Name one of them.",
    "a model of dsae": "is a model folder of dsae; read it with dsae.load.",
    "an old model of dsae": "is a model folder of dsae; read it with dsae.load.",
    "two": "has files of saelens and sparsify; say which it is.",
    "a file": "must be the folder of a model; got a file.",
}


@each({"what, message": list(OTHERS.items())})
def test_what_is_no_folder_of_a_known_format(make_model, tmp_path, what, message):
    from dsae import store

    folder = tmp_path / "there"
    if what == "a file":
        folder.touch()
    elif what == "subfolders":
        for i in range(2):
            sparsify_folder(folder / f"layers.{i}")
    elif what == "a model of dsae":
        store.write(folder, make_model(4, 2, code_activation="relu"))
    elif what == "an old model of dsae":
        shutil.copytree(Path(__file__).parents[1] / "store" / "version_1", folder)
    elif what == "two":
        shutil.copytree(sparsify_folder(tmp_path / "b"), saelens_folder(folder, "standard"), dirs_exist_ok=True)
    else:
        folder.mkdir()
    with pytest.raises(ValueError, match=r"^\[import\] ") as caught:
        interop.load(folder)
    assert message in str(caught.value)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^\[import\] .*nowhere does not exist; check the path."):
        interop.load(tmp_path / "nowhere")


@each(
    {
        "modules, message": [
            ([{"path": "../sae", "type": "a.SparseAutoEncoder"}], "names the folder '../sae', which is not there."),
            ([{"path": "gone", "type": "a.SparseAutoEncoder"}], "names the folder 'gone', which is not there."),
            ([{"path": 3, "type": "a.SparseAutoEncoder"}], "names the folder 3, which is not there."),
            ([{"path": "", "type": "a.Transformer"}, 3], "must name one SparseAutoEncoder; got 0."),
            ({"a": 1}, "must name one SparseAutoEncoder; got 0."),
        ]
    }
)
def test_modules_that_lead_astray(tmp_path, modules, message):
    sentence_folder(tmp_path / "sae")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"^\[import\] ") as caught:
        interop.load(tmp_path / "in")
    assert message in str(caught.value)


def test_a_pickle_of_sentence_transformers_is_refused(tmp_path):
    folder = sentence_folder(tmp_path / "sae")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"Save the model with safe_serialization=True."):
        interop.load(folder, "sentence_transformers")


def test_a_pair_of_matrices_that_are_not_tied(tmp_path):
    folder = sentence_folder(tmp_path / "sae")
    tensors = load_file(folder / "model.safetensors")
    more = tensors["decoder.linear.weight"] + 1
    tensors.pop("stats_last_nonzero")
    (folder / "model.safetensors").write_bytes(tensors_to_bytes({**tensors, "encoder.weight": more}))
    with pytest.raises(ValueError, match="must be one matrix; they differ"):
        interop.load(folder)

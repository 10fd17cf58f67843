"""Models of the Hugging Face Hub, whose client speaks to a server on this machine."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.covering import each
from tests.interop.foreign import agree, saelens, saelens_folder
from tests.store.hub import Hub

import dsae
from dsae import DeepSparseAutoencoder, DSAOutlierDetector, interop, store
from dsae.cli import run
from dsae.config import JointConfig
from dsae.runtime import JointRuntime, Runtime

huggingface_hub = pytest.importorskip("huggingface_hub")
ROWS = np.random.default_rng(0).random((9, 12)).astype(np.float32)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    hub = Hub()
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix("https://huggingface.co")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    yield hub
    hub.close()


@pytest.fixture
def runtime(make_model):
    return Runtime(make_model(code_activation="topk", k=2, model={"metrics": {"fvu": 0.25}}))


def same(one, other):
    np.testing.assert_array_equal(one.encode(ROWS), other.encode(ROWS))


@each(subfolder=["", "layers/5"])
def test_what_was_pushed_is_loaded(hub, runtime, subfolder):
    address = runtime.push("user/digits", subfolder=subfolder, token="secret", private=True)
    assert address == "hf://user/digits" + f"/{subfolder}" * bool(subfolder)
    same(dsae.load(address), runtime)
    assert hub.private == {"user/digits"}
    assert "Bearer secret" in hub.tokens
    inside = subfolder + "/" * bool(subfolder)
    assert {f"{inside}config.json", f"{inside}README.md"} <= set(hub.files("user/digits"))


def test_the_card_is_what_the_hub_reads(hub, runtime):
    runtime.push("user/digits", license="bsd-3-clause")
    card = huggingface_hub.ModelCard(hub.files("user/digits")["README.md"].decode())
    assert (card.data.library_name, card.data.license) == ("dsae", "bsd-3-clause")
    assert "sparse-autoencoder" in card.data.tags
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.task_type) == ("fvu", 0.25, "feature-extraction")
    assert 'dsae.load("hf://user/digits")' in card.text


def test_a_newer_model_takes_the_place_of_an_older_one(hub, runtime, make_model):
    runtime.push("user/digits")
    hub.put("user/digits", hub.files("user/digits") | {"notes.txt": b"mine", "README.md": b"mine"})
    other = Runtime(make_model(seed=1, model={"learning": {"a": np.ones(3)}}))
    assert other.push("user/digits", card=False, message="Train for longer") == "hf://user/digits"
    files = hub.files("user/digits")
    assert sum(name.startswith("model-") for name in files) == 1
    assert not any(name.startswith("learning-") for name in files)
    assert files["notes.txt"] == files["README.md"] == b"mine"
    assert hub.messages[-1] == "Train for longer"
    same(dsae.load("hf://user/digits"), other)


def test_a_model_of_another_library_is_read_from_the_hub(hub, tmp_path):
    folder = saelens_folder(tmp_path / "sae", "topk")
    files = {f"layer5/{path.name}": path.read_bytes() for path in folder.iterdir()}
    hub.put("user/saes", files | {"layer6/sae_weights.safetensors": b"not asked for", "layer5/notes.txt": b"nor this"})
    runtime = interop.load("hf://user/saes/layer5")
    agree(runtime, *saelens(folder))
    with pytest.raises(OSError, match=r"^\[import\] .*layer7 does not exist"):
        interop.load("hf://user/saes/layer7")


def test_a_revision_stays_what_it_was(hub, runtime, make_model):
    runtime.push("user/digits")
    before = hub.sha("user/digits", "main")
    hub.branches["user/digits"]["v1"] = hub.branches["user/digits"]["main"]
    other = Runtime(make_model(seed=1))
    other.push("user/digits")
    for revision in ("v1", before):
        same(dsae.load("hf://user/digits", revision=revision), runtime)
        same(dsae.load(f"hf://user/digits@{revision}"), runtime)
    same(dsae.load("hf://user/digits"), other)


def test_only_the_files_of_the_model_are_fetched_and_once(hub, runtime, tmp_path):
    files = store.write(tmp_path / "model", replace(runtime.model, learning={"a": np.ones(3)}))
    found = {path.name: path.read_bytes() for path in files.iterdir()}
    hub.put("user/digits", found | {"large.safetensors": b"x" * 100, "sub/config.json": b"{}"})
    same(dsae.load("hf://user/digits", cache_dir=tmp_path / "mine"), runtime)
    fetched = {path.name for path in (tmp_path / "mine").rglob("*") if "snapshots" in path.parts and path.is_file()}
    assert fetched == {name for name in found if name == "config.json" or name.startswith("model-")}
    hub.requests.clear()
    same(dsae.load("hf://user/digits", cache_dir=tmp_path / "mine"), runtime)
    assert not [path for _, path in hub.requests if "/resolve/" in path]
    hub.requests.clear()
    same(dsae.load("hf://user/digits", cache_dir=tmp_path / "mine", local_files_only=True), runtime)
    assert not hub.requests


def test_the_first_version_of_the_folder_is_read(hub, tmp_path):
    from pathlib import Path

    old = Path(__file__).parent / "version_1"
    (folder,) = {path.parent for path in old.rglob("config.json")}
    hub.put("user/old", {path.name: path.read_bytes() for path in folder.iterdir()})
    found, expected = dsae.load("hf://user/old"), dsae.load(folder)
    rows = np.random.default_rng(0).random((5, expected.config.n_features))
    np.testing.assert_array_equal(found.encode(rows), expected.encode(rows))


def test_a_joint_model_and_its_parts(hub, make_model):
    parts = {"a": make_model(12, 5), "b": make_model(4, 5, seed=1)}
    config = JointConfig({name: of.config for name, of in parts.items()})
    weight = {name: np.ones(5, np.float32) for name in parts}
    joint = JointRuntime(store.JointModel(config, parts, weight))
    joint.push("user/two")
    found = dsae.load("hf://user/two")
    np.testing.assert_array_equal(found.encode({"a": ROWS}), joint.encode({"a": ROWS}))
    np.testing.assert_array_equal(dsae.load("hf://user/two/a").encode(ROWS), joint.modalities["a"].encode(ROWS))
    card = huggingface_hub.ModelCard(hub.files("user/two")["README.md"].decode())
    assert "multimodal" in card.data.tags


def test_a_detector_is_loaded(hub, tmp_path):
    detector = DSAOutlierDetector(
        DeepSparseAutoencoder(3, hidden_layer_sizes=(), density=0.9, max_iter=1), n_estimators=1, random_state=0
    ).fit(ROWS)
    folder = detector.save(tmp_path / "detector")
    files = [path for path in folder.rglob("*") if path.is_file()]
    hub.put("user/detector", {path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    found = DSAOutlierDetector.load("hf://user/detector")
    np.testing.assert_array_equal(found.score_samples(ROWS), detector.score_samples(ROWS))


def test_estimators_go_on_from_there(hub, tmp_path):
    dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(), density=0.5, random_state=0).partial_fit(ROWS)
    folder = dsa.save(tmp_path / "model")
    hub.put("user/dsa", {path.name: path.read_bytes() for path in folder.iterdir()})
    found = DeepSparseAutoencoder.load("hf://user/dsa").partial_fit(ROWS)
    expected = dsa.partial_fit(ROWS)
    np.testing.assert_array_equal(found.transform(ROWS), expected.transform(ROWS))
    started = DeepSparseAutoencoder(
        3, hidden_layer_sizes=(), density=0.5, init="hf://user/dsa", max_iter=1, random_state=0
    )
    assert started.fit(ROWS).n_iter_ == 1


def test_the_command_line(hub, runtime, tmp_path, capsys):
    runtime.save(tmp_path / "model")
    np.save(tmp_path / "rows.npy", ROWS)
    assert run(["push", str(tmp_path / "model"), "user/digits", "--license", "mit"]) == 0
    assert capsys.readouterr().out == "hf://user/digits\n"
    assert run(["encode", "hf://user/digits", str(tmp_path / "rows.npy"), "-o", str(tmp_path / "codes.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), runtime.encode(ROWS))
    assert run(["info", "hf://user/digits"]) == 0
    assert "n features" in capsys.readouterr().out


ADDRESS = "An address of the Hub must be hf://user/repo, hf://user/repo@revision or hf://user/repo/subfolder; got "


@each(
    {
        "call, error, message": [
            (lambda r: dsae.load("hf://digits"), ValueError, f"[load] {ADDRESS}'hf://digits'."),
            (lambda r: dsae.load("hf://user/d/../e"), ValueError, f"[load] {ADDRESS}'hf://user/d/../e'."),
            (lambda r: r.push("digits"), ValueError, "[push] repo_id must be user/repo; got 'digits'."),
            (lambda r: r.push("hf://user/d"), ValueError, "[push] repo_id must be user/repo; got 'hf://user/d'."),
            (lambda r: r.push("user/d", subfolder="../e"), ValueError, f"[push] {ADDRESS}'hf://user/d/../e'."),
            (lambda r: r.push("user/d", license="a: b"), ValueError, "such as bsd-3-clause or mit; got 'a: b'."),
            (lambda r: dsae.load("hf://user/d@v1", revision="v2"), ValueError, "The revision is given twice"),
            (lambda r: dsae.load("folder", revision="v1"), ValueError, "[load] revision is for a model of the Hub"),
            (lambda r: dsae.load("hf://user/none"), OSError, "[load] hf://user/none: there is no such repository"),
            (lambda r: dsae.load("hf://user/other@v9"), OSError, "hf://user/other@v9: the repository has no such rev"),
            (
                lambda r: dsae.load("hf://user/other"),
                ValueError,
                "holds no model: it has neither config.json nor joint",
            ),
            (lambda r: dsae.load("hf://user/theirs"), ValueError, "does not describe a dsae model"),
            (lambda r: dsae.load("hf://user/d", local_files_only=True), OSError, "the cache does not have it"),
        ]
    }
)
def test_what_is_wrong_is_said(hub, runtime, call, error, message):
    hub.put("user/other", {"notes.txt": b""})
    hub.put("user/theirs", {"config.json": b'{"model_type": "bert"}'})
    with pytest.raises(error) as caught:
        call(runtime)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_out_of_reach(hub, runtime):
    hub.close()
    with pytest.raises(OSError, match=r"^\[load\] hf://user/digits: the Hub cannot be reached"):
        dsae.load("hf://user/digits")
    with pytest.raises(OSError, match=r"^\[push\] hf://user/digits: "):
        runtime.push("user/digits")


def test_without_the_client(runtime, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: dsae.load("hf://user/digits"), lambda: runtime.push("user/digits")):
        with pytest.raises(ImportError, match=r'needs huggingface_hub, .* pip install "dsae\[hub\]"'):
            call()

"""What is written is what the other library computes, and comes back as it was."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.covering import each, pairs
from tests.interop.conftest import CODES
from tests.interop.foreign import ROWS, agree, saelens, sparsify

from dsae import interop, store
from dsae.config import AutoencoderConfig, JointConfig
from dsae.runtime import JointRuntime

FORMULAS = {"saelens": saelens, "sparsify": sparsify}
WRITTEN = [(to, code) for to in FORMULAS for code in (CODES if to == "saelens" else ["topk"])]


@pairs({"to, code": WRITTEN}, live=(1.0, 0.3), mean=(0.0, 3.0))
def test_another_library_computes_the_same(make_dictionary, tmp_path, to, code, live, mean):
    runtime = make_dictionary(code, live, mean)
    agree(runtime, *FORMULAS[to](interop.save(runtime, tmp_path / "out", to)))


@pairs({"to, code": WRITTEN}, live=(1.0, 0.3))
def test_what_comes_back_is_what_was_written(make_dictionary, tmp_path, to, code, live):
    before = make_dictionary(code, live)
    after = interop.load(interop.save(before, tmp_path / "out", to))
    assert (after.config.code_activation, after.config.k) == (code, before.config.k)
    exact = to == "saelens"  # the bias of sparsify is of other rows, and rounded there
    for name, layer in before.layers.items():
        topology, values, bias = after.layers[name]
        np.testing.assert_array_equal(topology.indptr, layer.topology.indptr)
        np.testing.assert_array_equal(topology.indices, layer.topology.indices)
        np.testing.assert_array_equal(values, layer.values)
        np.testing.assert_allclose(bias, layer.bias, rtol=0, atol=0 if exact else 1e-5)
    np.testing.assert_array_equal(after.encode(ROWS) != 0, before.encode(ROWS) != 0)
    if exact:
        np.testing.assert_array_equal(after.encode(ROWS), before.encode(ROWS))
        np.testing.assert_array_equal(after.reconstruct(ROWS), before.reconstruct(ROWS))


def test_zeros_leave_the_topology(make_dictionary, tmp_path):
    runtime = make_dictionary("relu", 0.5)
    values = runtime.layers["encoder.0"].values
    values[: len(values) // 2] = 0
    after = interop.load(interop.save(runtime, tmp_path / "out", "saelens"))
    assert after.layers["encoder.0"].topology.nnz == np.count_nonzero(values)


def test_blocks_are_written_weight_by_weight(make_dictionary, tmp_path):
    runtime = make_dictionary("topk", 0.4, block_size=4)
    agree(runtime, *saelens(interop.save(runtime, tmp_path / "out", "saelens")))


def test_names_and_metadata_are_kept(make_model, tmp_path):
    names = [f"gene {i}" for i in range(4)]
    model = make_model(4, 5, code_activation="batchtopk", k=2, model={"feature_names": names})
    told = {"model_name": "gpt2", "hook_name": "blocks.1.hook_resid_pre", "context_size": np.int64(128)}
    rates = np.array([0, 0.5, 1, 0.01, 0.1])
    folder = interop.save(model, tmp_path / "out", "saelens", metadata=told, rates=rates)
    cfg = json.loads((folder / "cfg.json").read_text())
    assert cfg["metadata"].items() >= {"context_size": 128, "model_name": "gpt2"}.items()
    sparsity = load_file(folder / "sparsity.safetensors")["sparsity"]
    np.testing.assert_allclose(sparsity, np.log10(rates + 1e-10), rtol=1e-6)
    after = interop.load(folder)
    assert after.model.feature_names == names
    again = json.loads((interop.save(after, tmp_path / "again", "saelens") / "cfg.json").read_text())
    assert again == cfg


def test_latents_that_never_fire_never_fire(make_dictionary, tmp_path):
    runtime = make_dictionary("jumprelu")
    runtime.model.threshold[2] = np.inf
    folder = interop.save(runtime, tmp_path / "out", "saelens")
    agree(runtime, *saelens(folder))
    assert not interop.load(folder).encode(ROWS)[:, 2].any()


REFUSED = {
    "hidden layers": ({"hidden_layer_sizes": (4,), "code_activation": "relu"}, "layer; the model has 2 and 2."),
    "a deep decoder": ({"decoder_layer_sizes": (4,), "code_activation": "relu"}, "the model has 1 and 2."),
    "a target": ({"n_outputs": 3, "code_activation": "relu"}, "this one was fitted to a target"),
    "a target as wide": ({"code_activation": "relu", "model": {"training": {"target": True}}}, "fitted to a target"),
    "counts": (
        {"code_activation": "relu", "output_activation": "exp", "input_transform": "log1p"},
        "this one has output_activation='exp', loss='mse'. Export it to onnx",
    ),
    "missing values": (
        {
            "code_activation": "relu",
            "missing": "mask",
            "model": {"inputs": store.Inputs(*np.zeros((3, 12), np.float32))},
        },
        "this one takes NaN, missing='mask'.",
    ),
    "a sigmoid code": ({"code_activation": "sigmoid"}, "this one has code_activation='sigmoid'."),
}


@each({"config, message": list(REFUSED.values())}, to=FORMULAS)
def test_what_cannot_be_said_is_refused_by_name(make_model, tmp_path, config, message, to):
    with pytest.raises(ValueError, match=r"^\[export\] ") as caught:
        interop.save(make_model(**config), tmp_path / "out", to)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sparsify_says_topk_alone(make_dictionary, tmp_path):
    with pytest.raises(ValueError, match="sparsify holds codes by topk; this one has code_activation='jumprelu'"):
        interop.save(make_dictionary("jumprelu"), tmp_path / "out", "sparsify")


def test_negative_thresholds_are_refused(make_dictionary, tmp_path):
    runtime = make_dictionary("jumprelu")
    runtime.model.threshold[:2] = -1
    with pytest.raises(ValueError, match="thresholds of at least 0; 2 of this one's are negative"):
        interop.save(runtime, tmp_path / "out", "saelens")


@each(
    {
        "options, message": [
            ({"to": "saelense"}, "the format must be one of saelens, sparsify"),
            ({"to": "sentence_transformers"}, "the format must be one of"),
            ({"to": "sparsify", "rates": np.ones(10)}, "sparsify takes no options; got rates."),
            ({"to": "saelens", "rate": 1}, "SAELens takes metadata and rates; got rate."),
            (
                {"to": "saelens", "rates": np.ones(9)},
                "rates must hold 10 shares in 0..1, one per latent; got shape (9,).",
            ),
            ({"to": "saelens", "rates": np.full(10, 2)}, "rates must hold 10 shares in 0..1"),
            ({"to": "saelens", "metadata": ["gpt2"]}, "metadata must be a mapping of names to values; got list."),
            ({"to": "saelens", "metadata": {"dsae": 1}}, "metadata has 'dsae', which is written by dsae itself."),
        ]
    }
)
def test_options_are_checked(make_dictionary, tmp_path, options, message):
    with pytest.raises(ValueError, match=r"^\[export\] ") as caught:
        interop.save(make_dictionary(), tmp_path / "out", **options)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_everything_that_is_a_model_is_taken(make_dictionary, tmp_path):
    runtime = make_dictionary()
    for given in (runtime, runtime.model, runtime.save(tmp_path / "model"), str(tmp_path / "model")):
        interop.save(given, tmp_path / "out", "saelens")
        agree(runtime, *saelens(tmp_path / "out"))
    with pytest.raises(TypeError, match=r"^\[export\] model must be a fitted estimator, .*; got int."):
        interop.save(3, tmp_path / "out", "saelens")


def test_a_model_of_several_modalities_names_them(make_model, tmp_path):
    models = {name: make_model(6, 5, code_activation="relu") for name in "ab"}
    config = JointConfig({name: model.config for name, model in models.items()})
    joint = store.JointModel(config, models, {name: np.ones(5, np.float32) for name in "ab"})
    with pytest.raises(ValueError, match=r"several modalities \(a and b\).*runtime.modalities\['a'\]"):
        interop.save(JointRuntime(joint), tmp_path / "out", "saelens")


def test_an_export_is_replaced_and_nothing_else(make_dictionary, tmp_path):
    out = tmp_path / "out"
    interop.save(make_dictionary("jumprelu"), out, "saelens", rates=np.ones(10))
    second = make_dictionary("topk", 0.5)
    interop.save(second, out, "saelens")
    assert sorted(path.name for path in out.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    agree(second, *saelens(out))
    (out / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds notes.txt, which is no part of a SAELens export"):
        interop.save(second, out, "saelens")
    with pytest.raises(ValueError, match=r"is a file; name a folder"):
        interop.save(second, out / "notes.txt", "saelens")
    second.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"which is no part of a SAELens export"):
        interop.save(second, tmp_path / "model", "saelens")


def test_a_writer_that_is_stopped_leaves_no_mixture(make_dictionary, tmp_path, monkeypatch):
    """Neither the new weights beside the old settings nor the other way round: the settings come last."""
    out = interop.save(make_dictionary("jumprelu"), tmp_path / "out", "saelens")
    whole = shutil.copytree(out, tmp_path / "whole")

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"^\[export\] .* cannot be written: No space left on device."):
        interop.save(make_dictionary("topk"), out, "saelens")
    with pytest.raises(ValueError, match=r"cfg.json is missing"):
        interop.load(out)
    assert interop.load(whole).config.code_activation == "jumprelu"


def test_formats_are_those_of_the_command_line():
    from dsae.cli import _exchange

    assert _exchange._WRITTEN == interop.WRITTEN
    assert _exchange._READ == interop.READ


def test_a_fitted_estimator_goes_out(tmp_path):
    from dsae import DeepSparseAutoencoder

    dsa = DeepSparseAutoencoder(8, code_activation="batchtopk", k=2, density=1.0, max_iter=1, random_state=0)
    dsa.set_params(shrink="none").fit(ROWS)
    agree(dsa.runtime_, *saelens(interop.save(dsa, tmp_path / "out", "saelens")))
    assert isinstance(interop.load(tmp_path / "out").config, AutoencoderConfig)

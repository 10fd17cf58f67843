"""What other libraries have saved computes here what it computes there, or is refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.covering import each, pairs
from tests.interop.foreign import (
    DICTIONARIES,
    ROWS,
    D,
    F,
    K,
    agree,
    dictionary,
    dictionary_folder,
    dictionary_state,
    random_tensors,
    saelens,
    saelens_folder,
    sentence,
    sentence_folder,
    sparsify,
    sparsify_folder,
)

from dsae import Runtime, interop, store

FOLDERS = {
    "saelens": lambda folder: saelens_folder(folder, "jumprelu"),
    "sparsify": sparsify_folder,
    "dictionary_learning": lambda folder: dictionary_folder(folder, "BatchTopKSAE"),
    "sentence_transformers": sentence_folder,
}


@pairs(
    {"architecture, rescaled": [("standard", False), ("topk", False), ("topk", True), ("jumprelu", False)]},
    shifted=(False, True),
    live=(1.0, 0.3),
)
def test_saelens(tmp_path, architecture, rescaled, shifted, live):
    tensors = random_tensors(W_enc=(D, F), b_enc=F, W_dec=(F, D), b_dec=D)
    for name in ("W_enc", "W_dec"):
        tensors[name] *= np.random.default_rng(1).random(tensors[name].shape) < live
    tensors["W_dec"][:, 0] = 0.5  # every atom has a norm
    folder = saelens_folder(tmp_path / "sae", architecture, shifted, rescaled, tensors=tensors)
    runtime = interop.load(folder)
    agree(runtime, *saelens(folder))
    assert runtime.config.k == (K if architecture == "topk" else None)
    assert (runtime.model.density < 1) == (live < 1)


def test_an_atom_of_zero_that_is_rescaled_is_off(tmp_path):
    tensors = random_tensors(W_enc=(D, F), b_enc=F, W_dec=(F, D), b_dec=D)
    tensors["W_dec"][4] = 0
    runtime = interop.load(saelens_folder(tmp_path / "sae", "topk", rescaled=True, tensors=tensors))
    assert not runtime.encode(ROWS)[:, 4].any()
    assert np.isfinite(runtime.reconstruct(ROWS)).all()


def test_apply_b_dec_to_input_is_true_where_it_is_not_said(tmp_path):
    folder = saelens_folder(tmp_path / "sae", "standard", shifted=True)
    expected = saelens(folder)
    cfg = json.loads((folder / "cfg.json").read_text())
    del cfg["apply_b_dec_to_input"]
    (folder / "cfg.json").write_text(json.dumps(cfg))
    agree(interop.load(folder), *expected)


def old_cfg(folder, **changes):
    cfg = {
        "d_in": D,
        "d_sae": F,
        "dtype": "torch.float32",
        "device": "cuda",
        "model_name": "gpt2-small",
        "hook_point": "blocks.5.hook_resid_pre",
        "hook_point_layer": 5,
        "l1_coefficient": 8e-5,
        "lp_norm": 1.0,
        "lr_scheduler_name": "constant",
        "training_tokens": 300_000_000,
        "prepend_bos": True,
        "context_size": 128,
        "normalize_activations": False,
        "apply_b_dec_to_input": True,
        **changes,
    }
    (folder / "cfg.json").write_text(json.dumps(cfg))


@each(
    {
        "architecture, more": [
            ("standard", {}),
            ("standard", {"activation_fn_str": "relu", "architecture": "standard", "activation_fn_kwargs": {}}),
            ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
            ("jumprelu", {"architecture": "jumprelu", "sae_lens_training_version": "5.3.0"}),
        ]
    }
)
def test_folders_of_saelens_before_version_6(tmp_path, architecture, more):
    folder = saelens_folder(tmp_path / "sae", architecture, shifted=True)
    expected = saelens(folder)
    old_cfg(folder, **more)
    runtime = interop.load(folder)
    agree(runtime, *expected)
    assert runtime.model.training["imported"]["metadata"]["hook_name"] == "blocks.5.hook_resid_pre"


def test_a_factor_of_one_for_each_latent_is_nothing(tmp_path):
    folder = saelens_folder(tmp_path / "sae", "standard")
    expected, tensors = saelens(folder), load_file(folder / "sae_weights.safetensors")
    save_file({**tensors, "scaling_factor": np.ones(F, np.float32)}, folder / "sae_weights.safetensors")
    agree(interop.load(folder), *expected)
    save_file({**tensors, "scaling_factor": np.full(F, 2, np.float32)}, folder / "sae_weights.safetensors")
    with pytest.raises(ValueError, match="has the tensor 'scaling_factor', which dsae does not know"):
        interop.load(folder)


def test_batchtopk_of_saelens_keeps_its_k(tmp_path):
    folder = saelens_folder(tmp_path / "sae", "jumprelu")
    cfg = json.loads((folder / "cfg.json").read_text())
    unknown = [(k, ("jumprelu", None)) for k in (4.5, "4", True, 0, float("inf"), float("nan"), 10**400, None)]
    for k, expected in ((4, ("batchtopk", 4)), (4.0, ("batchtopk", 4)), *unknown):
        name = "batchtopk" if k == 4 else "matryoshka_batchtopk"
        cfg["metadata"] |= {"training_architecture": name, "training_architecture_details": {"k": k}}
        (folder / "cfg.json").write_text(json.dumps(cfg))
        runtime = interop.load(folder)
        assert (runtime.config.code_activation, runtime.config.k) == expected
        agree(runtime, *saelens(folder))


@each(kind=("F64", "F16", "BF16"))
def test_floats_of_any_width_are_read(tmp_path, kind):
    import torch
    from safetensors.torch import save_file as save_torch

    folder = saelens_folder(tmp_path / "sae", "topk", shifted=True)
    weights, width = (
        folder / "sae_weights.safetensors",
        {"F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16},
    )
    narrow = {name: torch.as_tensor(array).to(width[kind]) for name, array in load_file(weights).items()}
    save_file({name: tensor.float().numpy() for name, tensor in narrow.items()}, weights)
    expected = saelens(folder)
    save_torch(narrow, weights)
    agree(interop.load(folder), *expected)


@each(changes=({}, {"num_latents": 0, "expansion_factor": 2, "d_in": 5}, {"normalize_decoder": False, "signed": False}))
def test_sparsify(tmp_path, changes):
    folder = sparsify_folder(tmp_path / "sae", **changes)
    if "d_in" in changes:  # ten latents of five inputs
        cut = {name: a[..., :5] if a.shape[-1] == D else a for name, a in load_file(folder / "sae.safetensors").items()}
        save_file({name: np.ascontiguousarray(a) for name, a in cut.items()}, folder / "sae.safetensors")
    X = ROWS[:, : interop.load(folder).config.n_features]
    agree(interop.load(folder), *sparsify(folder, X), X)


@each(name=("decoder.linear.weight", "encoder.weight"), nested=(False, True))
def test_sentence_transformers(tmp_path, name, nested):
    inner = sentence_folder(tmp_path / "2_SparseAutoEncoder" if nested else tmp_path / "sae", name)
    kinds = {
        "": "models.Transformer.Transformer",
        inner.name: "sparse_encoder.models.SparseAutoEncoder.SparseAutoEncoder",
    }
    modules = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in kinds.items()]
    if nested:
        (tmp_path / "modules.json").write_text(json.dumps(modules))
    agree(interop.load(tmp_path if nested else inner), *sentence(inner))


@each(kind=DICTIONARIES)
def test_dictionary_learning(tmp_path, kind):
    state = dictionary_state(kind)
    runtime = interop.load(dictionary_folder(tmp_path / "sae", kind, state))
    agree(runtime, *dictionary(kind, state))
    assert runtime.config.k == (K if "TopK" in kind else None)


def test_a_threshold_that_was_never_set_lets_all_through(tmp_path):
    state = dictionary_state("BatchTopKSAE", threshold=-1)
    runtime = interop.load(dictionary_folder(tmp_path / "sae", "BatchTopKSAE", state))
    agree(runtime, *dictionary("BatchTopKSAE", state))


@each(format=FOLDERS)
def test_what_was_read_is_a_model_folder_and_goes_out_again(tmp_path, format):
    runtime = interop.load(FOLDERS[format](tmp_path / "in"))
    assert runtime.model.training["imported"]["format"] == format
    again = Runtime(store.read(runtime.save(tmp_path / "model")))
    np.testing.assert_array_equal(again.encode(ROWS), runtime.encode(ROWS))
    agree(runtime, *saelens(interop.save(again, tmp_path / "out", "saelens")))


SAELENS = [
    ({"architecture": "gated"}, "the architecture 'gated'; dsae reads standard, topk and jumprelu."),
    ({"architecture": "batchtopk"}, "save it with save_inference_model."),
    *(
        ({"architecture": name}, f"the architecture {name!r}")
        for name in ("transcoder", "temporal", "matching_pursuit")
    ),
    ({"normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm'. It depends on the row"),
    ({"normalize_activations": "constant_norm_rescale"}, "It depends on the row; no model of dsae computes it."),
    ({"normalize_activations": "expected_average_only_in"}, "Fold it into the weights with SAELens"),
    ({"reshape_activations": "hook_z"}, "reshape_activations 'hook_z': its rows have a dimension of heads."),
    ({"activation_fn": "tanh-relu"}, "activation_fn 'tanh-relu'; dsae reads relu and topk."),
    ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor, which dsae does not know"),
    ({"softcap": 30.0}, "has the setting 'softcap', which dsae does not know and which may change what"),
    ({"d_sae": 11}, "W_enc must have the shape (d_in 6, d_sae 11); got (6, 10)."),
    ({"d_in": True}, "d_in must be a whole number of at least 1; got True."),
    ({"apply_b_dec_to_input": "yes"}, "apply_b_dec_to_input must be true or false; got 'yes'."),
    ({"metadata": {"sae_lens_version": "six"}}, "sae_lens_version must be a version such as 6.0.0; got 'six'."),
    ({"metadata": 3}, "metadata must be a mapping; got 3."),
    ({"architecture": "topk"}, "cfg.json lacks k."),
    ({"architecture": "topk", "k": 11}, "k must be at most n_components"),
]
SPARSIFY = [
    ({"activation": "groupmax"}, "the activation 'groupmax'; dsae reads topk."),
    ({"skip_connection": True}, "skip_connection, a linear map beside the code"),
    ({"transcode": True}, "transcode, a model that predicts other rows than it sees"),
    ({"signed": True}, "signed, a code with negative values"),
    ({"temperature": 2}, "has the setting 'temperature'"),
    ({"expansion_factor": ["x"], "num_latents": 0}, "expansion_factor must be a whole number of at least 1"),
]
SENTENCES = [
    ({"normalize": True}, "normalize, which centres and scales every row by itself"),
    ({"k": 0}, "k must be a whole number of at least 1; got 0."),
    ({"temperature": 2}, "has the setting 'temperature'"),
]
CHANGED = [
    *(("standard", saelens_folder, changes, message) for changes, message in SAELENS),
    *((None, sparsify_folder, changes, message) for changes, message in SPARSIFY),
    *((None, sentence_folder, changes, message) for changes, message in SENTENCES),
]


@each({"architecture, make, changes, message": CHANGED})
def test_settings_that_dsae_cannot_compute_are_refused_by_name(tmp_path, architecture, make, changes, message):
    given = {"architecture": architecture} if architecture else {}
    folder = make(tmp_path / "sae", **given) if architecture else make(tmp_path / "sae")
    path = next(path for path in folder.iterdir() if path.suffix == ".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"^\[import\] ") as caught:
        interop.load(folder)
    assert message in str(caught.value)


def test_heads_of_folders_before_version_6_are_refused(tmp_path):
    folder = saelens_folder(tmp_path / "sae", "standard")
    old_cfg(folder, hook_point="blocks.5.attn.hook_z")
    with pytest.raises(ValueError, match="reshape_activations 'hook_z'"):
        interop.load(folder)


@each(format=("saelens", "sparsify", "sentence_transformers"))
def test_unknown_tensors_are_refused_by_name(tmp_path, format):
    folder = FOLDERS[format](tmp_path / "sae")
    path = next(folder.glob("*.safetensors"))
    save_file({**load_file(path), "r_mag": np.ones(F, np.float32)}, path)
    with pytest.raises(ValueError, match=r"^\[import\] .* has the tensor 'r_mag', which dsae does not know"):
        interop.load(folder)


@each({"kind, message": [("GatedAutoEncoder", "the dict_class 'GatedAutoEncoder'"), ("CrossCoder", "dsae reads Auto")]})
def test_classes_of_dictionary_learning_that_are_not_read(tmp_path, kind, message):
    folder = dictionary_folder(tmp_path / "sae", "AutoEncoder", dict_class=kind)
    with pytest.raises(ValueError, match=r"^\[import\] ") as caught:
        interop.load(folder)
    assert message in str(caught.value)


@each(
    {
        "change, message": [
            ({"extra": np.ones(3)}, "has the tensor 'extra'"),
            ({"encoder.weight": np.ones((F, D + 1))}, "decoder.weight must have the shape"),
            ({"encoder.weight": np.ones(F)}, "encoder.weight must have the shape (dict_size > 0, activation_dim > 0)"),
            ({"encoder.bias": np.full(F, np.nan)}, "the weights of the encoder must be finite"),
            ({"decoder.weight": np.full((D, F), 1e300)}, "the weights of the decoder must be finite in float32"),
            ({"encoder.bias": np.ones(F, np.int64)}, "must hold floating-point numbers; got int64."),
            ({"threshold": np.float32(np.nan)}, "the thresholds must be numbers; some are NaN."),
            ({"k": np.int32(0)}, "k must hold a whole number of at least 1"),
            ({"k": np.int32(4)}, "has k 3, but ae.pt has 4."),
        ]
    }
)
def test_tensors_of_dictionary_learning_are_checked(tmp_path, change, message):
    folder = dictionary_folder(tmp_path / "sae", "BatchTopKSAE", dictionary_state("BatchTopKSAE") | change)
    with pytest.raises(ValueError, match=r"^\[import\] ") as caught:
        interop.load(folder)
    assert message in str(caught.value)

"""Folders as other libraries write them, and what each computes, by its own formula in float64."""

import json

import numpy as np
from safetensors.numpy import load_file, save_file

D, F, K = 6, 10, 3
ROWS = np.random.default_rng(5).normal(3, 1, (40, D)).astype(np.float32)


def relu(z):
    return np.maximum(z, 0)


def topk(z, k):
    z = relu(z)
    return np.where(np.argsort(np.argsort(-z, axis=1, kind="stable"), axis=1) < k, z, 0)


def random_tensors(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def put(folder, cfg, tensors, weights, cfg_file="cfg.json"):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / cfg_file).write_text(json.dumps(cfg))
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / weights)
    return folder


def doubles(path):
    return {name: array.astype(np.float64) for name, array in load_file(path).items()}


def saelens_folder(folder, architecture, shifted=False, rescaled=False, version="6.54.12", tensors=None, **changes):
    tensors = tensors or random_tensors(W_enc=(D, F), b_enc=F, W_dec=(F, D), b_dec=D)
    if architecture == "jumprelu":
        tensors["threshold"] = np.linspace(-0.5, 2, F, dtype=np.float32)
    cfg = {
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": shifted,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": version, "model_name": "gpt2", "hook_name": "blocks.0.hook_resid_pre"},
        "architecture": architecture,
        **({"k": K, "rescale_acts_by_decoder_norm": rescaled} if architecture == "topk" else {}),
    }
    return put(folder, {**cfg, **changes}, tensors, "sae_weights.safetensors")


def saelens(folder, X=ROWS):
    """Codes and reconstructions of a SAELens folder."""
    cfg, w = json.loads((folder / "cfg.json").read_text()), doubles(folder / "sae_weights.safetensors")
    z = (X - w["b_dec"] * cfg["apply_b_dec_to_input"]) @ w["W_enc"] + w["b_enc"]
    norms = np.linalg.norm(w["W_dec"], axis=1) if cfg.get("rescale_acts_by_decoder_norm") else np.ones(z.shape[1])
    code = {
        "standard": lambda: relu(z),
        "topk": lambda: topk(z * norms, cfg["k"]),
        "jumprelu": lambda: relu(z) * (z > w["threshold"]),
    }[cfg["architecture"]]()
    return code, code / norms @ w["W_dec"] + w["b_dec"]


def sparsify_folder(folder, **changes):
    tensors = random_tensors(**{"encoder.weight": (F, D), "encoder.bias": F, "W_dec": (F, D), "b_dec": D})
    cfg = {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": F,
        "k": K,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": D,
    }
    return put(folder, {**cfg, **changes}, tensors, "sae.safetensors")


def sparsify(folder, X=ROWS):
    cfg, w = json.loads((folder / "cfg.json").read_text()), doubles(folder / "sae.safetensors")
    code = topk((X - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"], cfg["k"])
    return code, code @ w["W_dec"] + w["b_dec"]


def sentence_folder(folder, name="decoder.linear.weight", **changes):
    tensors = random_tensors(**{name: (F, D), "pre_bias": D, "latent_bias": F})
    tensors["stats_last_nonzero"] = np.arange(F, dtype=np.int64)
    cfg = {"input_dim": D, "hidden_dim": F, "k": K, "k_aux": 4, "normalize": False, "dead_threshold": 30}
    return put(folder, {**cfg, **changes}, tensors, "model.safetensors", "config.json")


def sentence(folder, X=ROWS):
    cfg, w = json.loads((folder / "config.json").read_text()), doubles(folder / "model.safetensors")
    tied = w.get("decoder.linear.weight", w.get("encoder.weight"))
    code = topk((X - w["pre_bias"]) @ tied.T + w["latent_bias"], cfg["k"])
    return code, code @ tied + w["pre_bias"]


LINEAR = {"encoder.weight": (F, D), "encoder.bias": F, "decoder.weight": (D, F)}
MATRICES = {"W_enc": (D, F), "b_enc": F, "W_dec": (F, D), "b_dec": D}
DICTIONARIES = {
    "AutoEncoder": {**LINEAR, "bias": D},
    "AutoEncoderNew": {**LINEAR, "decoder.bias": D},
    "AutoEncoderTopK": {**LINEAR, "b_dec": D},
    "BatchTopKSAE": {**LINEAR, "b_dec": D},
    "MatryoshkaBatchTopKSAE": MATRICES,
    "JumpReluAutoEncoder": {**MATRICES, "threshold": F},
}


def dictionary_state(kind, threshold=0.7):
    """The tensors of a class of dictionary_learning, as numpy arrays."""
    state = random_tensors(**DICTIONARIES[kind])
    if "TopK" in kind:
        state |= {"k": np.int32(K), "threshold": np.float32(threshold)}
    if kind.startswith("Matryoshka"):
        state["group_sizes"] = np.array([4, F - 4])
    return state


def dictionary_folder(folder, kind, state=None, **trainer):
    import torch

    folder.mkdir(exist_ok=True, parents=True)
    state = dictionary_state(kind) if state is None else state
    torch.save({name: torch.as_tensor(np.array(value)) for name, value in state.items()}, folder / "ae.pt")
    more = {"k": K} if "TopK" in kind else {}
    cfg = {"trainer": {"dict_class": kind, "lr": 1e-3, **more, **trainer}, "buffer": {"d_submodule": D}}
    (folder / "config.json").write_text(json.dumps(cfg))
    return folder


def dictionary(kind, state, X=ROWS):
    w = {name: np.asarray(value, np.float64) for name, value in state.items()}
    if kind == "AutoEncoder":
        code = relu((X - w["bias"]) @ w["encoder.weight"].T + w["encoder.bias"])
        return code, code @ w["decoder.weight"].T + w["bias"]
    if kind == "AutoEncoderNew":
        code = relu(X @ w["encoder.weight"].T + w["encoder.bias"])
        return code, code @ w["decoder.weight"].T + w["decoder.bias"]
    if kind == "JumpReluAutoEncoder":
        z = X @ w["W_enc"] + w["b_enc"]
        code = relu(z * (z > w["threshold"]))
        return code, code @ w["W_dec"] + w["b_dec"]
    into, out = (w["W_enc"], w["W_dec"]) if "W_enc" in w else (w["encoder.weight"].T, w["decoder.weight"].T)
    z = relu((X - w["b_dec"]) @ into + w.get("b_enc", w.get("encoder.bias")))
    code = topk(z, K) if kind == "AutoEncoderTopK" else z * (z > w["threshold"])
    return code, code @ out + w["b_dec"]


def agree(runtime, code, rebuilt, X=ROWS):
    """Codes and reconstructions are those of the formula, and the same latents fire."""
    ours = runtime.encode(X)
    np.testing.assert_allclose(ours, code, rtol=0, atol=1e-5 * np.abs(code).max())
    np.testing.assert_array_equal(ours != 0, code != 0)
    np.testing.assert_allclose(runtime.decode(ours), rebuilt, rtol=0, atol=1e-5 * np.abs(rebuilt).max())

"""SAELens: ``cfg.json`` and ``sae_weights.safetensors``, as its version 6 writes them; older folders are read, too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsae.config import listed, plain
from dsae.interop._files import Settings, Tensors, read_tensors, tensors_to_bytes
from dsae.interop._one_layer import OneLayer, norms_of
from dsae.store import Model

_CFG, _WEIGHTS, _SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
_ARCHITECTURES = {"relu": "standard", "topk": "topk", "batchtopk": "jumprelu", "jumprelu": "jumprelu"}
# Of the layout of cfg.json: without a version of at least 6 the folder would be read as one of version 5.
_VERSION = "6.0.0"
_SMALLEST_RATE = 1e-10  # added to rates before their logarithm, as SAELens does
_OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
# Of training, of where activations come from, and of the device: they change nothing of what an SAE computes.
_HARMLESS = frozenset(
    """
    device dtype seed sae_lens_version sae_lens_training_version model_name model_class_name hook_name hook_layer
    hook_head_index hook_point_layer hook_eval hf_hook_name model_from_pretrained_kwargs prepend_bos neuronpedia_id
    exclude_special_tokens context_size seqpos_slice dataset_path dataset_trust_remote_code is_dataset_tokenized
    streaming use_cached_activations cached_activations_path from_pretrained_path expansion_factor decoder_init_norm
    l1_coefficient lp_norm l1_warm_up_steps l0_coefficient l0_warm_up_steps jumprelu_init_threshold target_l0
    jumprelu_bandwidth jumprelu_sparsity_loss_mode jumprelu_tanh_scale jumprelu_ste_to_input topk_threshold_lr
    pre_act_loss_coefficient aux_loss_coefficient use_sparse_activations scale_sparsity_penalty_by_decoder_norm
    mse_loss_normalization noise_scale use_ghost_grads normalize_sae_decoder init_encoder_as_decoder_transpose
    decoder_orthogonal_init decoder_heuristic_init decoder_heuristic_init_norm b_dec_init_method n_batches_in_buffer
    training_tokens finetuning_tokens finetuning_method store_batch_size_prompts train_batch_size_tokens autocast
    autocast_lm compile_llm llm_compilation_mode compile_sae sae_compilation_mode adam_beta1 adam_beta2 lr lr_end
    lr_scheduler_name lr_warm_up_steps lr_decay_steps n_restart_cycles feature_sampling_window dead_feature_window
    dead_feature_threshold n_eval_batches eval_batch_size_prompts log_to_wandb wandb_project wandb_id wandb_entity
    wandb_log_frequency run_name eval_every_n_wandb_logs log_activations_store_to_wandb log_weights_to_wandb
    log_optimizer_state_to_wandb resume n_checkpoints checkpoint_path verbose model_kwargs act_store_device
    tokens_per_buffer
    """.split()  # noqa: SIM905
)


def write(model: Model, *, metadata: Mapping[str, Any] | None = None, rates: Any = None) -> Iterator[tuple[str, bytes]]:
    """The files of a model.

    Parameters
    ----------
    model : Model
    metadata : mapping, optional
        What SAELens keeps of the activations: ``model_name``, ``hook_name``, ``context_size``, ``prepend_bos``, ...; by
        default that of the SAELens folder from which the model came.
    rates : array-like, shape (n_components,), optional
        Share of the rows in which each latent fires.
    """
    layer = OneLayer.of(model, "SAELens", tuple(_ARCHITECTURES))
    (n_components, n_features), architecture = layer.encoder.shape, _ARCHITECTURES[layer.code]
    told = {"code_activation": layer.code, "k": layer.k, "feature_names": layer.names}
    cfg = {
        "architecture": architecture,
        "d_in": n_features,
        "d_sae": n_components,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **({"k": layer.k, "rescale_acts_by_decoder_norm": False} if architecture == "topk" else {}),
        "metadata": {
            "sae_lens_training_version": None,
            **_told(_imported(model) if metadata is None else metadata),
            "sae_lens_version": _VERSION,
            "dsae": {key: value for key, value in told.items() if value is not None},
        },
    }
    tensors = {
        "W_enc": layer.encoder.T,
        "b_enc": layer.encoder_bias,
        "W_dec": layer.decoder.T,
        "b_dec": layer.decoder_bias,
    }
    if layer.threshold is not None:
        tensors["threshold"] = layer.threshold
    yield _WEIGHTS, tensors_to_bytes(tensors)
    if rates is not None:
        yield _SPARSITY, tensors_to_bytes({"sparsity": np.log10(_rates(rates, n_components) + _SMALLEST_RATE)})
    yield _CFG, (json.dumps(cfg, indent=2) + "\n").encode()


def _told(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise ValueError(f"metadata must be a mapping of names to values; got {type(metadata).__name__}.")
    taken = [key for key in metadata if key in ("dsae", "sae_lens_version")]
    if taken:
        raise ValueError(f"metadata has {taken[0]!r}, which is written by dsae itself. Leave it out.")
    return plain(metadata)


def _imported(model: Model) -> dict[str, Any]:
    """What the SAELens folder said from which the model came."""
    found = model.training.get("imported")
    metadata = found.get("metadata") if isinstance(found, Mapping) else None
    return dict(metadata) if isinstance(metadata, Mapping) else {}


def _rates(rates: Any, n_components: int) -> np.ndarray:
    values = np.asarray(rates, dtype=np.float64)
    if values.shape != (n_components,) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"rates must hold {n_components} shares in 0..1, one per latent; got shape {values.shape}.")
    return values


def read(folder: Path) -> Model:
    """The model in a folder."""
    cfg = Settings(folder / _CFG)
    metadata = cfg.inner("metadata", {}).left
    old = _is_old(cfg, metadata)
    if old:
        cfg.left = {_OLD_NAMES.get(name, name): value for name, value in cfg.left.items()}
        metadata = {name: value for name, value in cfg.left.items() if name in ("model_name", "hook_name")}
    architecture = _architecture(cfg, old)
    _check_input(cfg, old)
    shifted = cfg.flag("apply_b_dec_to_input", True)
    k = cfg.whole("k") if architecture == "topk" else None
    rescaled = architecture == "topk" and cfg.flag("rescale_acts_by_decoder_norm", False)
    sizes = {"d_in": cfg.whole("d_in"), "d_sae": cfg.whole("d_sae")}
    cfg.drop(_HARMLESS)
    cfg.end()
    weights = Tensors(folder / _WEIGHTS, read_tensors(folder / _WEIGHTS), **sizes)
    _check_scaling(weights)
    layer = OneLayer(
        weights.take("W_enc", "d_in", "d_sae").T,
        weights.take("b_enc", "d_sae"),
        weights.take("W_dec", "d_sae", "d_in").T,
        weights.take("b_dec", "d_in"),
        *_code(architecture, k, metadata),
        weights.take("threshold", "d_sae") if architecture == "jumprelu" else None,
    )
    weights.end()
    if shifted:
        layer.subtracting(layer.decoder_bias)
    if rescaled:  # what counts for the k largest is a latent times the norm of its atom
        layer.rescale(norms_of(layer.decoder.T))
    layer.names = _names(metadata, sizes["d_in"])
    layer.origin = {"format": "saelens", "architecture": architecture, "metadata": _kept(metadata)}
    return layer.to_model()


def _is_old(cfg: Settings, metadata: Mapping[str, Any]) -> bool:
    """Whether SAELens takes the folder for one that a version before 6 has written."""
    version = cfg.left.get("sae_lens_version") or metadata.get("sae_lens_version")
    if not version:
        return True
    first = str(version).partition(".")[0]
    if not first.isdigit():
        raise ValueError(f"{cfg.path}: sae_lens_version must be a version such as 6.0.0; got {version!r}.")
    return int(first) < 6


def _architecture(cfg: Settings, old: bool) -> str:
    name = cfg.text("architecture", "standard") if old else cfg.text("architecture")
    activation = cfg.text("activation_fn", "relu")
    arguments = cfg.inner("activation_fn_kwargs", {}).left
    if activation == "topk" and name == "standard":  # of versions before 6
        name = "topk"
    if name == "topk" and "k" in arguments:
        cfg.left["k"] = arguments.pop("k")
    if name not in _ARCHITECTURES.values():
        hint = (
            "Such a file is a checkpoint: save it with save_inference_model."
            if "batchtopk" in name
            else "No model of dsae computes it."
        )
        known = listed(dict.fromkeys(_ARCHITECTURES.values()))
        raise ValueError(f"{cfg.path} has the architecture {name!r}; dsae reads {known}. {hint}")
    if activation not in (("relu", "topk") if name == "topk" else ("relu",)):
        raise ValueError(f"{cfg.path} has activation_fn {activation!r}; dsae reads relu and topk.")
    if any(arguments.values()):
        raise ValueError(f"{cfg.path} has activation_fn_kwargs {arguments}, which dsae does not know.")
    return name


def _check_input(cfg: Settings, old: bool) -> None:
    """Refuse what happens to rows before they are encoded."""
    normalize = cfg.take("normalize_activations", "none")
    if normalize not in ("none", None, False):
        remedy = "Fold it into the weights with SAELens, then save again."
        if normalize in ("layer_norm", "constant_norm_rescale"):
            remedy = "It depends on the row; no model of dsae computes it."
        raise ValueError(f"{cfg.path} has normalize_activations {normalize!r}. {remedy}")
    by_head = old and "hook_z" in str(cfg.left.get("hook_name", ""))
    reshape = cfg.text("reshape_activations", "hook_z" if by_head else "none")
    if reshape != "none":
        raise ValueError(
            f"{cfg.path} has reshape_activations {reshape!r}: its rows have a dimension of heads. Set it to 'none' in "
            "the file, and flatten rows yourself."
        )
    if cfg.flag("finetuning_scaling_factor", False):
        raise ValueError(f"{cfg.path} has finetuning_scaling_factor, which dsae does not know.")


def _check_scaling(weights: Tensors) -> None:
    """Leave out a factor for each latent that is one everywhere, which versions before 6 wrote."""
    if "scaling_factor" in weights and (weights.left["scaling_factor"] == 1).all():
        weights.drop("scaling_factor")


def _code(architecture: str, k: int | None, metadata: Mapping[str, Any]) -> tuple[str, int | None]:
    """The code, and ``k``, which SAELens does not keep of batchtopk, but in what is said about training."""
    if architecture != "jumprelu":
        return ("relu" if architecture == "standard" else architecture), k
    ours = metadata.get("dsae")
    trained = metadata.get("training_architecture_details")
    if isinstance(ours, Mapping) and ours.get("code_activation") in ("batchtopk", "jumprelu"):
        name, count = str(ours["code_activation"]), ours.get("k")
    elif "batchtopk" in str(metadata.get("training_architecture")) and isinstance(trained, Mapping):
        name, count = "batchtopk", trained.get("k")
    else:
        return "jumprelu", None
    if isinstance(count, int | float) and count is not True and 1 <= count < 2**31 and count == int(count):
        return name, int(count)
    return "jumprelu", None


def _names(metadata: Mapping[str, Any], n_features: int) -> list[str] | None:
    ours = metadata.get("dsae")
    names = ours.get("feature_names") if isinstance(ours, Mapping) else None
    right = isinstance(names, list) and len(names) == n_features and all(isinstance(name, str) for name in names)
    return names if right else None


def _kept(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What an export writes again."""
    return plain({key: value for key, value in metadata.items() if key not in ("dsae", "sae_lens_version")})

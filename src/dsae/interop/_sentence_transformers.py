"""The ``SparseAutoEncoder`` of sentence-transformers: a module with tied weights at the end of a ``SparseEncoder``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsae.interop._files import Settings, Tensors, read_tensors
from dsae.interop._one_layer import OneLayer
from dsae.store import Model, parse_json, read_text

_CFG, _WEIGHTS, _MODULES = "config.json", "model.safetensors", "modules.json"
_OF_TRAINING = ("k_aux", "dead_threshold")


def read(folder: Path) -> Model:
    """The model in a folder: that of the module, or of the encoder that ends with it."""
    folder = _module_of(folder)
    cfg = Settings(folder / _CFG)
    n_features, n_components, k = (cfg.whole(name) for name in ("input_dim", "hidden_dim", "k"))
    if cfg.flag("normalize", False):
        raise ValueError(
            f"{cfg.path} has normalize, which centres and scales every row by itself; no model of dsae computes it."
        )
    cfg.drop(_OF_TRAINING)
    cfg.end()
    if not (folder / _WEIGHTS).is_file() and (folder / "pytorch_model.bin").is_file():
        raise ValueError(f"{folder} has a pickle, pytorch_model.bin. Save the model with safe_serialization=True.")
    arrays = read_tensors(folder / _WEIGHTS)
    weights = Tensors(folder / _WEIGHTS, arrays, input_dim=n_features, hidden_dim=n_components)
    tied = _tied(weights)
    offset = weights.take("pre_bias", "input_dim")
    layer = OneLayer(tied, weights.take("latent_bias", "hidden_dim"), tied.T, offset, "topk", k)
    weights.drop("stats_last_nonzero")  # which latents are dead, for training
    weights.end()
    layer.subtracting(offset)
    layer.origin = {"format": "sentence_transformers"}
    return layer.to_model()


def _tied(weights: Tensors) -> np.ndarray:
    """The one matrix, which is saved under one of two names, or both."""
    names = [name for name in ("decoder.linear.weight", "encoder.weight") if name in weights]
    if len(names) < 2:
        return weights.take(names[0] if names else "encoder.weight", "hidden_dim", "input_dim")
    first, second = (weights.take(name, "hidden_dim", "input_dim") for name in names)
    if not np.array_equal(first, second):
        raise ValueError(f"{weights.path}: {names[0]} and {names[1]} must be one matrix; they differ.")
    return first


def _module_of(folder: Path) -> Path:
    """The folder of the module, where ``folder`` is that of a whole encoder."""
    path = folder / _MODULES
    if not path.is_file():
        return folder
    modules = parse_json(path, read_text(path))
    found = [
        module.get("path")
        for module in (modules if isinstance(modules, list) else [])
        if isinstance(module, dict) and str(module.get("type")).rpartition(".")[2] == "SparseAutoEncoder"
    ]
    if len(found) != 1:
        raise ValueError(f"{path} must name one SparseAutoEncoder; got {len(found)}.")
    inner = folder / str(found[0])
    # a path may lead out of the folder
    if not isinstance(found[0], str) or not inner.resolve().is_relative_to(folder.resolve()) or not inner.is_dir():
        raise ValueError(f"{path} names the folder {found[0]!r}, which is not there.")
    return inner

"""sparsify, EleutherAI's trainer: ``cfg.json`` and ``sae.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dsae.interop._files import Settings, Tensors, read_tensors, tensors_to_bytes
from dsae.interop._one_layer import OneLayer, product
from dsae.store import Model

_CFG, _WEIGHTS = "cfg.json", "sae.safetensors"
_OF_TRAINING = ("expansion_factor", "normalize_decoder", "multi_topk")


def write(model: Model) -> Iterator[tuple[str, bytes]]:
    """The files of a model."""
    layer = OneLayer.of(model, "sparsify", ("topk",))
    n_components, n_features = layer.encoder.shape
    tensors = {
        "encoder.weight": layer.encoder,
        # its encoder sees rows without the decoder's bias
        "encoder.bias": layer.encoder_bias + product(layer.encoder, layer.decoder_bias),
        "W_dec": layer.decoder.T,
        "b_dec": layer.decoder_bias,
    }
    cfg = {
        "activation": "topk",
        "expansion_factor": max(1, n_components // n_features),
        "normalize_decoder": False,  # training goes on with the atoms as they are
        "num_latents": n_components,
        "k": layer.k,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": n_features,
    }
    yield _WEIGHTS, tensors_to_bytes(tensors)
    yield _CFG, (json.dumps(cfg, indent=2) + "\n").encode()


def read(folder: Path) -> Model:
    """The model in a folder."""
    cfg = Settings(folder / _CFG)
    activation = cfg.text("activation", "topk")
    if activation != "topk":
        raise ValueError(f"{cfg.path} has the activation {activation!r}; dsae reads topk.")
    for name, what in (
        ("skip_connection", "a linear map beside the code"),
        ("transcode", "a model that predicts other rows than it sees"),
        ("signed", "a code with negative values"),  # of versions before 1.0
    ):
        if cfg.flag(name, False):
            raise ValueError(f"{cfg.path} has {name}, {what}; dsae reads models without.")
    n_features, k = cfg.whole("d_in"), cfg.whole("k")
    cfg.left["num_latents"] = cfg.left.get("num_latents") or cfg.whole("expansion_factor", 32) * n_features
    n_components = cfg.whole("num_latents")
    cfg.drop(_OF_TRAINING)
    cfg.end()
    weights = Tensors(folder / _WEIGHTS, read_tensors(folder / _WEIGHTS), d_in=n_features, num_latents=n_components)
    layer = OneLayer(
        weights.take("encoder.weight", "num_latents", "d_in"),
        weights.take("encoder.bias", "num_latents"),
        weights.take("W_dec", "num_latents", "d_in").T,
        weights.take("b_dec", "d_in"),
        "topk",
        k,
        origin={"format": "sparsify"},
    )
    weights.end()
    layer.subtracting(layer.decoder_bias)
    return layer.to_model()

"""Dense layers for torch and others: ``dense.safetensors``, named as `torch.nn.Sequential` does, and ``dense.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from dsae.config import has_exposure
from dsae.interop._files import tensors_to_bytes
from dsae.store import Model


def write(model: Model) -> Iterator[tuple[str, bytes]]:
    """The files of a model.

    ``encoder`` and ``decoder`` are sequences in which layers take turns with activations, as ``dense.json`` lists them.
    The tensors are ``encoder.0.weight`` ``[n_out, n_in]`` and ``encoder.0.bias``, ``encoder.2.weight``, ...: the
    parameters of a `torch.nn.Sequential`. The thresholds of a code are ``threshold`` of its activation.
    """
    _check(model)
    config = model.config
    tensors: dict[str, np.ndarray] = {}
    steps: dict[str, list[dict[str, Any]]] = {"encoder": [], "decoder": []}
    code = [name for name in model.layers if name.startswith("encoder")][-1]
    for name, layer in model.layers.items():
        half = name.partition(".")[0]
        at, (n_out, n_in) = len(steps[half]), layer.topology.shape
        tensors[f"{half}.{at}.weight"], tensors[f"{half}.{at}.bias"] = layer.to_dense(), layer.bias
        activation: dict[str, Any] = {"type": config.activations[name]}
        if name == code and config.k is not None:
            activation["k"] = config.k
        if name == code and model.threshold is not None:
            tensors[f"{half}.{at + 1}.threshold"] = model.threshold
        steps[half] += [{"type": "linear", "in_features": n_in, "out_features": n_out}, activation]
    names = {"feature_names": model.feature_names, "output_names": model.output_names}
    told = {"format": "dsae dense", **steps, **{key: value for key, value in names.items() if value is not None}}
    yield "dense.safetensors", tensors_to_bytes(tensors)
    yield "dense.json", (json.dumps(told, indent=2) + "\n").encode()


def _check(model: Model) -> None:
    """Refuse what happens outside of layers and activations."""
    config, loss = model.config, model.training.get("loss", "mse")
    if config.input_transform != "none":
        raise ValueError(
            f"dense layers have no transform of the input; this model has input_transform={config.input_transform!r}. "
            "Export it to onnx."
        )
    if model.inputs is not None:
        raise ValueError("dense layers take no NaN; this model does, missing='mask'. Export it to onnx.")
    if has_exposure(loss):
        raise ValueError(
            f"dense layers do not multiply by the total of a row, as this model does, loss={loss!r}. Export it to onnx."
        )

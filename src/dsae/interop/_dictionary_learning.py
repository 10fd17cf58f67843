"""dictionary_learning: ``config.json`` and ``ae.pt``, a pickle of torch, in which only tensors are allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pickle import PickleError
from struct import error as StructError
from typing import Any

import numpy as np

from dsae.config import listed
from dsae.interop._files import Settings, Tensors
from dsae.interop._one_layer import OneLayer
from dsae.store import Model

_CFG, _WEIGHTS = "config.json", "ae.pt"
# What reading a strange pickle may raise, warnings where they are errors; not MemoryError, which is of the machine.
_DAMAGED = (ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, OSError, PickleError,
            RuntimeError, StructError, TypeError, ValueError, Warning)  # fmt: skip


def read(folder: Path) -> Model:
    """The model in a folder."""
    cfg = Settings(folder / _CFG).inner("trainer")
    kind = cfg.text("dict_class")
    if kind not in _CLASSES:
        raise ValueError(f"{cfg.path} has the dict_class {kind!r}; dsae reads {listed(_CLASSES)}.")
    weights = Tensors(folder / _WEIGHTS, _tensors_of(folder / _WEIGHTS))
    k = None
    if "k" in weights:
        k = weights.whole("k")
        told = cfg.take("k", k)
        if told != k:
            raise ValueError(f"{cfg.path} has k {told!r}, but {_WEIGHTS} has {k}.")
    layer = _CLASSES[kind](weights, k)
    weights.end()
    layer.origin = {"format": "dictionary_learning", "dict_class": kind}
    return layer.to_model()


def _tensors_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict."""
    try:
        import torch
    except ImportError:
        raise ImportError(f"[import] {path} is a pickle of torch, which is not installed: pip install torch.") from None
    if not path.is_file():
        raise ValueError(f"{path} is missing; the folder was not copied whole.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} is no state dict that may be read safely: {line}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} must hold a state dict; got {type(state).__name__}.")
    return {str(name): _array(path, name, value) for name, value in state.items()}


def _array(path: Path, name: Any, value: Any) -> np.ndarray:
    import torch

    plain = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    # A view may claim more numbers than the file has.
    if not plain or value.is_quantized or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"{path}: {name} must be a plain tensor; got {type(value).__name__}.")
    value = value.detach().resolve_conj().resolve_neg()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()


def _relu(weights: Tensors, k: int | None) -> OneLayer:
    """``AutoEncoder``: the encoder sees rows without ``bias``, which the decoder adds again."""
    bias = weights.take("bias", "activation_dim")
    layer = OneLayer(*_encoder(weights), weights.take("decoder.weight", "activation_dim", "dict_size"), bias, "relu")
    layer.subtracting(bias)
    return layer


def _relu_of_april(weights: Tensors, k: int | None) -> OneLayer:
    """``AutoEncoderNew``, with a bias of the decoder that the encoder does not see."""
    decoder = weights.take("decoder.weight", "activation_dim", "dict_size")
    return OneLayer(*_encoder(weights), decoder, weights.take("decoder.bias", "activation_dim"), "relu")


def _topk(weights: Tensors, k: int | None) -> OneLayer:
    """``AutoEncoderTopK``; its threshold serves another way to encode, which is not the default."""
    weights.drop("threshold")
    return _linear(weights, "topk", k, None)


def _batchtopk(weights: Tensors, k: int | None) -> OneLayer:
    """``BatchTopKSAE``, which encodes by its threshold."""
    return _linear(weights, "batchtopk", k, weights.take("threshold"))


def _linear(weights: Tensors, code: str, k: int | None, threshold: np.ndarray | None) -> OneLayer:
    into, bias = _encoder(weights)
    decoder = weights.take("decoder.weight", "activation_dim", "dict_size")
    offset = weights.take("b_dec", "activation_dim")
    layer = OneLayer(into, bias, decoder, offset, code, _counted(weights, k), _spread(threshold, len(into)))
    layer.subtracting(offset)
    return layer


def _matryoshka(weights: Tensors, k: int | None) -> OneLayer:
    """``MatryoshkaBatchTopKSAE``: matrices the other way round; the sizes of its groups matter in training."""
    weights.drop("group_sizes")
    threshold = weights.take("threshold")
    layer = _by_matrices(weights, "batchtopk", _counted(weights, k), None)
    layer.threshold = _spread(threshold, len(layer.encoder))
    layer.subtracting(layer.decoder_bias)
    return layer


def _jumprelu(weights: Tensors, k: int | None) -> OneLayer:
    """``JumpReluAutoEncoder``, whose encoder sees rows as they are."""
    return _by_matrices(weights, "jumprelu", None, weights.take("threshold", "dict_size"))


def _by_matrices(weights: Tensors, code: str, k: int | None, threshold: np.ndarray | None) -> OneLayer:
    return OneLayer(
        weights.take("W_enc", "activation_dim", "dict_size").T,
        weights.take("b_enc", "dict_size"),
        weights.take("W_dec", "dict_size", "activation_dim").T,
        weights.take("b_dec", "activation_dim"),
        code,
        k,
        threshold,
    )


def _encoder(weights: Tensors) -> tuple[np.ndarray, np.ndarray]:
    return weights.take("encoder.weight", "dict_size", "activation_dim"), weights.take("encoder.bias", "dict_size")


def _counted(weights: Tensors, k: int | None) -> int:
    if k is None:
        raise ValueError(f"{weights.path} lacks the tensor k.")
    return k


def _spread(threshold: np.ndarray | None, n: int) -> np.ndarray | None:
    """One threshold for all latents; -1, of a model that has none yet, lets all that is positive through."""
    return None if threshold is None else np.full(n, float(threshold), np.float32)


_CLASSES: dict[str, Callable[[Tensors, int | None], OneLayer]] = {
    "AutoEncoder": _relu,
    "AutoEncoderNew": _relu_of_april,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batchtopk,
    "MatryoshkaBatchTopKSAE": _matryoshka,
    "JumpReluAutoEncoder": _jumprelu,
}

"""The arrays of a model as tensors of a file, validated on read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dsae.config import ACTIVATIONS, LOSSES, AutoencoderConfig, listed
from dsae.store._state import tensors_from_bytes, tensors_to_bytes
from dsae.topology import Layer, Topology

if TYPE_CHECKING:
    from dsae.store._model import Model

_UINT16_WIDTH = 2**16  # indices of narrower layers take two bytes


class Inputs(NamedTuple):
    """What training saw of every input, float32 ``[n_features]``: with it a model stands in for values not known.

    Attributes
    ----------
    mean : ndarray
        In the place of a value that is not known.
    low, high : ndarray
        The smallest and the largest value.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def tensors_of(model: Model) -> dict[str, np.ndarray]:
    """The arrays of a model by their names in the file."""
    tensors = {}
    for name, (topology, values, bias) in model.layers.items():
        tensors[f"{name}.values"] = np.ascontiguousarray(values, np.float32)
        tensors[f"{name}.bias"] = np.ascontiguousarray(bias, np.float32)
        if not topology.is_full:  # the indices of a full layer are known
            small = topology.shape[1] <= _UINT16_WIDTH
            tensors[f"{name}.indices"] = topology.indices.astype(np.uint16 if small else np.int32)
            tensors[f"{name}.indptr"] = topology.indptr.astype(np.int32)
    if model.threshold is not None:
        tensors["code.threshold"] = np.ascontiguousarray(model.threshold, np.float32)
    if model.importance is not None:
        tensors["input.importance"] = np.ascontiguousarray(model.importance, np.float32)
    if model.inputs is not None:
        tensors |= {f"input.{k}": np.ascontiguousarray(v, np.float32) for k, v in model.inputs._asdict().items()}
    return tensors | {f"loss.{name}": np.ascontiguousarray(v, np.float32) for name, v in model.extras.items()}


def weights_to_bytes(model: Model) -> bytes:
    """The arrays of a model as a safetensors file."""
    return tensors_to_bytes(tensors_of(model))


def read_weights(
    data: bytes, path: Path, config: AutoencoderConfig
) -> tuple[dict[str, Layer], np.ndarray | None, np.ndarray | None, Inputs | None, dict[str, np.ndarray]]:
    """Layers, threshold, importance, inputs and extras from the bytes of the file at ``path``."""
    unread = tensors_from_bytes(data, path)

    def take(key: str, kinds: tuple[str, ...], length: int) -> np.ndarray:
        if key not in unread:
            raise ValueError(f"{path} lacks the tensor {key}; the file is corrupt.")
        array = unread.pop(key)
        if array.dtype.name not in kinds or array.shape != (length,):
            wanted = f"{' or '.join(kinds)} of shape ({length},)"
            raise ValueError(f"{path}: {key} must be {wanted}; got {array.dtype} {array.shape}.")
        return array

    layers = {
        name: _read_layer(path, name, shape, config.block_size, take, unread)
        for name, shape in config.layer_shapes.items()
    }
    threshold = take("code.threshold", ("float32",), config.n_components) if "code.threshold" in unread else None
    importance = take("input.importance", ("float32",), config.n_features) if "input.importance" in unread else None
    inputs = _read_inputs(path, config, take) if config.missing == "mask" else None
    names = [key.removeprefix("loss.") for key in unread if key.startswith("loss.")]
    extras = {name: take(f"loss.{name}", ("float32",), config.output_width) for name in names}
    # What is not known may be what an attacker wants carried along, or a newer format: neither is ignored.
    if unread:
        raise ValueError(f"{path} holds tensors that the format does not know: {', '.join(sorted(unread))}.")
    if (threshold is None) == config.code.threshold:
        having = listed(name for name, activation in ACTIVATIONS.items() if activation.threshold)
        raise ValueError(f"{path}: code.threshold must be there for {having} codes only.")
    # Infinity is allowed: such a latent never fires.
    if threshold is not None and np.isnan(threshold).any():
        raise ValueError(f"{path}: code.threshold must hold no NaN.")
    if importance is not None and not (np.isfinite(importance).all() and (importance >= 0).all()):
        raise ValueError(f"{path}: input.importance must hold finite numbers of at least 0.")
    return layers, threshold, importance, inputs, extras


def _read_inputs(path: Path, config: AutoencoderConfig, take: Callable[..., np.ndarray]) -> Inputs:
    mean, low, high = (take(f"input.{name}", ("float32",), config.n_features) for name in Inputs._fields)
    if not (np.isfinite(mean).all() and np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
        raise ValueError(f"{path}: input.mean, input.low and input.high must be finite, and low not above high.")
    return Inputs(mean, low, high)


def check_extras(path: Path, extras: dict[str, np.ndarray], loss: Any) -> None:
    """Raise unless the loss has these numbers beside the weights, all finite."""
    if not all(np.isfinite(values).all() for values in extras.values()):
        raise ValueError(f"{path}: what the loss has trained must be finite numbers.")
    record = LOSSES.get(loss) if isinstance(loss, str) else None
    wanted = {extra.name for extra in record.extras} if record else set()
    if (record or loss is None) and set(extras) != wanted:
        raise ValueError(f"{path} must hold {sorted(wanted)} for its loss {loss!r}; got {sorted(extras)}.")


def _read_layer(
    path: Path, name: str, shape: tuple[int, int], block_size: int, take, unread: dict[str, np.ndarray]
) -> Layer:
    n_out, n_in = shape
    bias = take(f"{name}.bias", ("float32",), n_out)
    if f"{name}.indptr" not in unread:
        values = take(f"{name}.values", ("float32",), n_out * n_in)
        topology = Topology.full(shape, block_size)
    else:
        indptr = take(f"{name}.indptr", ("int32",), -(-n_out // block_size) + 1)
        if indptr[0] != 0 or np.any(indptr[1:] < indptr[:-1]):  # a difference of int32 would wrap around
            raise ValueError(f"{path}: {name}.indptr must rise from 0.")
        indices = take(f"{name}.indices", ("uint16", "int32"), int(indptr[-1])).astype(np.int32)
        try:
            topology = Topology(shape, np.array(indptr), indices, block_size)
        except ValueError as error:
            raise ValueError(f"{path}: {name} is corrupt. {error}") from None
        values = take(f"{name}.values", ("float32",), topology.nnz)
    if not (np.isfinite(values).all() and np.isfinite(bias).all()):
        raise ValueError(f"{path}: the weights of {name} must be finite.")
    return Layer(topology, values, bias)

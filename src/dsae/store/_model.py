"""The model folder: written whole or not at all, trusted in nothing when read. See docs/format.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dsae.config import ACTIVATIONS, AutoencoderConfig, known_keys, listed
from dsae.store._commit import check_replaceable, read_steadily, replaced
from dsae.store._state import files as state_files
from dsae.store._state import parse_json, read_state, read_text, write_state, write_text
from dsae.store._tensors import TensorFile, write_tensors
from dsae.topology import Layer, Topology

FORMAT_VERSION = 1
_UINT16_WIDTH = 2**16
_LEARNING = "learning"
_FILES = ("config.json", "model.safetensors", "history.jsonl", "metrics.json", *state_files(_LEARNING))
_HEADER_KEYS = ("format", "format_version", "model", "training", "feature_names")


@dataclass(frozen=True)
class Model:
    """All that a trained autoencoder is, in plain arrays.

    Parameters
    ----------
    config : AutoencoderConfig
    layers : dict of str to Layer
        By name, from the input to the output, as in ``config.layer_shapes``.
    threshold : ndarray of float32, shape (n_components,), optional
        Below it a latent of a ``batchtopk`` or ``jumprelu`` code is zero.
    training : dict
        The parameters it was fitted with, as JSON can hold them.
    feature_names : list of str, optional
    history : list of dict
        One row per epoch.
    metrics : dict
    importance : ndarray of float32, shape (n_features,), optional
        What training saw of each input, not negative; see `dsae.interpret.feature_importances`.
    learning : dict, optional
        What `partial_fit` goes on from, Adam's moments above all: dicts of arrays and JSON.
    """

    config: AutoencoderConfig
    layers: dict[str, Layer]
    threshold: np.ndarray | None = None
    training: dict[str, Any] = field(default_factory=dict)
    feature_names: list[str] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    importance: np.ndarray | None = None
    learning: dict[str, Any] | None = None

    @property
    def nnz(self) -> int:
        """Live weights in all layers; biases are not counted."""
        return sum(layer.topology.nnz for layer in self.layers.values())

    @property
    def density(self) -> float:
        """Live share of all weights."""
        return self.nnz / sum(layer.topology.size for layer in self.layers.values())


def write(folder: str | Path, model: Model) -> Path:
    """Save ``model`` as ``folder``; an older model there is replaced only by a whole new one.

    Raises
    ------
    ValueError
        If something that is not a model is in the way.
    OSError
        If the folder cannot be written.
    """
    for name, (_, values, bias) in model.layers.items():
        if not (np.isfinite(values).all() and np.isfinite(bias).all()):
            raise ValueError(f"[save] The weights of {name} must be finite; the model diverged and cannot be saved.")
    with replaced(folder, _check_replaceable) as draft:
        _write_files(draft, model)
    return Path(folder).resolve()


def check_target(folder: str | Path) -> None:
    """Raise what `write` would raise before its first file, so that nobody trains for a folder in the way."""
    check_replaceable(folder, _check_replaceable)


def _check_replaceable(target: Path) -> None:
    replaceable = (target / "config.json").is_file() or (target.is_dir() and not any(target.iterdir()))
    if target.exists() and not replaceable:
        raise ValueError(f"[save] {target} exists and is not a model folder; choose another path or remove it.")


def _write_files(folder: Path, model: Model) -> None:
    header = {
        "format": "dsae",
        "format_version": FORMAT_VERSION,
        "model": model.config.to_dict(),
        "training": model.training,
        "feature_names": model.feature_names,
    }
    write_text(folder / "config.json", json.dumps(header, indent=2) + "\n")
    write_text(folder / "metrics.json", json.dumps(model.metrics, indent=2) + "\n")
    write_text(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in model.history))
    write_text(folder / "README.md", _card(model))
    write_tensors(folder / "model.safetensors", _tensors(model))
    if model.learning is not None:
        write_state(folder, _LEARNING, model.learning)


def _tensors(model: Model) -> dict[str, np.ndarray]:
    tensors = {}
    for name, (topology, values, bias) in model.layers.items():
        tensors[f"{name}.values"] = np.ascontiguousarray(values, np.float32)
        tensors[f"{name}.bias"] = np.ascontiguousarray(bias, np.float32)
        if not topology.is_full:
            small = topology.shape[1] <= _UINT16_WIDTH
            tensors[f"{name}.indices"] = topology.indices.astype(np.uint16 if small else np.int32)
            tensors[f"{name}.indptr"] = topology.indptr.astype(np.int32)
    if model.threshold is not None:
        tensors["code.threshold"] = np.ascontiguousarray(model.threshold, np.float32)
    if model.importance is not None:
        tensors["input.importance"] = np.ascontiguousarray(model.importance, np.float32)
    return tensors


def _card(model: Model) -> str:
    c = model.config
    widths = "-".join(str(width) for width in (*c.encoder_widths, *c.decoder_widths[1:]))
    lines = [
        "# A deep sparse autoencoder",
        "",
        f"- layers: {widths}, {c.activation} hidden, {c.code_activation} code, {c.output_activation} output",
        f"- weights: {model.nnz:,} non-zero, density {model.density:.4f}",
        *(f"- {name}: {value:.6g}" for name, value in model.metrics.items() if isinstance(value, int | float)),
        "",
        "```python",
        "import dsae",
        'codes = dsae.load("this folder").encode(X)  # needs numpy, no torch',
        "```",
        "",
    ]
    return "\n".join(lines)


def read(folder: str | Path, learning: bool = False) -> Model:
    """Load a model folder, as it was at one moment.

    Parameters
    ----------
    folder : str or Path
    learning : bool
        Whether to read what more training goes on from, where it is there.

    Raises
    ------
    ValueError
        If the folder is no model, was cut short, comes from a newer format, or contradicts itself.
    OSError
        If it cannot be read.
    """
    path = Path(folder)
    try:
        return read_steadily(path, _FILES, lambda: _read(path, learning))
    except ValueError as error:
        raise ValueError(f"[load] {error}") from None
    except MemoryError:
        raise OSError(f"[load] {path} needs more memory than there is.") from None


def _read(path: Path, learning: bool) -> Model:
    if not (path / "config.json").is_file():
        raise ValueError(f"{path} is not a model folder: it has no config.json.")
    header = _read_header(path)
    config = _read_config(path / "config.json", header)
    layers, threshold, importance = _read_tensors(path / "model.safetensors", config)
    history = path / "history.jsonl"
    metrics = path / "metrics.json"
    lines = read_text(history).splitlines() if history.is_file() else []
    return Model(
        config=config,
        layers=layers,
        threshold=threshold,
        training=header.get("training") or {},
        feature_names=header.get("feature_names"),
        history=[_mapping(history, parse_json(history, line)) for line in lines],
        metrics=_mapping(metrics, parse_json(metrics, read_text(metrics))) if metrics.is_file() else {},
        importance=importance,
        learning=_read_learning(path) if learning else None,
    )


def _read_learning(path: Path) -> dict[str, Any] | None:
    there = [(path / name).is_file() for name in state_files(_LEARNING)]
    if not any(there):
        return None
    if not all(there):
        raise ValueError(f"{path} must have both {' and '.join(state_files(_LEARNING))}, or neither.")
    return read_state(path, _LEARNING)


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    header = parse_json(path, read_text(path))
    if not isinstance(header, dict) or header.get("format") != "dsae":
        raise ValueError(f"{path} does not describe a dsae model.")
    version = header.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{path} must give format_version as a whole number; got {version!r}.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{folder} has format version {version}, newer than the {FORMAT_VERSION} that this dsae "
            "reads; upgrade dsae."
        )
    return header


def _read_config(path: Path, header: dict[str, Any]) -> AutoencoderConfig:
    if not isinstance(header.get("model"), dict):
        raise ValueError(f"{path} lacks the model's configuration.")
    try:
        known_keys("the file", header, _HEADER_KEYS)
        config = AutoencoderConfig.from_dict(header["model"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(header.get("training") or {}, dict):
        raise ValueError(f"{path}: training must be a mapping.")
    names = header.get("feature_names")
    if names is not None and not (
        isinstance(names, list) and len(names) == config.n_features and all(isinstance(n, str) for n in names)
    ):
        raise ValueError(f"{path} must name {config.n_features} features.")
    return config


def _mapping(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold mappings; got {type(content).__name__}.")
    return content


def _read_tensors(
    path: Path, config: AutoencoderConfig
) -> tuple[dict[str, Layer], np.ndarray | None, np.ndarray | None]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; the model folder was cut short.")
    with TensorFile(path) as file:
        unread = set(file.slots)

        def take(key: str, kinds: tuple[str, ...], length: int) -> np.ndarray:
            if key not in unread:
                raise ValueError(f"{path} lacks the tensor {key}; the file is damaged.")
            unread.remove(key)
            kind, shape = file.slots[key][:2]
            if kind not in kinds or shape != (length,):
                wanted = f"{' or '.join(kinds)} of shape ({length},)"
                raise ValueError(f"{path}: {key} must be {wanted}; got {kind} {shape}.")
            return file.read(key)

        layers = {name: _read_layer(path, name, shape, take, unread) for name, shape in config.layer_shapes.items()}
        threshold = take("code.threshold", ("F32",), config.n_components) if "code.threshold" in unread else None
        importance = take("input.importance", ("F32",), config.n_features) if "input.importance" in unread else None
    if unread:
        raise ValueError(f"{path} holds tensors that the format does not know: {', '.join(sorted(unread))}.")
    if (threshold is None) == config.code.threshold:
        having = listed(name for name, activation in ACTIVATIONS.items() if activation.threshold)
        raise ValueError(f"{path}: code.threshold must be there for {having} codes only.")
    if threshold is not None and np.isnan(threshold).any():
        raise ValueError(f"{path}: code.threshold must hold no NaN.")
    if importance is not None and not (np.isfinite(importance).all() and (importance >= 0).all()):
        raise ValueError(f"{path}: input.importance must hold finite numbers of at least 0.")
    return layers, threshold, importance


def _read_layer(path: Path, name: str, shape: tuple[int, int], take, unread: set[str]) -> Layer:
    n_out, n_in = shape
    bias = take(f"{name}.bias", ("F32",), n_out)
    if f"{name}.indptr" not in unread:
        values = take(f"{name}.values", ("F32",), n_out * n_in)
        topology = Topology.full(shape)
    else:
        indptr = take(f"{name}.indptr", ("I32",), n_out + 1)
        if indptr[0] != 0 or np.any(indptr[1:] < indptr[:-1]):  # a difference of int32 would wrap around
            raise ValueError(f"{path}: {name}.indptr must rise from 0.")
        nnz = int(indptr[-1])
        indices = take(f"{name}.indices", ("U16", "I32"), nnz).astype(np.int32)
        try:
            topology = Topology(shape, np.array(indptr), indices)
        except ValueError as error:
            raise ValueError(f"{path}: {name} is damaged. {error}") from None
        values = take(f"{name}.values", ("F32",), nnz)
    if not (np.isfinite(values).all() and np.isfinite(bias).all()):
        raise ValueError(f"{path}: the weights of {name} must be finite.")
    return Layer(topology, values, bias)

"""A joint model's folder: an ordinary model folder for each modality, committed together."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dsae.config import JointConfig
from dsae.sampling import Sampler, state_of
from dsae.store._card import page
from dsae.store._commit import Committed, commit, committed, holds_only, write_beside
from dsae.store._header import FORMAT
from dsae.store._model import SAMPLER, WEIGHTS, Model, check_finite, header_of, model_of, read_sampler
from dsae.store._state import state_from_bytes, state_to_bytes, tensors_from_bytes, tensors_to_bytes
from dsae.store._text import parse_json, read_text
from dsae.store._weights import weights_to_bytes

JOINT_HEAD, _FORMAT, _VERSION = "joint.json", "dsae joint", 1
_WEIGHTS, _LEARNING = "joint.safetensors", "learning.safetensors"
_ENCODERS, _SEVERAL, _ENDING = "encoders.json", "dsae encoders", ".safetensors"
_LARGEST_ENCODER = 1 << 27  # characters


@dataclass(frozen=True)
class JointModel:
    """Trained autoencoders of several modalities that share one code.

    Parameters
    ----------
    config : JointConfig
    models : dict of str to Model
        By modality.
    weight : dict of str to ndarray of float32, shape (n_components,)
        How much each modality counts in each latent of the joint code; positive.
    encoders : dict of str to str
        What makes rows of pictures, sounds, texts or tables, as JSON; see `dsae.features`.
    totals : dict of str to float
        Mean total of a row, of modalities that hold counts.
    training : dict
        The parameters it was fitted with, as JSON can hold them.
    history : list of dict
    metrics : dict
    learning : dict, optional
        The state from which `partial_fit` continues.
    sampler : dsae.sampling.Sampler, optional
        Of joint codes.
    """

    config: JointConfig
    models: dict[str, Model]
    weight: dict[str, np.ndarray]
    encoders: dict[str, str] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    learning: dict[str, Any] | None = None
    sampler: Sampler | None = None

    @property
    def nnz(self) -> int:
        """Active weights in all layers; biases and the weights of modalities are not counted."""
        return sum(model.nnz for model in self.models.values())

    @property
    def density(self) -> float:
        """Active share of all weights."""
        layers = [layer for model in self.models.values() for layer in model.layers.values()]
        return self.nnz / sum(layer.topology.size for layer in layers)


def write_joint(folder: str | Path, model: JointModel) -> Path:
    """Save a joint model as ``folder``, atomically replacing an older one there.

    One `os.replace` of ``joint.json`` commits the files of all modalities. Heads that let every subfolder be used, or
    copied, by itself are written after it; while they lie in the folder, its ``joint.json`` is read in their place.

    Raises
    ------
    ValueError
        If something that is not a joint model is in the way, or the model diverged.
    OSError
        If the folder cannot be written.
    """
    for name, of in model.models.items():
        check_finite(of, f"{name}'s ")
    target = Path(os.path.realpath(folder))
    check_joint_target(target)
    headers = {name: header_of(of) for name, of in model.models.items()}
    commit(target, JOINT_HEAD, _content(model, headers), _files(model))
    found = Committed(target, JOINT_HEAD)
    for name, header in headers.items():
        listed = {WEIGHTS: found.listed.get(f"{name}/{WEIGHTS}")}
        write_beside(target / name / "config.json", {**header, "commit": found.content["commit"], "files": listed})
    if model.encoders:  # as `dsae prepare` takes them; joint.json is what is read
        write_beside(target / _ENCODERS, _for_prepare(model.encoders))
    else:
        _forget(target / _ENCODERS, _SEVERAL)
    write_beside(target / "README.md", joint_card(model))
    for path in list(target.iterdir()):
        gone = path.name not in found.content["modalities"]  # of a joint model that was here before
        if gone and not any(path.glob(f"*{_ENDING}")) and _forget(path / "config.json", FORMAT):
            with contextlib.suppress(OSError):
                path.rmdir()
    return target


def _forget(path: Path, form: str) -> bool:
    """Remove a file that was written beside the commit of an earlier model, if it is one."""
    if path.parent.is_symlink() or path.is_symlink() or not path.is_file():
        return False
    with contextlib.suppress(ValueError, OSError):
        content = parse_json(path, read_text(path))
        if isinstance(content, dict) and content.get("format") == form:
            path.unlink()
            return True
    return False


def _for_prepare(encoders: dict[str, str]) -> dict[str, Any]:
    """One file of all encoders, in the form of `dsae.features.encoders_to_json`."""
    known = {name: json.loads(text) for name, text in encoders.items()}
    rest = {name: {k: v for k, v in of.items() if k not in ("format", "format_version")} for name, of in known.items()}
    return {"format": _SEVERAL, "format_version": 1, "modalities": rest}


def check_joint_target(folder: str | Path) -> None:
    """Raise where `write_joint` would refuse the folder."""
    target = Path(os.path.realpath(folder))
    if target.exists() and not holds_only(target, JOINT_HEAD, _FORMAT):
        raise ValueError(f"[save] {target} exists and is not the folder of a joint model; choose another path.")


def _content(model: JointModel, headers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "format_version": _VERSION,
        "joint": model.config.to_dict(),
        "training": model.training,
        "encoders": model.encoders,
        "totals": model.totals,
        "metrics": model.metrics,
        "history": model.history,
        "modalities": headers,
    }


def _files(model: JointModel) -> Iterator[tuple[str, bytes]]:
    for name, of in model.models.items():
        yield f"{name}/{WEIGHTS}", weights_to_bytes(of)
    weight = {f"{name}.weight": np.ascontiguousarray(w, np.float32) for name, w in model.weight.items()}
    yield _WEIGHTS, tensors_to_bytes(weight)
    if model.learning is not None:
        yield _LEARNING, state_to_bytes(model.learning)
    if model.sampler is not None:
        yield SAMPLER, state_to_bytes(state_of(model.sampler))


def joint_card(model: JointModel, license: str | None = None, address: str | None = None) -> str:
    """The page beside a joint model; see `card`."""
    config = model.config
    example = ", ".join(f'"{name}": rows' for name in config.names[:1])
    facts = [
        *(
            f"- {name}: {of.n_features} columns, loss {(config.losses or {})[name]}"
            for name, of in config.modalities.items()
        ),
        f"- code: {config.n_components} numbers, {config.code_activation}",
        f"- weights: {model.nnz:,} non-zero, density {model.density:.4f}",
    ]
    return page(
        "A sparse autoencoder of several modalities",
        ("dsae", "multimodal", "sparse-autoencoder"),
        facts,
        f"{{{example}}}",
        model.metrics,
        license,
        address,
    )


def read_joint(folder: str | Path, learning: bool = False) -> JointModel:
    """Load the folder of a joint model, consistently even while another process saves over it.

    Raises
    ------
    ValueError
        If it is no such folder, is truncated, comes from a newer format, or contradicts itself.
    OSError
        If it cannot be read.
    """
    path = Path(folder)
    try:
        if not is_joint(path):
            raise ValueError(f"{path} is not the folder of a joint model: it has no {JOINT_HEAD}.")
        return committed(path, JOINT_HEAD, lambda found: _read(found, learning))
    except ValueError as error:
        raise ValueError(f"[load] {error}") from None
    except MemoryError:
        raise OSError(f"[load] {path} needs more memory than there is.") from None


def is_joint(folder: str | Path) -> bool:
    """Whether a folder holds a joint model, whole or not."""
    return (Path(folder) / JOINT_HEAD).is_file()


def read_modality(folder: str | Path) -> Model | None:
    """The model of one modality from the joint model of which ``folder`` is a part; None where it is none.

    Raises
    ------
    ValueError
        If the joint model is damaged.
    """
    path = Path(os.path.realpath(folder))
    try:
        if not is_modality(path):
            return None
        return committed(path.parent, JOINT_HEAD, lambda found: _modality(found, path.name))
    except ValueError as error:
        raise ValueError(f"[load] {error}") from None


def is_modality(folder: Path) -> bool:
    """Whether a folder is that of a modality in a joint model.

    Raises
    ------
    ValueError
        If the joint model is damaged.
    """
    if not is_joint(folder.parent):
        return False
    return f"{folder.name}/{WEIGHTS}" in Committed(folder.parent, JOINT_HEAD).listed


def _modality(found: Committed, name: str) -> Model:
    headers = found.content.get("modalities")
    header = headers.get(name) if isinstance(headers, dict) else None
    if not isinstance(header, dict):
        raise ValueError(f"{found.head} must describe the modality {name!r}.")
    return model_of(found, header, f"{name}/{WEIGHTS}")


def _read(found: Committed, learning: bool) -> JointModel:
    content, head = found.content, found.head
    version = content.get("format_version")
    if content.get("format") != _FORMAT or type(version) is not int:
        raise ValueError(f"{head} does not describe a joint model of dsae.")
    if version != _VERSION:
        raise ValueError(f"{found.folder} has format version {version}; this dsae reads {_VERSION}. Upgrade dsae.")
    if not isinstance(content.get("joint"), dict):
        raise ValueError(f"{head} lacks the joint model's configuration.")
    try:
        config = JointConfig.from_dict(content["joint"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{head}: {error}") from None
    models = {name: _modality(found, name) for name in config.names}
    for name, model in models.items():
        if model.config != config.modalities[name]:
            raise ValueError(f"{head}: the model of {name!r} must have the configuration that the joint model gives.")
    history = content.get("history")
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise ValueError(f"{head}: history must be a list of mappings.")
    for name in ("training", "metrics", "encoders", "totals"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{head}: {name} must be a mapping.")
    return JointModel(
        config,
        models,
        found.read(_WEIGHTS, lambda data, path: _weights(data, path, config)),
        _encoders(head, content.get("encoders", {}), config),
        _totals(head, content.get("totals", {}), config),
        content.get("training", {}),
        history,
        content.get("metrics", {}),
        found.read(_LEARNING, state_from_bytes) if learning and _LEARNING in found.listed else None,
        read_sampler(found, config.n_components) if SAMPLER in found.listed else None,
    )


def _weights(data: bytes, path: Path, config: JointConfig) -> dict[str, np.ndarray]:
    arrays = tensors_from_bytes(data, path)
    if set(arrays) != {f"{name}.weight" for name in config.names}:
        raise ValueError(f"{path} must hold a weight for each of {', '.join(config.names)}; got {sorted(arrays)}.")
    found = {name: arrays[f"{name}.weight"] for name in config.names}
    for name, weight in found.items():
        fits = weight.dtype == np.float32 and weight.shape == (config.n_components,)
        if not fits or not (np.isfinite(weight).all() and (weight > 0).all()):
            raise ValueError(f"{path}: {name}.weight must hold {config.n_components} positive numbers of float32.")
    return found


def _encoders(head: Path, found: dict[str, Any], config: JointConfig) -> dict[str, str]:
    for name, text in found.items():
        if name not in config.names or not isinstance(text, str) or len(text) > _LARGEST_ENCODER:
            raise ValueError(f"{head}: encoders must be texts of the modalities {', '.join(config.names)}.")
    return found


def _totals(head: Path, found: dict[str, Any], config: JointConfig) -> dict[str, float]:
    for name, total in found.items():
        usable = isinstance(total, (int, float)) and not isinstance(total, bool) and 0 < total < float("inf")
        if name not in config.names or not usable:
            raise ValueError(f"{head}: totals must be positive numbers of the modalities {', '.join(config.names)}.")
    return {name: float(total) for name, total in found.items()}

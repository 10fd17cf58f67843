"""Model folder: written atomically, validated on read. See docs/format.md."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dsae.config import AutoencoderConfig
from dsae.features import Schema
from dsae.sampling import Sampler, sampler_of, state_of
from dsae.store._card import card
from dsae.store._commit import (
    Committed,
    check_writable,
    commit,
    committed,
    holds_only,
    write_beside,
)
from dsae.store._header import (
    FORMAT,
    FORMAT_VERSION,
    history_rows,
    mapping,
    read_config,
    read_table,
    read_version_1,
    version_of,
)
from dsae.store._state import state_from_bytes, state_to_bytes, tensors_to_bytes
from dsae.store._weights import Inputs, check_extras, read_weights, tensors_of
from dsae.topology import Layer

HEAD = "config.json"
# the head of a folder that DSAOutlierDetector.save writes, and its format
_DETECTOR, _DETECTOR_FORMAT = "detector.json", "dsae outlier detector"
WEIGHTS = "model.safetensors"
LEARNING = "learning.safetensors"
SAMPLER = "sampler.safetensors"
_HEADER_KEYS = ("format", "format_version", "model", "training", "feature_names")
_HEADER_KEYS_2 = (*_HEADER_KEYS, "target_names", "table", "metrics", "history", "commit", "files")
FILES_1 = (WEIGHTS, "history.jsonl", "metrics.json", "learning.json", LEARNING)


@dataclass(frozen=True)
class Model:
    """A trained autoencoder in plain arrays.

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
    extras : dict of str to ndarray of float32, shape (n_features,)
        What its loss trained beside the weights; see `dsae.config.Loss`.
    importance : ndarray of float32, shape (n_features,), optional
        What training saw of each input, not negative; see `dsae.interpret.feature_importances`.
    inputs : Inputs, optional
        Of a model with ``missing="mask"``.
    learning : dict, optional
        The state from which `partial_fit` continues, such as Adam's moments: dicts of arrays and JSON.
    table : dsae.features.Schema, optional
        The columns of the table whose rows its features are.
    target_names : list of str, optional
        Of the columns that it predicts, where those are not its features.
    sampler : dsae.sampling.Sampler, optional
        What draws new codes. It belongs to these weights: whoever changes the code leaves it out.
    """

    config: AutoencoderConfig
    layers: dict[str, Layer]
    threshold: np.ndarray | None = None
    training: dict[str, Any] = field(default_factory=dict)
    feature_names: list[str] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    importance: np.ndarray | None = None
    inputs: Inputs | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    learning: dict[str, Any] | None = None
    table: Schema | None = None
    target_names: list[str] | None = None
    sampler: Sampler | None = None

    @property
    def output_names(self) -> list[str] | None:
        """Names of the columns of a reconstruction, where they are known."""
        if self.target_names is not None or self.config.n_outputs is not None:
            return self.target_names
        return self.feature_names

    @property
    def nnz(self) -> int:
        """Active weights in all layers; biases are not counted."""
        return sum(layer.topology.nnz for layer in self.layers.values())

    @property
    def density(self) -> float:
        """Active share of all weights."""
        return self.nnz / sum(layer.topology.size for layer in self.layers.values())


def write(folder: str | Path, model: Model) -> Path:
    """Save ``model`` as ``folder``, atomically replacing an older model there.

    Raises
    ------
    ValueError
        If something that is not a model is in the way, or the model holds what cannot be read again.
    OSError
        If the folder cannot be written.
    """
    check_finite(model)
    if (model.config.missing == "mask") != (model.inputs is not None):
        raise ValueError('[save] A model with missing="mask", and no other, must have inputs: what stands for NaN.')
    target = Path(os.path.realpath(folder))  # a link to a model stays a link
    _check_replaceable(target)
    stale = [target / name for name in FILES_1] if _is_version_1(target) else []
    commit(target, HEAD, header_of(model), _files(model))
    for path in stale:  # not before the commit: until then they are the model
        with contextlib.suppress(OSError):
            path.unlink()
    # for people alone: no commit lists it, and none is lost with it
    write_beside(target / "README.md", card(model))
    return target


def check_finite(model: Model, whose: str = "") -> None:
    """Raise unless the weights can be read again."""
    for name, (_, values, bias) in model.layers.items():
        if not (np.isfinite(values).all() and np.isfinite(bias).all()):
            raise ValueError(
                f"[save] The weights of {whose}{name} must be finite; the model diverged and cannot be saved."
            )


def check_target(folder: str | Path, *, detector: bool = False) -> None:
    """Raise what `write` would raise before its first file, so that no training is lost to a folder in the way.

    Parameters
    ----------
    folder : str or Path
    detector : bool
        Whether it is to hold an outlier detector, and no model.
    """
    target = Path(os.path.realpath(folder))
    if detector and target.exists() and not holds_only(target, _DETECTOR, _DETECTOR_FORMAT):
        raise ValueError(f"[save] {target} exists and is not a detector's folder; choose another path or remove it.")
    if not detector:
        _check_replaceable(target)
    check_writable(folder)


def holds_detector(folder: str | Path) -> bool:
    """Whether a folder holds an outlier detector, which `read` refuses."""
    return (Path(folder) / _DETECTOR).is_file() and not (Path(folder) / HEAD).is_file()


def _check_replaceable(target: Path) -> None:
    from dsae.store._joint import is_modality

    if is_modality(target):
        raise ValueError(f"[save] {target} is part of the joint model in {target.parent}; choose another path.")
    if target.exists() and not holds_only(target, HEAD, FORMAT):
        raise ValueError(f"[save] {target} exists and is not a model folder; choose another path or remove it.")


def _is_version_1(target: Path) -> bool:
    with contextlib.suppress(ValueError, OSError):
        return Committed(target, HEAD).content.get("format_version") == 1
    return False


def header_of(model: Model) -> dict[str, Any]:
    table = {} if model.table is None else {"table": model.table.to_dict()}
    target = {} if model.target_names is None else {"target_names": model.target_names}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": model.config.to_dict(),
        "training": model.training,
        "feature_names": model.feature_names,
        **target,
        **table,
        "metrics": model.metrics,
        "history": model.history,
    }


def _files(model: Model) -> Iterator[tuple[str, bytes]]:
    yield WEIGHTS, tensors_to_bytes(tensors_of(model))
    if model.learning is not None:
        yield LEARNING, state_to_bytes(model.learning)
    if model.sampler is not None:
        yield SAMPLER, state_to_bytes(state_of(model.sampler))


def read(folder: str | Path, learning: bool = False) -> Model:
    """Load a model folder, consistently even while another process saves over it.

    Parameters
    ----------
    folder : str or Path
    learning : bool
        Whether to read the state from which training continues, if there is any.

    Raises
    ------
    ValueError
        If the folder is no model, is truncated, comes from a newer format, or contradicts itself.
    OSError
        If it cannot be read.
    """
    from dsae.store._joint import is_joint, read_modality  # which is made of these models

    path = Path(folder)
    part = read_modality(path)
    if part is not None:
        return part
    try:
        if not (path / HEAD).is_file():
            if is_joint(path):
                raise ValueError(
                    f"{path} must hold one autoencoder; it holds a joint model of several. Read it with dsae.load or "
                    f"MultimodalAutoencoder.load, or one of its subfolders."
                )
            if holds_detector(path):
                raise ValueError(
                    f"{path} must hold an autoencoder or a recommender; it holds an outlier detector. Use it with dsae "
                    "score, or in Python with DSAOutlierDetector.load."
                )
            raise ValueError(f"{path} is not a model folder: it has no {HEAD}.")
        return committed(path, HEAD, lambda found: _read(found, learning))
    except ValueError as error:
        raise ValueError(f"[load] {error}") from None
    except MemoryError:
        raise OSError(f"[load] {path} needs more memory than there is.") from None


def _read(found: Committed, learning: bool) -> Model:
    version = version_of(found)
    if version > 1:
        return model_of(found, found.content, WEIGHTS, learning)
    header, head, path = found.content, found.head, found.folder / WEIGHTS
    history, metrics = read_version_1(found.folder)
    config = read_config(head, header, _HEADER_KEYS)
    if not path.is_file():
        raise ValueError(f"{path} is missing; the folder was not copied whole.")
    weights = read_weights(path.read_bytes(), path, config)
    return _assembled(head, path, {**header, "history": history, "metrics": metrics}, config, weights)


def model_of(found: Committed, header: dict[str, Any], file: str, learning: bool = False) -> Model:
    """The model that ``header`` describes, whose weights are in ``file`` of a commit.

    Raises
    ------
    ValueError
        If the two are not whole, or contradict each other.
    """
    config = read_config(found.head, header, _HEADER_KEYS_2)
    weights = found.read(file, lambda data, path: read_weights(data, path, config))
    model = _assembled(found.head, found.path(file), header, config, weights)
    if file == WEIGHTS and SAMPLER in found.listed:  # of one model; a joint one may have its own
        model = replace(model, sampler=read_sampler(found, config.n_components))
    if learning and LEARNING in found.listed:
        return replace(model, learning=found.read(LEARNING, state_from_bytes))
    return model


def _assembled(
    head: Path, path: Path, header: dict[str, Any], config: AutoencoderConfig, weights: tuple[Any, ...]
) -> Model:
    training = header.get("training") or {}
    layers, threshold, importance, inputs, extras = weights
    check_extras(path, extras, training.get("loss"))
    return Model(
        config=config,
        layers=layers,
        threshold=threshold,
        training=training,
        feature_names=header.get("feature_names"),
        history=history_rows(head, header.get("history")),
        metrics=mapping(head, "metrics", header.get("metrics")),
        importance=importance,
        inputs=inputs,
        extras=extras,
        table=read_table(head, header.get("table"), header.get("feature_names")),
        target_names=header.get("target_names"),
    )


def read_sampler(found: Committed, n_components: int) -> Sampler:
    """The sampler of a commit that lists one, of codes of this width.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    return found.read(SAMPLER, lambda data, path: sampler_of(state_from_bytes(data, path), path, n_components))


def model_from_bytes(data: bytes, path: Path, config: AutoencoderConfig) -> Model:
    """A model of ``config``, from the file at ``path`` that `weights_to_bytes` made.

    Raises
    ------
    ValueError
        If the file is damaged, or not of such a model.
    """
    layers, threshold, importance, inputs, extras = read_weights(data, path, config)
    check_extras(path, extras, None)
    return Model(config, layers, threshold, importance=importance, inputs=inputs, extras=extras)

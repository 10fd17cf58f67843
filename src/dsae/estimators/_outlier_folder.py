"""A fitted outlier detector as a folder: its members as models, and what is usual of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dsae.config import AutoencoderConfig, plain
from dsae.estimators._rarity import Rarity
from dsae.estimators._usual import Squash, Usual
from dsae.features import Schema
from dsae.runtime import Runtime
from dsae.store import (
    Committed,
    check_target,
    commit,
    committed,
    model_from_bytes,
    state_from_bytes,
    state_to_bytes,
    weights_to_bytes,
)

_HEAD, _FORMAT, _VERSION = "detector.json", "dsae outlier detector", 1
FILES = _HEAD, "*.safetensors"
"""Patterns of all that a detector's folder holds."""
_ARRAYS = ("error", "center", "whitening", "metric", "neighbours")


class Detector(NamedTuple):
    """What a detector has learned.

    Attributes
    ----------
    parameters : dict
        Of the estimator, as JSON can hold them.
    members : list of Usual
    rarity : Rarity, optional
    offset : float
    feature_names : list of str, optional
    table : Schema, optional
        Of the table whose rows it was fitted to.
    """

    parameters: dict[str, Any]
    members: list[Usual]
    rarity: Rarity | None
    offset: float
    feature_names: list[str] | None
    table: Schema | None = None


def write(folder: str | Path, detector: Detector) -> Path:
    """Save ``detector`` as ``folder``, atomically replacing an older one there.

    Raises
    ------
    ValueError
        If something that is not a detector is in the way.
    OSError
        If the folder cannot be written.
    """
    target = Path(os.path.realpath(folder))
    check_target(target, detector=True)
    content = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "parameters": plain(detector.parameters),
        "feature_names": detector.feature_names,
        **({} if detector.table is None else {"table": detector.table.to_dict()}),
        "offset": detector.offset,
        "members": [_described(usual) for usual in detector.members],
    }
    commit(target, _HEAD, content, _files(detector))
    return target


def _described(usual: Usual) -> dict[str, Any]:
    return {"model": usual.runtime.config.to_dict(), "nearest": usual.nearest, "whole": bool(usual.whole)}


def _files(detector: Detector) -> Iterator[tuple[str, bytes]]:
    squash = detector.members[0].squash
    usual: dict[str, Any] = {} if squash is None else {"squash": squash._asdict()}
    if detector.rarity is not None:
        usual["rarity"] = {name: np.ascontiguousarray(array) for name, array in detector.rarity._asdict().items()}
    for i, member in enumerate(detector.members):
        usual[f"{i}"] = {name: np.ascontiguousarray(getattr(member, name)) for name in _ARRAYS}
        yield f"members/{i}.safetensors", weights_to_bytes(member.runtime.model)
    yield "usual.safetensors", state_to_bytes(usual)


def read(folder: str | Path) -> Detector:
    """The detector in ``folder``.

    Raises
    ------
    ValueError
        If it is no detector's folder, is truncated, or comes from a newer version.
    OSError
        If it cannot be read.
    """
    path = Path(folder)
    try:
        if not (path / _HEAD).is_file():
            raise ValueError(f"{path} is not a detector's folder: it has no {_HEAD}.")
        return committed(path, _HEAD, _read)
    except ValueError as error:
        raise ValueError(f"[load] {error}") from None


def _read(found: Committed) -> Detector:
    content, path = found.content, found.head
    if content.get("format") != _FORMAT or content.get("format_version") != _VERSION:
        raise ValueError(f"{path} must be of format {_FORMAT!r}, version {_VERSION}.")
    described, parameters, offset = content.get("members"), content.get("parameters"), content.get("offset")
    listed = isinstance(described, list) and described and all(isinstance(each, dict) for each in described)
    if not (listed and isinstance(parameters, dict) and isinstance(offset, float)):
        raise ValueError(f"{path} must have members, parameters and an offset.")
    usual = found.read("usual.safetensors", state_from_bytes)
    squash = None if "squash" not in usual else Squash(**_arrays(path, usual["squash"], Squash._fields))
    members = [_member(found, i, each, usual.get(str(i)), squash) for i, each in enumerate(described)]
    rarity = _rarity(path, usual, members[0]) if squash is not None else None
    table = None if content.get("table") is None else Schema.from_dict(content["table"])
    if table is not None and len(table.feature_names) != members[0].runtime.config.n_features:
        raise ValueError(f"{path}: table must give the features of the members.")
    return Detector(parameters, members, rarity, offset, content.get("feature_names"), table)


def _rarity(path: Path, usual: dict[str, Any], member: Usual) -> Rarity:
    rarity = Rarity(**_arrays(path, usual.get("rarity"), Rarity._fields))
    n_features, shape = member.runtime.config.n_features, rarity.surprise.shape
    fits = len(shape) == 3 and shape[0] > 0 and shape[1] == n_features and shape[2] > 0 and rarity.unit.shape == (3,)
    if not (fits and rarity.low.shape == rarity.width.shape == shape[:2] and (rarity.width > 0).all()):
        raise ValueError(f"{path}: the histograms must have its models' {n_features} features, and bins above 0.")
    return rarity


def _member(found: Committed, number: int, described: dict[str, Any], usual: Any, squash: Squash | None) -> Usual:
    config = AutoencoderConfig.from_dict(described.get("model") or {})
    nearest, whole = described.get("nearest"), described.get("whole")
    if not (isinstance(nearest, float) and nearest > 0 and isinstance(whole, bool)):
        raise ValueError(f"{found.head}: member {number} must have a distance above 0 and say what it was trained on.")
    model = found.read(f"members/{number}.safetensors", lambda data, path: model_from_bytes(data, path, config))
    arrays = _arrays(found.head, usual, _ARRAYS)
    width, n_features = config.n_components, config.n_features
    shapes = {"error": (n_features,), "center": (width,), "metric": (width, width)}
    fits = all(arrays[name].shape == shape for name, shape in shapes.items())
    fits = fits and arrays["whitening"].shape[:1] == (width,) and arrays["whitening"].ndim == 2
    fits = fits and arrays["neighbours"].shape[1:] == (width,) and len(arrays["neighbours"]) > 0
    if not fits or (squash is not None and any(part.shape != (n_features,) for part in squash)):
        raise ValueError(f"{found.head}: what is usual of member {number} must have its model's widths.")
    return Usual(Runtime(model, np.float64), squash, **arrays, nearest=nearest, whole=whole)


def _arrays(path: Path, found: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not isinstance(found, dict) or not all(isinstance(found.get(name), np.ndarray) for name in names):
        raise ValueError(f"{path}: the numbers beside it must have {', '.join(names)}.")
    return {name: found[name] for name in names}

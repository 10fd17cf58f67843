"""What the head of a model folder says, checked on read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsae.config import AutoencoderConfig, known_keys
from dsae.features import Schema
from dsae.store._commit import Committed
from dsae.store._text import parse_json, read_text

FORMAT, FORMAT_VERSION = "dsae", 2  # of docs/format.md; 1 had a file for each thing


def read_version_1(folder: Path) -> tuple[list[Any], Any]:
    """History and metrics, in files of their own. Adam's state of that version is not read."""
    history, metrics = folder / "history.jsonl", folder / "metrics.json"
    lines = read_text(history).splitlines() if history.is_file() else []
    rows = [parse_json(history, line) for line in lines]
    return rows, parse_json(metrics, read_text(metrics)) if metrics.is_file() else {}


def version_of(found: Committed) -> int:
    """The version of the format that a folder says, if this dsae reads it."""
    if found.content.get("format") != FORMAT:
        raise ValueError(f"{found.head} does not describe a dsae model.")
    version = found.content.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{found.head} must give format_version as a whole number; got {version!r}.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{found.folder} has format version {version}, newer than the {FORMAT_VERSION} that this dsae "
            "reads; upgrade dsae."
        )
    return version


def history_rows(path: Path, history: Any) -> list[dict[str, Any]]:
    """The rows of a history, checked to be mappings."""
    if not isinstance(history, list):
        raise ValueError(f"{path}: history must be a list of mappings; got {type(history).__name__}.")
    return [mapping(path, "every row of history", row) for row in history]


def read_config(path: Path, header: dict[str, Any], keys: tuple[str, ...]) -> AutoencoderConfig:
    """The configuration of a model whose head has no other than the ``keys``, and as many names as columns."""
    if not isinstance(header.get("model"), dict):
        raise ValueError(f"{path} lacks the model's configuration.")
    try:
        known_keys("the file", header, keys)
        config = AutoencoderConfig.from_dict(header["model"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(header.get("training") or {}, dict):
        raise ValueError(f"{path}: training must be a mapping.")
    _check_names(path, header.get("feature_names"), config.n_features, "features")
    _check_names(path, header.get("target_names"), config.output_width, "columns of the target")
    return config


def _check_names(path: Path, names: Any, n: int, what: str) -> None:
    if names is not None and not (
        isinstance(names, list) and len(names) == n and all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"{path} must name {n} {what}.")


def read_table(path: Path, content: Any, names: list[str] | None) -> Schema | None:
    """The schema of a table, whose features must be those of the model."""
    if content is None:
        return None
    try:
        schema = Schema.from_dict(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if schema.feature_names != names:
        raise ValueError(f"{path}: the features of table must be those in feature_names.")
    return schema


def mapping(path: Path, what: str, content: Any) -> dict[str, Any]:
    """``content``, which must be a mapping."""
    if not isinstance(content, dict):
        raise ValueError(f"{path}: {what} must be a mapping; got {type(content).__name__}.")
    return content

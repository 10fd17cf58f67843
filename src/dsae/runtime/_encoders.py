"""What makes rows of pictures, sounds, texts and tables, for models of several modalities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsae.data import gives_batches

_ENTRIES = (list, tuple)


def check_encoders(verb: str, X: Any, encoders: Mapping[str, str]) -> None:
    """Refuse files that other encoders have made than those that a model was fitted with.

    Raises
    ------
    ValueError
        If an encoder beside the files of ``X`` has other settings.
    """
    for name, encoder in folder_encoders(verb, X).items():
        if name in encoders and json.loads(encoder.to_json()) != json.loads(encoders[name]):
            raise ValueError(
                f"[{verb}] {X} was made with another encoder of {name!r} than the model. Prepare it with the model's: "
                "dsae prepare --encoders MODEL/encoders.json."
            )


def folder_encoders(verb: str, X: Any) -> dict[str, Any]:
    """The encoders that `dsae.features.prepare` has written beside the files of a stream, by modality.

    Raises
    ------
    ValueError
        If their file is damaged.
    """
    path = getattr(X, "path", None)
    if path is None or not gives_batches(X):
        return {}
    file = (Path(path) if Path(path).is_dir() else Path(path).parent) / "encoders.json"
    if not file.is_file():
        return {}
    from dsae import features

    try:
        return features.encoders_from_json(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        why = "it is not UTF-8 text."
    except ValueError as error:
        why = str(error).removeprefix("[from_json] ")
    raise ValueError(f"[{verb}] {file} must hold the encoders that dsae prepare has written: {why} Prepare it again.")


def encoded(encoder: Any, values: Any) -> Any:
    """Rows, and which of them are there, that a fitted encoder makes; a source has rows already."""
    if hasattr(values, "batches"):
        return values
    items = list(values) if isinstance(values, _ENTRIES) else values
    if hasattr(encoder, "transform_present"):  # of items that could not be read, too
        return encoder.transform_present(items)
    made = encoder.transform(items)
    has = encoder.present(items) if hasattr(encoder, "present") else None
    return made, has

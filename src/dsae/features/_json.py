"""What transformers have learned, as JSON: one envelope for all kinds, read as an untrusted text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dsae.config import check_modality, known_keys, one_of

KINDS = {
    "audio": ("_audio", "AudioRows"),
    "image": ("_image", "ImageRows"),
    "table": ("_rows", "TableRows"),
    "text": ("_text", "TextRows"),
}
"""Module and class of each kind of rows."""
_FORMAT, _SEVERAL, _VERSION = "dsae rows", "dsae encoders", 1
_LONGEST_JSON = 1 << 28


def from_json(text: str) -> Any:
    """The transformer that a text of its ``to_json`` describes. Nothing in it is run, and all of it is checked.

    Parameters
    ----------
    text : str

    Returns
    -------
    AudioRows, ImageRows, TableRows or TextRows

    Raises
    ------
    ValueError
        If the text is something else.

    Examples
    --------
    >>> from dsae.features import TextRows
    >>> rows = TextRows(weights="counts").fit(["red apple", "green pear"])
    >>> from_json(rows.to_json()).get_feature_names_out().tolist()
    ['apple', 'green', 'pear', 'red']
    """
    return _read(text, _FORMAT, _of_kind)


def encoders_to_json(encoders: Mapping[str, Any]) -> str:
    """Transformers by the names of their modalities, as text for `encoders_from_json`."""
    return _written(_SEVERAL, {"modalities": {name: encoder.to_dict() for name, encoder in encoders.items()}})


def encoders_from_json(text: str) -> dict[str, Any]:
    """The reverse of `encoders_to_json`, checked like `from_json`.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    return _read(text, _SEVERAL, encoders_of)


def encoders_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Transformers of a mapping ``{"modalities": {name: what to_dict gives}}`` from an untrusted file."""
    known_keys("a file of encoders", content, ("modalities",))
    named = content.get("modalities")
    if not isinstance(named, dict) or not named:
        raise ValueError("modalities must be a mapping of names to encoders.")
    for name in named:
        check_modality(name)
    return {name: _of_kind(encoder) for name, encoder in named.items()}


def to_json(encoder: Any) -> str:
    """What one transformer has learned, as text for `from_json`."""
    return _written(_FORMAT, encoder.to_dict())


def read_kind(text: str, kind: str) -> Any:
    """`from_json`, of one kind only."""

    def of_one(content: Mapping[str, Any]) -> Any:
        if content.get("kind") != kind:
            raise ValueError(f"it must describe {kind} rows; got {content.get('kind')!r:.60}.")
        return _of_kind(content)

    return _read(text, _FORMAT, of_one)


def _of_kind(content: Any) -> Any:
    if not isinstance(content, dict):
        raise ValueError(f"an encoder must be a mapping; got {type(content).__name__}.")
    kind, rest = content.get("kind"), {name: value for name, value in content.items() if name != "kind"}
    one_of("kind of an encoder", kind, KINDS)
    module, name = KINDS[str(kind)]
    return getattr(import_module(f"dsae.features.{module}"), name).from_dict(rest)


def _written(form: str, content: Mapping[str, Any]) -> str:
    return json.dumps({"format": form, "format_version": _VERSION, **content}, ensure_ascii=False, indent=1)


def _read(text: str, form: str, then: Any) -> Any:
    if not isinstance(text, str):
        raise TypeError(f"[from_json] text must be a str; got {type(text).__name__}.")
    if len(text) > _LONGEST_JSON:
        raise ValueError(f"[from_json] The text must be shorter than {_LONGEST_JSON} characters; got {len(text)}.")
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.pop("format", None) != form:
            raise ValueError(f"it is not of the format {form!r}.")
        version = content.pop("format_version", None)
        if type(version) is not int or version != _VERSION:
            raise ValueError("it comes from another version of dsae.")
        return then(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[from_json] The text must be what to_json has written; {error}") from None

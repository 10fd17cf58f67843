"""Texts of model folders: JSON for people, and files that may hold anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LONGEST_TEXT = 1 << 28  # bytes: a hostile config.json must not fill the memory


def read_text(path: Path) -> str:
    """The content of a text file.

    Raises
    ------
    ValueError
        If it is not UTF-8, or longer than any that is written here: a file may claim more than the disk holds.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LONGEST_TEXT:
                raise ValueError(f"{path} has {size} bytes of text; it is corrupt.")
            return file.read(size).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; it is corrupt.") from None


def parse_json(path: Path, text: str) -> Any:
    """What ``text``, from the file ``path``, holds."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); it is truncated or corrupt.") from None


def dumps(content: Mapping[str, Any]) -> str:
    """JSON for people: lists of objects have one object per line."""
    lines = []
    for key, value in content.items():
        rows = isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
        text = "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]" if rows else json.dumps(value, indent=2)
        lines.append(f"  {json.dumps(key)}: " + (text if rows else text.replace("\n", "\n  ")))
    return "{\n" + ",\n".join(lines) + "\n}\n"

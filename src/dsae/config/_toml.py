"""Settings from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from dsae.config._checks import did_you_mean, known_keys


def read_toml(path: str | Path, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Settings of a run from a flat TOML file, each one of ``allowed``.

    Raises
    ------
    ValueError
        If the file is not TOML or has an unknown key.
    OSError
        If it is missing or cannot be read.
    """
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = did_you_mean(path.name, [file.name for file in path.parent.glob("*")]) or " Check the path."
        raise FileNotFoundError(f"{path} does not exist.{hint}") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}. Name a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from None
    known_keys(str(path), settings, allowed)
    return settings

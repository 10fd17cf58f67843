"""Readers and writers by their names in the table of formats, and the packages that they need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dsae.config import Format


def resolved(name: str) -> Any:
    """What ``module:name`` means in `dsae.data`."""
    module, _, name = name.partition(":")
    return getattr(import_module(f"dsae.data.{module}"), name)


def check_package(kind: Format) -> None:
    """Raise where the package for a format is not installed.

    Raises
    ------
    ImportError
    """
    if kind.needs is None:
        return
    try:
        import_module(kind.needs)
    except ImportError:
        what = kind.needs if kind.extra is None else f'"dsae[{kind.extra}]"'
        raise ImportError(f"{kind.endings[0]} needs {kind.needs}: pip install {what}.") from None

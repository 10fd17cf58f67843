"""Modules that are imported on first use: `dsae --help` needs the names in the tables, but not numpy."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Lazy:
    """Proxy for a module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)

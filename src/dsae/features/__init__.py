"""Tables of numbers, classes and dates as rows of numbers, and back; scikit-learn is imported with `TableRows`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsae.features._schema import Column as Column
from dsae.features._schema import Schema as Schema

if TYPE_CHECKING:
    from dsae.features._files import fit_table as fit_table
    from dsae.features._files import open_table as open_table
    from dsae.features._files import restored as restored
    from dsae.features._rows import TableRows as TableRows

_HOMES = {"TableRows": "_rows", "fit_table": "_files", "open_table": "_files", "restored": "_files"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dsae.features' has no attribute {name!r}")
    return getattr(import_module(f"dsae.features.{_HOMES[name]}"), name)

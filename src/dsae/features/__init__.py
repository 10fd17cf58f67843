"""Tables, pictures, sounds and texts as rows of numbers, and back; scikit-learn is imported with a transformer."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsae.features._items import Encoded as Encoded
from dsae.features._items import Problem as Problem
from dsae.features._json import encoders_from_json as encoders_from_json
from dsae.features._json import encoders_to_json as encoders_to_json
from dsae.features._json import from_json as from_json
from dsae.features._schema import Column as Column
from dsae.features._schema import Schema as Schema

if TYPE_CHECKING:
    from dsae.features._audio import AudioRows as AudioRows
    from dsae.features._files import fit_table as fit_table
    from dsae.features._files import open_table as open_table
    from dsae.features._files import restored as restored
    from dsae.features._image import ImageRows as ImageRows
    from dsae.features._prepare import Prepared as Prepared
    from dsae.features._prepare import prepare as prepare
    from dsae.features._raw import is_raw as is_raw
    from dsae.features._raw import read_raw as read_raw
    from dsae.features._rows import TableRows as TableRows
    from dsae.features._text import TextRows as TextRows

_HOMES = {
    "AudioRows": "_audio",
    "ImageRows": "_image",
    "Prepared": "_prepare",
    "prepare": "_prepare",
    "TableRows": "_rows",
    "TextRows": "_text",
    "is_raw": "_raw",
    "read_raw": "_raw",
    "fit_table": "_files",
    "open_table": "_files",
    "restored": "_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dsae.features' has no attribute {name!r}")
    return getattr(import_module(f"dsae.features.{_HOMES[name]}"), name)

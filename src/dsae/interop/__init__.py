"""Models in the formats of other libraries: written for them, and read from them."""

from dsae.interop._formats import FORMATS as FORMATS
from dsae.interop._formats import READ as READ
from dsae.interop._formats import WRITTEN as WRITTEN
from dsae.interop._formats import Format as Format
from dsae.interop._load import load as load
from dsae.interop._save import save as save

"""A trained model over many files, by engines that exist: one callable on Arrow tables, and files by Dask."""

from dsae.cluster._encode import Encode as Encode
from dsae.cluster._files import Encoded as Encoded
from dsae.cluster._files import encode_files as encode_files

"""Rows of data as users have them, and batches of them as models take them."""

from dsae.data._batch import Batch as Batch
from dsae.data._batch import Field as Field
from dsae.data._batch import Part as Part
from dsae.data._batch import Rows as Rows
from dsae.data._batch import draws as draws
from dsae.data._check import check_finite as check_finite
from dsae.data._check import check_source as check_source
from dsae.data._entrance import as_source as as_source
from dsae.data._entrance import check_rows as check_rows
from dsae.data._entrance import gives_batches as gives_batches
from dsae.data._entrance import in_memory as in_memory
from dsae.data._entrance import rows_of as rows_of
from dsae.data._kinds import as_numbers as as_numbers
from dsae.data._objects import source_of as source_of
from dsae.data._open import open_rows as open_rows
from dsae.data._open import options_for as options_for
from dsae.data._open import read_rows as read_rows
from dsae.data._source import ArraySource as ArraySource
from dsae.data._source import Source as Source
from dsae.data._stream import StreamSource as StreamSource
from dsae.data._synthetic import SparseFeatures as SparseFeatures
from dsae.data._synthetic import make_sparse_features as make_sparse_features
from dsae.data._write import CODES as CODES
from dsae.data._write import is_written as is_written
from dsae.data._write import write_rows as write_rows
from dsae.data._write import writing as writing

"""Rows of data as users have them, and batches of them as models take them."""

from dsae.data._check import Rows as Rows
from dsae.data._check import as_rows as as_rows
from dsae.data._check import check_finite as check_finite
from dsae.data._check import check_rows as check_rows
from dsae.data._files import read_rows as read_rows
from dsae.data._files import write_rows as write_rows
from dsae.data._source import ArraySource as ArraySource
from dsae.data._synthetic import SparseFeatures as SparseFeatures
from dsae.data._synthetic import make_sparse_features as make_sparse_features

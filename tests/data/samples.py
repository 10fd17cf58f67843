"""Rows as the tests of files have them."""

import numpy as np
import scipy.sparse as sp

from dsae.config import WRITTEN
from dsae.data import Batch

N_ROWS, NAMES = 3000, [f"gene {i}" for i in range(37)]
KINDS = WRITTEN


def dense(rows):
    rows = rows.rows if isinstance(rows, Batch) else rows
    return rows.toarray() if sp.issparse(rows) else rows


def all_rows(batches):
    return np.concatenate([dense(batch) for batch in batches])

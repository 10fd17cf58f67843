"""A few rows, and a standard stream that holds a file of them."""

import io

import numpy as np
import scipy.sparse as sp

ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
NAMES = ["alpha", 'quote "and, comma"', "naïve"]
SPARSE = sp.random(9, 5, density=0.3, format="csr", dtype=np.float32, random_state=0)


class Standard:
    """A standard stream of bytes."""

    def __init__(self, content=b""):
        self.buffer = io.BytesIO(content)

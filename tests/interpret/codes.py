"""Codes of every kind, and other ways to cut them into batches."""

import numpy as np
import scipy.sparse as sp


def make_codes(kind="relu", n=300, width=23, seed=0):
    """Dense float32 codes: positive, of both signs, or hardly ever zero; latent 3 is dead, some values tie."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(0, 1, (n, width)) * np.exp(rng.normal(0, 2, width))
    codes[rng.random((n, width)) < {"relu": 0.8, "signed": 0.6, "full": 0.02}[kind]] = 0
    if kind != "signed":
        codes = np.abs(codes)
    codes[:, 3] = 0
    codes[::7, 5] = codes[0, 5] = 2.0
    return codes.astype(np.float32)


def cut(codes, batch_size, sparse=True):
    """``(codes, numbers)`` of batches."""
    for start in range(0, len(codes), batch_size):
        part = codes[start : start + batch_size]
        yield (sp.csr_matrix(part) if sparse else part), np.arange(start, start + len(part))

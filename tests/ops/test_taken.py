"""Rows of a batch are those that indexing gives."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.arrays import native
from tests.covering import pairs

from dsae import kernels, ops
from dsae.data import ArraySource
from dsae.train._shares import batches_of


def rows(kind, width):
    X = sp.random(50, width, 0.4, "csr", np.float32, 0)
    if kind == "csr array":
        return sp.csr_array(X)
    if kind == "duplicates":
        return sp.csr_matrix(
            (np.r_[X.data, 1], np.r_[X.indices, X.indices[-1]], np.r_[X.indptr[:-1], X.nnz + 1]), X.shape
        )
    if kind == "long":
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
        return X
    if kind == "strided":
        return sp.csr_matrix((np.repeat(X.data, 2)[::2], X.indices, X.indptr), X.shape)
    if kind == "room to spare":
        X.data, X.indices = np.r_[X.data, np.float32(7)], np.r_[X.indices, np.int32(0)]
        return X
    dense = X.toarray()
    if kind == "unaligned":
        return np.frombuffer(b"x" + dense.tobytes(), np.uint8)[1:].view(np.float32).reshape(dense.shape)
    return {"csr": X, "dense": dense, "columns": np.asfortranarray(dense), "float64": dense.astype(float)}[kind]


def written_out(rows):
    return rows.toarray() if sp.issparse(rows) else rows


@pairs(
    kind=[
        *("dense", "unaligned", "columns", "float64"),
        *("csr", "csr array", "duplicates", "long", "strided", "room to spare"),
    ],
    chosen=[np.array([3, 3, 0, 49]), np.zeros(0, np.int64), np.arange(50)[::-2], slice(5, 40, 3)],
    width=[1, 30, 3000],
)
def test_they_are_those_chosen(kind, chosen, width):
    X = rows(kind, width)
    found, wanted = ops.taken(X, chosen), X[chosen]
    assert type(found) is type(wanted)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(written_out(found), written_out(wanted))
    if sp.issparse(X):
        assert kind == "duplicates" or found.has_canonical_format
        assert wanted.has_canonical_format or not found.has_canonical_format


@native
@pairs(chosen=[[50], [-1]], sparse=[False, True])
def test_numbers_of_no_row_are_refused(chosen, sparse):
    X = rows("csr" if sparse else "dense", 30)
    with pytest.raises(ValueError, match=r"chosen in \[0, 50\)"):
        ops.taken(X, np.array(chosen))


@pairs(sparse=[False, True], weighted=[False, True])
def test_batches_of_training_are_those_of_the_source(sparse, weighted):
    X = rows("csr" if sparse else "dense", 30)
    beside = {"target": 2 * X, "weight": np.arange(50, dtype=np.float32)} if weighted else {}
    source = ArraySource(X, **beside, labels=np.arange(50) % 3)
    for one, other in zip(batches_of(source, 16, 3), source.batches(16, 3), strict=True):
        for name in ("rows", "target", "weight", "labels", "numbers"):
            a, b = (written_out(getattr(batch, name)) for batch in (one, other))
            np.testing.assert_array_equal(a, b)


@native
def test_rows_of_another_width_have_no_place():
    with pytest.raises(ValueError, match=r"out.shape\[1\]"):
        kernels.take_rows(rows("dense", 30), np.arange(2), np.zeros((2, 29), np.float32))

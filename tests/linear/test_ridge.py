"""Ridge regression on chosen inputs is what plain linear algebra gives."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each, pairs

from dsae import kernels
from dsae.kernels import reference
from dsae.linear import _ridge, sparse_ridge


def items(n_rows=60, n=25, density=0.2, seed=0, values="ones"):
    rng = np.random.default_rng(seed)
    X = sp.random(n_rows, n, density, "csr", np.float32, rng)
    X.data = np.ones(X.nnz, np.float32) if values == "ones" else rng.normal(size=X.nnz).astype(np.float32)
    return X


@pairs(
    n_inputs=[1, 3, 8, 40],
    ridge=[0.1, 2.0, 50.0],
    grown=[0.0, 0.5, 0.9],
    powers=[(0.5, 0.5), (0.0, 1.0)],
    values=["ones", "normal"],
    density=[0.02, 0.2, 0.6],
    unseen=[1.0, 0.3],
)
def test_weights_are_those_of_ridge_regression_on_the_inputs(n_inputs, ridge, grown, powers, values, density, unseen):
    X = items(density=density, values=values)
    W = sparse_ridge(X, n_inputs, ridge, grown=grown, powers=powers, unseen=unseen).to_csr()
    X = X.toarray().astype(np.float64)
    for j in range(X.shape[1]):
        inputs, weights = W[j].indices, W[j].data
        assert j not in inputs
        assert inputs.size <= n_inputs
        weighed = X[:, inputs].T * np.where(X[:, j] != 0, 1, unseen)
        wanted = np.linalg.solve(weighed @ X[:, inputs] + ridge * np.eye(inputs.size), weighed @ X[:, j])
        np.testing.assert_allclose(weights, wanted, atol=1e-4)


def test_one_stage_takes_the_nearest_by_co_counts():
    X = items()
    G = (X.T @ X).toarray()
    likeness = G / np.sqrt(np.maximum(G.diagonal(), 1))
    np.fill_diagonal(likeness, 0)
    W = sparse_ridge(X, 4, 1.0).to_csr()
    for j in range(X.shape[1]):
        order = np.lexsort((np.arange(25), -likeness[j].astype(np.float32)))
        wanted = [i for i in order[:4] if likeness[j, i] > 0]
        assert sorted(wanted) == W[j].indices.tolist()


def test_the_second_stage_takes_what_the_first_leaves():
    X = items(n_rows=200)
    G = (X.T @ X).toarray().astype(np.float64)
    half, whole = (
        sparse_ridge(X, 3, 1.0, powers=(0.5,)).to_csr(),
        sparse_ridge(X, 6, 1.0, grown=0.5, powers=(0.5, 0)).to_csr(),
    )
    for j in range(X.shape[1]):
        first = half[j].indices
        assert set(first) <= set(whole[j].indices)
        left = np.abs(G[j] - half[j].toarray()[0] @ G)
        left[[j, *first]] = 0
        grown = sorted(set(whole[j].indices) - set(first))
        assert min(left[grown]) >= np.sort(left)[-len(grown)] - 1e-4


@pytest.mark.skipif(not kernels.NATIVE, reason="compares the compiled kernel")
def test_the_kernel_is_the_reference_on_any_number_of_threads(monkeypatch):
    X = items(values="normal")
    before, found = kernels.set_threads(1), []
    for n_threads in (1, 2, 3):
        kernels.set_threads(n_threads)
        found.append(sparse_ridge(X, 6, 1.0, grown=0.5, unseen=0.3))
    kernels.set_threads(before)
    for layer in found:
        np.testing.assert_array_equal(layer.values, found[0].values)
    monkeypatch.setattr(_ridge, "kernels", reference)
    wanted = sparse_ridge(X, 6, 1.0, grown=0.5, unseen=0.3)
    np.testing.assert_array_equal(found[0].topology.indices, wanted.topology.indices)
    np.testing.assert_allclose(found[0].values, wanted.values, atol=1e-5)


def test_pieces_change_nothing(monkeypatch):
    X, done = items(), []
    whole = sparse_ridge(X, 5, 1.0)
    monkeypatch.setattr(_ridge, "_WEIGHTS_AT_ONCE", 35)
    pieces = sparse_ridge(X, 5, 1.0, progress=done.append)
    assert done == [7, 14, 21, 25]
    np.testing.assert_array_equal(whole.values, pieces.values)


def test_equal_columns_are_no_trouble_at_a_tiny_ridge():
    X = sp.csr_matrix(np.repeat(items(n=4).toarray(), 3, axis=1))
    W = sparse_ridge(X, 11, 1e-9)
    assert np.isfinite(W.values).all()
    error = X.toarray() - X @ W.to_csr().T.toarray()
    assert np.abs(error).max() < 1e-3


@each(
    {
        "given, message": [
            ({"n_inputs": 0}, "n_inputs must be a whole number of at least 1; got 0."),
            ({"ridge": 0}, "ridge must be a number in (0, inf); got 0."),
            ({"grown": 1.5}, "grown must be a number in [0, 1]; got 1.5."),
        ]
    }
)
def test_bad_settings_are_refused(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        sparse_ridge(items(), **{"n_inputs": 3, "ridge": 1.0} | given)

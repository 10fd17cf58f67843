"""Laws of the comparison of two groups."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.interpret import compare, mean_code, norms_of, responses
from dsae.runtime import Runtime


@each(kind=[np.asarray, sp.csr_matrix], changes=[{}, {"hidden_layer_sizes": (9,)}], n=[1, 30])
def test_it_equals_a_plain_computation(make_model, rng, kind, changes, n):
    model = make_model(n_components=8, code_activation="topk", k=3, **changes)
    A, B = (rng.normal(shift, 1, (m, 12)).astype(np.float32) for shift, m in ((0, n), (1, 25)))
    a, b = (Runtime(model).encode(rows) for rows in (A, B))
    found = compare(model, kind(A), kind(B))
    fires = (a != 0).any(0) | (b != 0).any(0)
    assert sorted(found.latents) == np.flatnonzero(fires).tolist()
    assert found.n_rows == (n, 25)
    at = found.latents
    np.testing.assert_allclose(found.mean_a, a.mean(0)[at], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.mean_b, b.mean(0)[at], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.count_b, (b != 0).sum(0)[at])
    np.testing.assert_allclose(found.rate_a, (a != 0).mean(0)[at])
    np.testing.assert_allclose(found.rate_b, (b != 0).mean(0)[at])
    assert (np.diff(np.abs(found.size)) <= 0).all()
    if not changes:
        norms = np.linalg.norm(model.layers["decoder.0"].to_dense(), axis=0)
        np.testing.assert_allclose(found.size, ((a.mean(0) - b.mean(0)) * norms)[at], rtol=1e-4, atol=1e-6)


def test_atoms_of_a_deep_decoder_are_taken_around_the_rows_that_are_given(make_model, rng):
    model = make_model(n_components=8, code_activation="relu", hidden_layer_sizes=(9,))
    X = rng.normal(0, 1, (50, 12)).astype(np.float32)
    rms = np.sqrt(np.square(Runtime(model).encode(X).astype(float)).mean(axis=0))
    norms = norms_of(responses(model, mean=mean_code(model, X), rms=rms))
    found = compare(model, X[:1], X[1:4], around=X)
    np.testing.assert_allclose(found.size, (found.mean_a - found.mean_b) * norms[found.latents], rtol=1e-4)


def test_groups_of_equal_rows_do_not_differ(make_model, rng):
    X = rng.normal(size=(5, 12))
    model = make_model(code_activation="relu")
    assert not compare(model, X, X).size.any()
    swapped, found = compare(model, X[:2], X[2:]), compare(model, X[2:], X[:2])
    np.testing.assert_allclose(np.sort(found.size), np.sort(-swapped.size))


def test_bad_rows_are_refused(make_model):
    with pytest.raises(ValueError, match=r"\[compare\] X must have 12 columns"):
        compare(make_model(), np.ones((2, 12)), np.ones((2, 11)))

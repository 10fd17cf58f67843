"""Laws of top examples."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.data import open_rows
from dsae.interpret import ablate, compare, top_examples
from dsae.interpret._reading import Reading
from dsae.runtime import Runtime


@each(batch_size=[1, 7, 100], kind=[np.asarray, sp.csr_matrix], code=["relu", "identity", "sigmoid"])
def test_they_are_the_largest_codes_of_those_that_fire(make_model, batch_size, kind, code):
    model = make_model(code_activation=code)
    X = np.random.default_rng(0).normal(0, 1, (50, 12)).astype(np.float32)
    codes = Runtime(model).encode(X)
    rows, values = top_examples(model, kind(X), n_examples=4, batch_size=batch_size)
    for latent, z in enumerate(codes.T):
        order = np.argsort(-np.abs(z), kind="stable")
        order = order[np.abs(z[order]) > (0.5 if code == "sigmoid" else 0)][:4]
        np.testing.assert_array_equal(rows[latent], order)
        np.testing.assert_allclose(values[latent], z[order], atol=1e-5)


def test_rows_in_which_a_latent_is_off_are_not_listed(make_model):
    model = make_model(n_features=2, n_components=2, code_activation="relu", live=1.0)
    encoder = model.layers["encoder.0"]
    encoder.values[:], encoder.bias[:] = np.float32([1, 0, 0, -1]), 0
    rows, codes = top_examples(model, [[0, 1], [0, 2], [0, 3], [5, 1], [0, 1]], n_examples=3)
    assert rows[0].tolist() == [3]
    assert codes[0].tolist() == [5]
    assert rows[1].size == codes[1].size == 0  # dead


@each(batch_size=[1, 3, 100])
def test_ties_go_to_the_earlier_row(make_model, batch_size):
    rows, _ = top_examples(make_model(), np.ones((8, 12)), n_examples=5, batch_size=batch_size)
    np.testing.assert_array_equal(rows, np.tile(np.arange(5), (5, 1)))


def test_some_latents_of_rows_in_a_file(make_model, tmp_path, rng):
    X = rng.normal(0, 1, (30, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    some = top_examples(make_model(), open_rows(tmp_path / "x.npy"), latents=[3, 0], n_examples=2)
    every = top_examples(make_model(), X, n_examples=2)
    np.testing.assert_array_equal(some.rows, [every.rows[3], every.rows[0]])


def test_bad_arguments_are_refused(make_model):
    with pytest.raises(ValueError, match="n_examples must be a whole number"):
        top_examples(make_model(), np.ones((3, 12)), n_examples=0)
    with pytest.raises(ValueError, match="must have 12 columns"):
        top_examples(make_model(), np.ones((3, 11)))
    with pytest.raises(ValueError, match=r"\[top_examples\] latents must lie in 0\.\.4; got 9\.\.9"):
        top_examples(make_model(), np.ones((3, 12)), latents=[9])


VERBS = {
    "top_examples": lambda model, X: top_examples(model, X, n_examples=3),
    "both passes": lambda model, X: Reading.of("describe", Runtime(model), X),
    "compare": lambda model, X: compare(model, X, X[:3]),
    "ablate": lambda model, X: ablate(model, X, [0]),
}


@each(verb=VERBS)
def test_codes_of_many_latents_are_never_dense(make_model, verb):
    """What numpy allocates stays below half of an array of latents x rows."""
    model = make_model(n_features=32, n_components=8192, code_activation="topk", k=4, live=0.2)
    X = np.random.default_rng(0).normal(0, 1, (2048, 32)).astype(np.float32)
    VERBS[verb](model, X[:8])
    tracemalloc.start()
    VERBS[verb](model, X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 8192 * 2048 / 2

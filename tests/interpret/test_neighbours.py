"""The nearest rows are those that a plain sort finds."""

from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import pairwise_distances
from tests.covering import each

from dsae.interpret import CodeIndex
from dsae.runtime import Runtime

RNG = np.random.default_rng(0)
CODES = np.maximum(RNG.normal(size=(90, 12)), 0).astype(np.float32)
CODES[[3, 40]] = 0
QUERIES = RNG.normal(size=(33, 12)).astype(np.float32)


@each(metric=["cosine", "euclidean"], stored=[np.asarray, sp.csr_matrix], asked=[np.asarray, sp.csr_matrix])
def test_the_nearest_are_those_of_a_plain_sort(metric, stored, asked):
    rows, distances = CodeIndex(stored(CODES), metric=metric).nearest(asked(QUERIES), 7)
    expected = pairwise_distances(QUERIES.astype(np.float64), CODES.astype(np.float64), metric=metric)
    found = np.take_along_axis(expected, rows, axis=1)  # ties come in any order: code 3 and code 40 are zeros
    np.testing.assert_allclose(found, np.sort(expected, axis=1)[:, :7], atol=2e-6)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :7], atol=2e-6)


def test_every_row_is_nearest_to_itself_and_its_equal():
    codes = np.repeat(CODES[5:15], 2, axis=0)
    rows, distances = CodeIndex(codes, metric="euclidean").nearest(codes, 2)
    np.testing.assert_array_equal(np.sort(rows, axis=1)[:, 0], np.arange(20) // 2 * 2)
    np.testing.assert_array_equal(np.sort(rows, axis=1)[:, 1], np.arange(20) // 2 * 2 + 1)
    np.testing.assert_allclose(distances, 0, atol=1e-6)


def test_more_than_there_are_is_all():
    rows, _ = CodeIndex(CODES).nearest(QUERIES, 500)
    assert (np.sort(rows, axis=1) == np.arange(90)).all()


@each(code=["identity", "topk"])
def test_with_a_model_rows_are_encoded(make_model, code):
    model = make_model(12, 6, code_activation=code, k=2 if code == "topk" else None)
    by_rows = CodeIndex(CODES, model=model).nearest(QUERIES, 4)
    runtime = Runtime(model)
    by_codes = CodeIndex(runtime.encode(CODES)).nearest(runtime.encode(QUERIES), 4)
    np.testing.assert_array_equal(by_rows.rows, by_codes.rows)
    fitted = SimpleNamespace(runtime_=runtime)
    np.testing.assert_array_equal(CodeIndex(CODES, model=fitted).nearest(QUERIES, 4).rows, by_rows.rows)

"""Laws of top examples."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.interpret import top_examples
from dsae.runtime import Runtime


@each(batch_size=[1, 7, 100], kind=[np.asarray, sp.csr_matrix])
def test_they_are_the_largest_codes(make_model, batch_size, kind):
    model = make_model(code_activation="relu")
    X = np.random.default_rng(0).normal(0, 1, (50, 12)).astype(np.float32)
    codes = Runtime(model).encode(X)
    order = np.argsort(-codes, axis=0, kind="stable")[:4].T
    rows, values = top_examples(model, kind(X), n_examples=4, batch_size=batch_size)
    np.testing.assert_allclose(values, np.take_along_axis(codes.T, order, 1), atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(codes.T, rows, 1), values, atol=1e-5)


@each(batch_size=[1, 3, 100])
def test_ties_go_to_the_earlier_row(make_model, batch_size):
    rows, _ = top_examples(make_model(), np.ones((8, 12)), n_examples=5, batch_size=batch_size)
    np.testing.assert_array_equal(rows, np.tile(np.arange(5), (5, 1)))


def test_fewer_rows_than_asked_for(make_model):
    rows, values = top_examples(make_model(), np.ones((3, 12)))
    assert rows.shape == values.shape == (5, 3)


def test_bad_arguments_are_refused(make_model):
    with pytest.raises(ValueError, match="n_examples must be a whole number"):
        top_examples(make_model(), np.ones((3, 12)), n_examples=0)
    with pytest.raises(ValueError, match="must have 12 columns"):
        top_examples(make_model(), np.ones((3, 11)))

"""Training on batches that come once."""

import numpy as np
import pytest
from tests.covering import each
from tests.estimators.small import X, rows, small

from dsae.data import make_sparse_features


def batches(X, n=20, size=32):
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield X[rng.integers(len(X), size=size)]


def dictionary(**changes):
    settings = {"n_components": 32, "code_activation": "batchtopk", "k": 4, "hidden_layer_sizes": (), "density": 1.0}
    return small(**settings | {"shrink": "none"} | changes)


def test_it_learns_in_as_many_steps_as_were_asked():
    told = []
    dsa = small().fit(batches(X, 10**9), n_steps=300, on_step=lambda row: told.append(row["step"]), every=1)
    assert told == list(range(1, 301))
    assert len(dsa.history_) == dsa.n_iter_ == 3
    assert dsa.score(X) > 0.5
    assert dsa.density_ == pytest.approx(0.3, abs=0.01)


def test_it_is_one_pass_over_the_same_rows():
    """In order, as a source of one's own would give them."""

    class Once:
        n_features = X.shape[1]

        def __len__(self):
            return len(X)

        def batches(self, batch_size, seed=None):
            return (X[start : start + batch_size] for start in range(0, len(X), batch_size))

    n_steps = -(-len(X) // 32)
    of_iterator = small(max_iter=1).fit((X[i : i + 7] for i in range(0, len(X), 7)), n_steps=n_steps)
    of_source = small(max_iter=1).fit(Once())
    np.testing.assert_array_equal(of_iterator.transform(X), of_source.transform(X))


def test_thresholds_are_calibrated_on_the_newest_rows():
    X = make_sparse_features(4000, 16, 40, n_trees=0, max_rate=0.2, random_state=0).X
    dsa = dictionary().fit((X[i : i + 50] for i in range(0, len(X), 50)), n_steps=4000 // 32)
    assert (dsa.transform(X) != 0).sum(axis=1).mean() == pytest.approx(4, rel=0.02)


def test_an_iterator_that_ends_early_is_told():
    with pytest.warns(UserWarning, match="ended after 20 of 500 steps"):
        dsa = dictionary().fit(batches(X, 20), n_steps=500)
    assert dsa.n_iter_ == 1


def test_rows_to_validate_on_stop_it():
    dsa = small(n_iter_no_change=2, tol=10.0).fit(batches(X, 10**9), n_steps=1000, validation=rows(seed=1))
    assert dsa.n_iter_ < 10
    assert "validation_loss" in dsa.history_[0]


@each(
    {
        "make, error, message": [
            (lambda: small().fit(batches(X)), TypeError, "n_steps=10_000"),
            (lambda: small().fit(X, n_steps=10), ValueError, "n_steps is for an iterator of batches; got ndarray"),
            (lambda: small().fit(batches(X), n_steps=0), ValueError, "n_steps must be a whole number"),
            (lambda: small(early_stopping=True).fit(batches(X), n_steps=10), ValueError, "Give validation="),
            (lambda: small(checkpoint="there").fit(batches(X), n_steps=10), ValueError, "checkpoint must be None"),
        ]
    }
)
def test_what_cannot_be_is_said(make, error, message):
    with pytest.raises(error, match=message):
        make()

"""Generated ratings are as asked for."""

import numpy as np
import pytest
from tests.covering import each

from dsae.data import _ratings, make_ratings


@each(n_users=[1, 40], n_items=[120, 1000], per_user=[1, 15], own=[0.0, 0.8, 1.0], n_groups=[None, 3])
def test_users_have_so_many_different_items(n_users, n_items, per_user, own, n_groups):
    X = make_ratings(n_users, n_items, per_user=per_user, own=own, n_groups=n_groups, random_state=0)
    assert X.shape == (n_users, n_items)
    assert (X.data == 1).all()
    assert X.has_canonical_format
    counts = np.diff(X.indptr)
    assert counts.max() <= per_user
    assert counts.mean() > 0.6 * per_user


def test_a_seed_draws_the_same_and_blocks_are_joined(monkeypatch):
    one, other = (make_ratings(50, 300, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(one.toarray(), other.toarray())
    assert (one != make_ratings(50, 300, random_state=4)).nnz
    monkeypatch.setattr(_ratings, "_BLOCK", 1000)
    X = make_ratings(50, 300, random_state=3)
    assert X.shape == (50, 300)
    assert np.diff(X.indptr).min() > 10


def test_users_with_the_same_groups_overlap_more():
    like, unlike = (make_ratings(300, 2000, per_user=20, own=own, random_state=0) for own in (1.0, 0.0))
    many = [((X @ X.T).toarray()[np.triu_indices(300, 1)] >= 4).mean() for X in (like, unlike)]
    assert many[0] > 2 * many[1]


@each(
    {
        "given, message": [
            ({"per_user": 600}, "n_items must be at least per_user and n_groups, 600 and 5; got 500"),
            ({"n_groups": 0}, "n_groups must be a whole number of at least 1; got 0"),
            ({"own": 2}, r"own must be a number in \[0, 1\]; got 2"),
        ]
    }
)
def test_bad_numbers_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        make_ratings(**given)

"""Pairs of users and items become rows."""

import numpy as np
import pandas as pd
import pytest
from tests.covering import each

from dsae.data import interactions

BAD_PAIRS = {
    "none": ((["ann", None], [1, 2]), "users must hold no missing ids; got None in pair 1"),
    "nan": ((["ann", "bob"], [1.0, np.nan]), "items_of must hold no missing ids; got nan in pair 1"),
    "na": ((["ann", "bob"], [1, pd.NA]), "items_of must hold no missing ids; got <NA> in pair 1"),
    "mixed": (([1, "bob"], [1, 2]), "users must be all texts or all numbers; got int and str. Make them texts"),
    "text": (("ann", [1]), "users must be an array or a list of ids; got str"),
    "negative": (([1, 2], [1, 2], [1, -2]), "strengths must be finite and at least 0; got -2 in pair 1"),
    "no strength": (([1, 2], [1, 2], [np.nan, 1]), "strengths must be finite and at least 0; got nan in pair 0"),
    "strengths of text": (([1, 2], [1, 2], ["4", "x"]), "strengths must be numbers; got others"),
}


@each(case=BAD_PAIRS)
def test_bad_pairs_say_what_was_expected(case):
    given, message = BAD_PAIRS[case]
    with pytest.raises((ValueError, TypeError)) as error:
        interactions(*given)
    assert f"[interactions] {message}" in str(error.value)
    with pytest.raises(ValueError, match="items must be different"):
        interactions([1], [1], items=[1, "1"])


def test_pairs_become_rows():
    found = interactions(["ann", "bob", "ann", "ann"], ["tea", "tea", "jam", "tea"])
    assert (found.users.tolist(), found.items.tolist()) == (["ann", "bob"], ["jam", "tea"])
    np.testing.assert_array_equal(found.X.toarray(), [[1, 1], [0, 1]])
    rated = interactions([1, 1, 2], [7, 8, 7], [0.5, 0.25, 1.0])
    np.testing.assert_array_equal(rated.X.toarray(), [[0.5, 0.25], [1, 0]])
    again = interactions(["eve"], ["jam"], items=found.items)
    np.testing.assert_array_equal(again.X.toarray(), [[1, 0]])
    with pytest.raises(
        ValueError, match=r"\[interactions\] item must be one of the 2 given; got 'tee'. Did you mean 'tea'"
    ):
        interactions(["eve"], ["tee"], items=found.items)
    with pytest.raises(ValueError, match="users, items and strengths must be as many; got 2, 1"):
        interactions([1, 2], [3])

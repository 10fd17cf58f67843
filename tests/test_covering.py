import itertools

import pytest
from tests.covering import pairwise

AXES = [
    {"a": range(3)},
    {"a": range(2), "b": range(5)},
    {"a": range(7), "b": range(3), "c": range(3), "d": range(2), "e": range(3), "f": range(2)},
    {name: range(2) for name in "abcdefghij"},
]


@pytest.mark.parametrize("axes", AXES, ids=len)
def test_every_pair_of_values_meets_in_few_cases(axes):
    cases = pairwise(**axes)
    for a, b in itertools.combinations(axes, 2):
        assert {(case[a], case[b]) for case in cases} == set(itertools.product(axes[a], axes[b]))
    assert all(list(case) == list(axes) for case in cases)
    largest = sorted((len(axis) for axis in axes.values()), reverse=True)[:2]
    assert len(cases) <= 10 if len(axes) == 10 else len(cases) <= 1.3 * largest[0] * (largest[1] if largest[1:] else 1)
    assert cases == pairwise(**axes)

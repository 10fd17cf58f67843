import inspect
import itertools

import pytest
from tests.covering import covering, each, pairs, pairwise

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


def test_cases_of_one_value_run_in_one_test():
    layers, seen = [((2, 3), 0.5), ((4, 1), 1.0)], []

    @covering({"shape, density": layers}, n=[1, 2, 3], by="shape, density")
    def test(shape, density, n):
        seen.append((shape, density, n))

    (mark,) = test.pytestmark
    assert mark.args == (["shape", "density"], layers)
    for shape, density in layers:
        test(shape=shape, density=density)
    assert seen == [(*layer, n) for layer in layers for n in (1, 2, 3)]


def test_a_failure_says_which_case_it_was(tmp_path):
    @each({"a, b": [(0, 1), (2, 3)]}, c=["x"])
    def test(tmp_path, a, b, c):
        assert tmp_path
        assert a == 0

    assert list(inspect.signature(test).parameters) == ["tmp_path"]
    with pytest.raises(AssertionError) as failure:
        test(tmp_path=tmp_path)
    assert failure.value.__notes__ == ["with a=2, b=3, c='x'"]


def test_a_failure_to_raise_says_so_too():
    @pairs(a=[1, 0])
    def test(a):
        with pytest.raises(ZeroDivisionError):
            1 / (1 - a)

    with pytest.raises(pytest.fail.Exception) as failure:
        test()
    assert failure.value.__notes__ == ["with a=0"]


def test_a_case_leaves_nothing_to_the_next(tmp_path, monkeypatch, rng):
    drawn = []

    @pairs(a=[1, 2])
    def test(tmp_path, monkeypatch, rng, a):
        assert not list(tmp_path.iterdir())
        (tmp_path / "x").touch()
        assert AXES[0] == {"a": range(3)}
        monkeypatch.setitem(AXES[0], "a", a)
        drawn.append(rng.random())

    test(tmp_path=tmp_path, monkeypatch=monkeypatch, rng=rng)
    assert AXES[0] == {"a": range(3)}
    assert drawn == [rng.random()] * 2


def test_a_case_that_is_skipped_skips_no_other():
    seen = []

    @each(a=[0, 1, 2])
    def test(a):
        seen.append(a)
        if a in missing:
            pytest.skip("not here")

    missing = {0, 1}
    test()
    assert seen == [0, 1, 2]
    missing.add(2)
    with pytest.raises(pytest.skip.Exception):
        test()

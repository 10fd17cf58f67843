"""Covering arrays: few cases in which every pair of values of any two axes still meets."""

import contextlib
import copy
import functools
import inspect
import itertools

import pytest


def pairwise(**axes):
    """Cases, one value of each axis, that hold every pair of values of two axes; the same ones every time.

    Built row by row: an open pair is taken, and each further axis gives the value that closes most open pairs, the one
    used least of those that close as many. There are about as many rows as the two longest axes have pairs.
    """
    names, values = list(axes), [list(axis) for axis in axes.values()]
    if len(names) < 2:
        return [dict(zip(names, case, strict=True)) for case in itertools.product(*values)]
    sizes = [range(len(axis)) for axis in values]
    open_pairs = dict.fromkeys(
        ((a, i), (b, j)) for a, b in itertools.combinations(range(len(names)), 2) for i in sizes[a] for j in sizes[b]
    )
    used, cases = dict.fromkeys(((a, i) for a in range(len(names)) for i in sizes[a]), 0), []
    while open_pairs:
        row = dict(next(iter(open_pairs)))
        for axis in sorted(set(range(len(names))) - set(row), key=lambda axis: -len(sizes[axis])):
            row[axis] = min(
                sizes[axis], key=lambda i: (-len(_closed(row | {axis: i}, axis, open_pairs)), used[axis, i])
            )
        for axis, i in row.items():
            used[axis, i] += 1
            for pair in _closed(row, axis, open_pairs):
                del open_pairs[pair]
        cases.append({name: values[axis][row[axis]] for axis, name in enumerate(names)})
    return cases


def _closed(row, axis, open_pairs):
    """The open pairs of ``row`` that its value of ``axis`` takes part in."""
    at = (axis, row[axis])
    pairs = (tuple(sorted((at, other))) for other in row.items() if other[0] != axis)
    return [pair for pair in pairs if pair in open_pairs]


def covering(joined=None, *, by=None, **axes):
    """Like ``pytest.mark.parametrize`` for each axis, but with the cases of `pairwise` only.

    ``joined`` has axes of several arguments: ``{"shape, density": [((0, 3), 1.0), ...]}``. So a value beside which
    others mean nothing (a layer without inputs has no density) takes no other's place. With ``by``, the name of an
    axis, there is one test for each of its values, which runs all of its cases one after another.
    """
    cases = _arguments(pairwise(**(joined or {}), **axes))
    if by is None:
        names = list(cases[0])
        rows = [tuple(case.values()) for case in cases]
        return pytest.mark.parametrize(names, rows, ids=["-".join(map(_id, row)) for row in rows])
    names = [name.strip() for name in by.split(",")]
    values = dict.fromkeys(tuple(case[name] for name in names) for case in cases)
    parametrize = pytest.mark.parametrize(names, list(values), ids=["-".join(map(_id, key)) for key in values])
    return lambda test: parametrize(_within(test, cases, names))


def pairs(joined=None, **axes):
    """Run a quick test for the cases of `covering` within one case."""
    cases = _arguments(pairwise(**(joined or {}), **axes))
    return lambda test: _within(test, cases, [])


def each(joined=None, **axes):
    """Run a quick test for every combination of the axes' values within one case; see `covering` for ``joined``."""
    names = {**(joined or {}), **axes}
    cases = [dict(zip(names, case, strict=True)) for case in itertools.product(*names.values())]
    return lambda test: _within(test, _arguments(cases), [])


def _arguments(cases):
    """With axes of several arguments taken apart."""
    return [
        dict(
            pair
            for key, value in case.items()
            for pair in (zip(key.replace(" ", "").split(","), value, strict=True) if "," in key else [(key, value)])
        )
        for case in cases
    ]


def _within(test, cases, names):
    """A test that runs the cases whose values of ``names`` it is given; a failure says which one it was."""
    inner = [name for name in cases[0] if name not in names]

    @functools.wraps(test)
    def run(**given):
        skipped, ran = None, False
        for number, case in enumerate(cases):
            if all(case[name] is given[name] or case[name] == given[name] for name in names):
                try:
                    with _its_own(given, number) as own:
                        test(**own, **{name: case[name] for name in inner})
                    ran = True
                except pytest.skip.Exception as reason:
                    skipped = reason
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"with {', '.join(f'{name}={case[name]!r}' for name in inner)}")
                    raise
        if skipped and not ran:
            raise skipped

    signature = inspect.signature(test)
    run.__signature__ = signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in inner])
    return run


@contextlib.contextmanager
def _its_own(given, number):
    """The fixtures of one case, which leaves nothing to the next: random numbers, a folder and patches of its own."""
    own = dict(given)
    if "rng" in own:
        own["rng"] = copy.deepcopy(given["rng"])
    if "tmp_path" in own:
        own["tmp_path"] = given["tmp_path"] / f"case{number}"
        own["tmp_path"].mkdir()
    with pytest.MonkeyPatch.context() as patches:
        if "monkeypatch" in own:
            own["monkeypatch"] = patches
        yield own


def _id(value):
    if isinstance(value, tuple):
        return "x".join(map(_id, value)) or "none"
    return str(getattr(value, "__name__", value)).rpartition(".")[2] if hasattr(value, "__name__") else str(value)

"""Some rows of whatever holds them are the rows of these numbers, in the order asked for."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.config import JointConfig
from dsae.data import JointSource, Modality, ModalityWriter, open_rows
from dsae.interpret import ablate, take
from dsae.store import JointModel

X = np.random.default_rng(0).normal(0, 1, (50, 12)).astype(np.float32)
ROWS = [31, 2, 31, 7]


def frame(folder):
    import pandas as pd

    return pd.DataFrame(X)


def file(folder):
    folder.mkdir(exist_ok=True)
    np.save(folder / "x.npy", X)
    return open_rows(folder / "x.npy")


@each(kind=[lambda _: X.tolist(), lambda _: sp.coo_matrix(X), frame, file])
def test_rows_are_those_of_these_numbers(make_model, tmp_path, kind):
    given = kind(tmp_path / "given")
    found = take(make_model(), given, ROWS)
    np.testing.assert_array_equal(found.toarray() if sp.issparse(found) else found, X[ROWS])
    mask = np.arange(50) % 7 == 3
    found = take(make_model(), given, mask.tolist())
    np.testing.assert_array_equal(found.toarray() if sp.issparse(found) else found, X[mask])


def joint_of(make_model):
    parts = {name: make_model(n, n_components=4, seed=n, live=0.8) for name, n in (("a", 12), ("b", 5))}
    config = JointConfig({name: model.config for name, model in parts.items()})
    return JointModel(config, parts, {name: np.ones(4, np.float32) for name in parts})


@each(stored=[False, True])
def test_rows_by_modality_keep_what_they_lack(make_model, tmp_path, monkeypatch, stored):
    rows: dict = {"a": X, "b": X[:, :5] * 2}
    has = np.arange(50) % 3 > 0
    given = JointSource(rows, {"b": has})
    if stored:
        monkeypatch.setattr("dsae.data._stream._SMALL", 0)
        monkeypatch.setattr("dsae.interpret._take._ROWS_AT_ONCE", 8)
        parts = [Modality("a", (12,)), Modality("b", (5,))]
        (tmp_path / "joint").mkdir(parents=True)
        with ModalityWriter(tmp_path / "joint", parts, False) as writer:
            writer.write(rows, {"a": np.ones(50, bool), "b": has}, [f"r{i}" for i in range(50)], None)
        given = open_rows(tmp_path / "joint")
    model = joint_of(make_model)
    found = take(model, given, ROWS)
    np.testing.assert_array_equal(found.rows["a"], X[ROWS])
    np.testing.assert_array_equal(found.has("b"), has[ROWS])
    np.testing.assert_array_equal(found.rows["b"][has[ROWS]], 2 * X[ROWS, :5][has[ROWS]])
    whole = ablate(model, JointSource(rows, {"b": has}), [1])
    np.testing.assert_allclose(ablate(model, found, [1]).after, whole.after[ROWS], rtol=1e-5)
    if stored:
        with pytest.raises(TypeError, match=r"\[ablate\] X must be in memory; .* dsae\.interpret\.take"):
            ablate(model, given, [1])


@each(
    {
        "rows, message": [
            ([50], r"rows must lie in 0\.\.49; got 50\.\.50"),
            ([-1], "rows must lie in"),
            ([], "must "),
            ([[1]], r"or a bool for each of 50; got int64 of shape \(1, 1\)"),
            ([True, False], r"got bool of shape \(2,\)"),
            ([False] * 50, r"rows must lie in 0\.\.49; got none"),
        ]
    }
)
def test_rows_that_are_not_there_are_refused(make_model, rows, message):
    with pytest.raises(ValueError, match=rf"\[take\] .*{message}"):
        take(make_model(), X, rows)

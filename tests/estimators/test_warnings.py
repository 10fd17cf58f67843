"""Warnings come where something can be done, and only there."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import DeepSparseAutoencoder
from dsae.data import ArraySource, StreamSource, open_rows, write_rows
from dsae.estimators import _warnings as module

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 12))).astype(np.float32)
NAMES = [f"gene {j}" for j in range(12)]


def fit(rows, **changes):
    """What a fit warns of."""
    settings = {"n_components": 4, "hidden_layer_sizes": (16,), "density": 0.5, "max_iter": 2, "batch_size": 32}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        DeepSparseAutoencoder(**settings | {"random_state": 0, "learning_rate_init": 0.01} | changes).fit(rows)
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


def with_columns(value, columns):
    rows = X.copy()
    rows[:, columns] = value
    return rows


def test_ordinary_data_are_no_reason_to_warn():
    for rows in (X, sp.csr_matrix(np.maximum(X, 0)), pd.DataFrame(X, columns=NAMES)):
        assert fit(rows, max_iter=20) == []


@each(kind=[np.asarray, sp.csr_matrix])
def test_constant_features_are_counted_and_named(kind):
    assert fit(kind(with_columns(7, [2, 9]))) == [
        "[fit] 2 of 12 features are constant (columns 2, 9): they carry no information. Drop them, or check "
        "how they were made."
    ]
    (message,) = fit(pd.DataFrame(with_columns(0, range(7)), columns=NAMES))
    assert (
        "7 of 12 features are constant (columns 'gene 0', 'gene 1', 'gene 2', 'gene 3', 'gene 4' and 2 more)" in message
    )


@each(kind=[np.asarray, sp.csr_matrix])
def test_nameless_zeros_are_pixels_or_words(kind):
    assert fit(kind(with_columns(0, [0, 5]))) == []


def test_a_feature_that_moves_once_is_not_constant():
    for row in (0, 100, 199):
        rows = with_columns(7, [2])
        rows[row, 2] = 8
        assert fit(rows) == []


def test_columns_of_one_name_are_told_and_told_apart_by_place():
    twice = pd.DataFrame(X, columns=["a", "a", *NAMES[2:]])
    assert fit(twice) == [
        "[fit] X must have columns of different names; got 'a' more than once. Names are ignored; columns are "
        "identified by position. Rename them."
    ]
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(), max_iter=1, random_state=0)
    with pytest.warns(UserWarning, match="more than once"):
        codes = dsa.fit(twice).transform(twice)
    np.testing.assert_array_equal(codes, dsa.transform(X))


def with_value(value, row=17, column=3):
    rows = X.copy()
    rows[row, column] = value
    return rows


@each(form=["array", "csr", "frame", "file"])
def test_a_row_that_outweighs_all_others_is_named(form, tmp_path):
    rows, name = with_value(1e6), 3
    given = {"array": np.asarray, "csr": sp.csr_matrix}.get(form, lambda rows: pd.DataFrame(rows, columns=NAMES))(rows)
    if form == "file":
        given = source_of(tmp_path, rows, NAMES)
    if form in ("frame", "file"):
        name = "'gene 3'"
    message = fit(given, max_iter=1)[0]
    assert message.startswith(
        f"[fit] Row 17 holds 99.5% of the squared deviation from the mean, most of it in column {name}:"
    )
    rows = X.copy()
    rows[5] *= 1e4
    assert "Row 5 holds" in fit(rows, max_iter=1)[0]


def test_a_feature_that_outweighs_all_others_is_named_unless_features_are_scaled():
    rows = X * np.where(np.arange(12) == 4, 1e3, 1).astype(np.float32)
    (message,) = fit(pd.DataFrame(rows, columns=NAMES), max_iter=1)
    assert message.startswith("[fit] Column 'gene 4' holds 100.0% of the squared deviation from the mean")
    assert "Set scale=True" in message
    assert fit(rows, max_iter=1, scale=True) == []


def source_of(tmp_path, rows, names):
    path = tmp_path / ("x.npz" if names is None else "x.csv")
    write_rows(path, rows, names)
    return open_rows(path)


def test_constant_features_of_a_file_are_told_by_the_names_it_has(tmp_path):
    rows = with_columns(0.1, [2])
    rows[:, 5] = 0
    (message,) = fit(source_of(tmp_path, rows, NAMES))
    assert "2 of 12 features are constant (columns 'gene 2', 'gene 5'): they" in message
    for form in (np.asarray, sp.csr_matrix):
        (message,) = fit(source_of(tmp_path, form(rows), None))
        assert "1 of 12 features are constant (columns 2): they" in message
    (message,) = fit(ArraySource(rows))
    assert "1 of 12 features are constant (columns 2): they" in message


def test_features_of_a_file_that_move_once_are_not_constant(tmp_path):
    rows = with_columns(7, [2])
    rows[199, 2] = np.nextafter(np.float32(7), np.float32(8))
    assert fit(source_of(tmp_path, rows, NAMES)) == []


def test_what_is_constant_in_a_file_takes_no_pass_of_its_own(tmp_path, monkeypatch):
    passes = []
    in_order = StreamSource._in_order
    monkeypatch.setattr(StreamSource, "_in_order", lambda self: passes.append(1) or in_order(self))
    assert fit(source_of(tmp_path, with_columns(7, [2]), NAMES)) != []
    assert len(passes) == 1


def test_columns_of_one_name_in_a_file_are_told(tmp_path):
    names = ["a", "a", *NAMES[2:]]
    source = source_of(tmp_path, X, names)
    (message,) = fit(source)
    assert message.startswith("[fit] X must have columns of different names; got 'a' more than once.")
    with pytest.warns(UserWarning, match="more than once"):
        dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(source)
    assert not hasattr(dsa, "feature_names_in_")
    np.testing.assert_array_equal(dsa.transform(source), dsa.transform(X))


def test_layers_without_edges_are_told():
    messages = fit(
        X, density={"encoder.0": 0.02, "encoder.1": 0.05}, shrink="random", hidden_layer_sizes=(40,), max_iter=20
    )
    assert any(
        "many units have no remaining connections:" in message and "units of encoder.0" in message
        for message in messages
    )
    assert any("Raise density, or make the layers narrower." in message for message in messages)


def test_latents_without_edges_are_told_sooner():
    (message,) = fit(X, n_components=10, density=0.1, shrink="random", hidden_layer_sizes=(), max_iter=20)
    assert "many units have no remaining connections: 5 of 10 latents. Raise density" in message


def test_constant_rows_are_told_as_constant_features_only():
    assert len(fit(with_columns(0.3, range(12)), output_activation="relu", max_iter=20)) == 1


def test_a_model_that_knows_no_more_than_the_mean_is_told():
    (message,) = fit(X, learning_rate_init=30.0, hidden_layer_sizes=(), density=1.0, shrink="none", max_iter=20)
    assert message.startswith("[fit] The reconstruction is no better than the mean of the rows (FVU ")
    assert "Try another learning_rate_init (now 30), more epochs, more density, or scale=True" in message


@each(
    {"changes, n": [({}, 0), ({"scale": True}, 1), ({"code_activation": "topk", "k": 2, "hidden_layer_sizes": ()}, 1)]}
)
def test_the_mean_is_compared_where_training_has_not_told_already(monkeypatch, changes, n):
    measured, evaluate = [], module.evaluate
    monkeypatch.setattr(module, "evaluate", lambda *given, **how: measured.append(1) or evaluate(*given, **how))
    fit(X, max_iter=20, **changes)
    assert len(measured) == n


def test_rows_that_come_in_periods_are_sampled_from_all_of_them():
    hours = np.tile(np.arange(24, dtype=np.float32)[:, None], (1024, 2))
    assert np.unique(module._sample(ArraySource(hours)).rows).size == 24


def test_few_of_wide_rows_are_reconstructed_for_advice():
    assert module._sample(ArraySource(sp.csr_matrix((2000, 2**22), dtype=np.float32))).n_rows == 16


def test_after_few_steps_nothing_is_said():
    assert fit(X, learning_rate_init=30.0, hidden_layer_sizes=(), density=1.0, shrink="none", max_iter=5) == []


def test_the_warning_points_to_the_users_line():
    with pytest.warns(UserWarning, match="constant") as caught:
        DeepSparseAutoencoder(2, hidden_layer_sizes=(), max_iter=1).fit(with_columns(7, [2]))
    assert caught[0].filename == __file__

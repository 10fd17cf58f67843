"""Tables become rows of numbers and tables again; what cannot be learned from is left out and named."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from tests.covering import covering, each
from tests.features.tables import CONTAINERS, FEATURES, USED, N, mixed

from dsae import DeepSparseAutoencoder, DSAOutlierDetector
from dsae.features import Schema, TableRows


def test_the_transformer_keeps_the_contract():
    results = check_estimator(TableRows(), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 30


@each({"container": list(CONTAINERS)})
def test_a_table_becomes_numbers_and_the_same_table_again(container):
    table = CONTAINERS[container](mixed())
    rows = TableRows().fit(table)
    X = rows.transform(table)
    assert sorted(rows.get_feature_names_out()) == sorted(FEATURES)  # polars orders categories its own way
    assert (X.dtype, X.shape) == (np.float64, (N, len(FEATURES)))
    assert rows.schema_.named("ids") == "person"
    assert list(rows.left_out_) == ["note"]
    back, given = rows.inverse_transform(X), CONTAINERS[container](mixed()[USED])
    assert type(back) is type(given)
    if container == "arrow":
        back, given = back.to_pandas(), mixed()[USED].assign(children=mixed()["children"].astype(float))
    elif container == "polars":
        back, given = back.to_pandas(), given.to_pandas()
    pd.testing.assert_frame_equal(
        back, given, check_categorical=container == "pandas", check_dtype=container != "polars", rtol=1e-5
    )


def test_numbers_have_unit_variance_and_empty_cells_are_unknown():
    table = mixed()
    rows = TableRows().fit(table)
    X, names = rows.transform(table), rows.get_feature_names_out().tolist()
    measured = X[:, [names.index(name) for name in ("age", "height", "born", "seen", "children")]].astype(float)
    np.testing.assert_allclose(np.nanmean(measured, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(measured, axis=0), 1, rtol=1e-5)
    unknown = [name for name, value in zip(names, X[3], strict=True) if np.isnan(value)]
    assert unknown == [name for name in FEATURES if name.startswith(("colour", "smokes", "grade"))]
    assert np.isnan(X).sum(axis=1).tolist() == [0, 0, 0, 7, 3, *[0] * (N - 5)]


def test_missing_values_may_be_filled():
    table = mixed()
    rows = TableRows(missing="fill").fit(table)
    X, names = rows.transform(table), rows.get_feature_names_out().tolist()
    assert np.isfinite(X).all()
    assert X[3, :3].tolist() == [0, 0, 0]
    assert X[4, names.index("height")] == 0
    assert X[3, names.index("smokes")] == pytest.approx(table["smokes"].eq("yes").sum() / (N - 1))


@covering(
    kind=("words", "categories", "numbers as text"),
    n_classes=(2, 40, 500),
    missing=(False, True),
    by="kind",
)
def test_rare_classes_share_a_feature(kind, n_classes, missing):
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, n_classes + 1) ** 1.5
    drawn = rng.choice(n_classes, 4000, p=weights / weights.sum())
    labels = [f"{i}" if kind == "numbers as text" else f"kind {i}" for i in drawn]
    column = pd.Series(labels).astype("category" if kind == "categories" else "str")
    column[: 10 if missing else 0] = None
    table = pd.DataFrame({"kind": column, "x": rng.normal(size=4000)})
    rows = TableRows(min_frequency=20).fit(table)
    counts = column.value_counts()
    common = set(counts[counts >= 20].index)
    names = [name for name in rows.get_feature_names_out() if name != "x"]
    rare = ["kind=(other)"] if len(common) < len(counts) else []
    assert sorted(names) == sorted([*(f"kind={label}" for label in common), *rare])
    back = rows.inverse_transform(rows.transform(table))["kind"]
    if kind == "categories":
        own = column.cat.categories.tolist()
        assert back.cat.categories.tolist() == [*own, *(["(other)"] if rare else [])]
        of_common = rows.inverse_transform(rows.transform(table[column.isin(common)]))["kind"]
        assert of_common.cat.categories.tolist() == own, "only where a value needs it is there a category more"
    back = back.astype(object)
    expected = column.astype(object).where(column.isna() | column.isin(common), "(other)")
    assert back.where(back.notna(), None).tolist() == expected.where(expected.notna(), None).tolist()


def test_a_class_that_was_not_seen_is_a_rare_one_or_none():
    some, more = (pd.DataFrame({"c": list(text), "x": range(len(text))}) for text in ("aabbcd" * 1, "aabbz"))
    assert TableRows(min_frequency=2).fit(some).transform(more)[-1, :3].tolist() == [0, 0, 1]
    few = pd.DataFrame({"c": list("aabb"), "x": range(4)})
    assert TableRows().fit(few).transform(more)[-1, :2].tolist() == [0, 0]


def test_a_class_that_was_not_seen_is_not_the_empty_text():
    rows = TableRows().fit(pd.DataFrame({"colour": ["", "red"] * 20}))
    found = rows.transform(pd.DataFrame({"colour": ["blue", "", "red"]}))
    np.testing.assert_array_equal(found, [[0, 0], [1, 0], [0, 1]])


def test_columns_are_found_by_name_and_may_come_in_another_order():
    table = mixed()
    rows = TableRows().fit(table)
    other = table[["planet", *reversed(USED[:-1])]].assign(more=1)
    np.testing.assert_array_equal(rows.transform(other), rows.transform(table))
    with pytest.raises(ValueError, match=r"\[transform\] The table must have the columns of fit; it lacks 'age'\."):
        rows.transform(table.drop(columns="age"))
    with pytest.raises(ValueError, match=r"\[transform\] column 'age' must hold numbers, as in training"):
        rows.transform(table.assign(age="old"))


@each(
    {
        "values, why": [
            ([f"a text of its own {i}" for i in range(N)], "ids"),
            (range(1, N + 1), "number"),
            ([f"text {i * 7919 % N // 1.1:.0f}" for i in range(N)], "left out"),
            ([None] * N, "left out"),
            ([[1, 2]] * N, "left out"),
        ]
    }
)
def test_what_tells_rows_apart_is_no_feature(values, why):
    table = pd.DataFrame({"x": np.arange(N) % 7, "c": list(values)})
    (column,) = (column for column in TableRows().fit(table).schema_.columns if column.name == "c")
    assert column.kind == why


@each({"name": ["id", "", "Unnamed: 0", "row_names", "patient_id"]})
def test_ascending_numbers_with_such_a_name_name_the_rows(name):
    table = pd.DataFrame({name: range(1, N + 1), "x": np.arange(N) % 7})
    assert TableRows().fit(table).schema_.named("ids") == name


@each(
    {
        "written": [
            *("2020-01-05", "2020/01/05", "05.01.2020", "25/01/2020", "01/25/2020", "5 Jan 2020", "Jan 05, 2020"),
            *("05-Jan-2020", "January 05, 2020", "2020-01-05 10:30", "01/25/2020 10:30:15"),
        ]
    }
)
def test_dates_in_text_are_numbers_of_days_and_dates_again(written):
    from dsae.features._schema import DATE_FORMATS
    from dsae.features._values import days_of

    format = next(format for format in DATE_FORMATS if fits(written, format))
    when = pd.date_range("2019-11-17 10:30:15", periods=N, freq="9D")
    texts = [moment.strftime(format) for moment in when]
    rows = TableRows().fit(pd.DataFrame({"when": texts, "x": range(N)}))
    assert rows.schema_.columns[0].kind == "date"
    assert rows.schema_.columns[0].mean == pytest.approx(np.mean([days_of(text, format) for text in texts]))
    back = rows.inverse_transform(rows.transform(pd.DataFrame({"when": texts, "x": range(N)})))
    found = [days_of(text, format) for text in back["when"]]
    np.testing.assert_allclose(found, [days_of(text, format) for text in texts], atol=1e-3)


def fits(text, format):
    from dsae.features._values import days_of

    try:
        days_of(text, format)
    except ValueError:
        return False
    return True


@each(
    {
        "type": [
            *(pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(9, 2), pa.bool_()),
            *(pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns", "Europe/Berlin"), pa.duration("ms")),
            *(pa.time32("s"), pa.time64("us"), pa.string(), pa.dictionary(pa.int8(), pa.int64())),
        ]
    }
)
def test_every_type_comes_back(type):
    ints = pa.array([i * 37 % 50 for i in range(N)], pa.int64())
    if pa.types.is_boolean(type):
        column = pa.array([i % 3 == 0 for i in range(N)])
    elif pa.types.is_dictionary(type):
        column = ints.dictionary_encode()
    elif pa.types.is_decimal(type):
        column = ints.cast(pa.float64()).cast(type)
    elif pa.types.is_date64(type):
        column = ints.cast(pa.int32()).cast(pa.date32()).cast(type)
    else:
        column = (ints.cast(pa.int32()) if type in (pa.date32(), pa.time32("s")) else ints).cast(type)
    table = pa.table({"c": column, "x": pa.array(range(N))})
    rows = TableRows(min_frequency=1, max_categories=100).fit(table)
    back = TableRows.from_json(rows.to_json()).inverse_transform(rows.transform(table))
    exact = not pa.types.is_floating(type)
    given = column.to_pylist()
    assert back.column("c").to_pylist() == (given if exact else pytest.approx(given, abs=1e-5))
    assert pa.types.is_dictionary(type) or back.schema.field("c").type == column.type


def test_it_is_kept_as_json():
    table = mixed()
    rows = TableRows(label_column="planet").fit(table)
    again = TableRows.from_json(rows.to_json())
    assert again.schema_ == rows.schema_
    np.testing.assert_array_equal(again.transform(table), rows.transform(table))
    pd.testing.assert_frame_equal(
        again.inverse_transform(again.transform(table)), rows.inverse_transform(rows.transform(table))
    )
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows)).transform(table), rows.transform(table))
    assert clone(again).fit(table).get_feature_names_out().tolist() == rows.get_feature_names_out().tolist()


@each(
    {
        "settings, message": [
            ({"columns": ["colur"]}, r"The table has no column 'colur'\. Did you mean 'colour'\?"),
            ({"columns": "colour"}, r"columns must be a list of names; got 'colour'"),
            ({"exclude": USED}, r"The table must have columns whose values differ.*'age' \(excluded\)"),
            ({"missing": "mean"}, r"missing must be one of mask, fill; got 'mean'"),
            ({"max_categories": 0}, r"max_categories must be a whole number of at least 1"),
            ({"min_frequency": 2.0}, r"min_frequency must be a number in \[0, 1\]"),
        ]
    }
)
def test_a_bad_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TableRows(**settings).fit(mixed())


def test_columns_to_learn_from_are_chosen_and_ids_are_found_beside_them():
    rows = TableRows(columns=["age", "colour"]).fit(mixed())
    assert sorted(rows.get_feature_names_out()) == ["age", "colour=blue", "colour=green", "colour=red"]
    assert rows.schema_.named("ids") == "person"
    assert TableRows(columns=["age"], exclude=["person", "note"]).fit(mixed()).schema_.named("ids") is None


def test_infinity_is_no_number():
    with pytest.raises(ValueError, match=r"\[fit\] column 'x' must hold finite numbers; row 1 holds inf"):
        TableRows().fit(pd.DataFrame({"x": [1.0, np.inf, 2.0]}))
    rows = TableRows().fit(pd.DataFrame({"x": [1.0, 3.0, 2.0]}))
    with pytest.raises(ValueError, match=r"\[transform\] column 'x' must hold finite numbers"):
        rows.transform(pd.DataFrame({"x": [np.inf]}))


def test_pipelines_take_tables():
    table = mixed()
    dsa = DeepSparseAutoencoder(n_components=3, hidden_layer_sizes=(8,), density=0.5, max_iter=2, random_state=0)
    pipeline = make_pipeline(TableRows(missing="fill"), dsa).fit(table)
    assert pipeline.transform(table).shape == (N, 3)
    assert pipeline.inverse_transform(pipeline.transform(table)).columns.tolist() == USED
    detector = make_pipeline(TableRows(missing="fill"), DSAOutlierDetector(n_estimators=1, random_state=0)).fit(table)
    assert detector.predict(table).shape == (N,)


def test_the_estimator_says_what_to_do_with_a_table():
    with pytest.raises((ValueError, TypeError), match=r"dsae\.features\.TableRows"):
        DeepSparseAutoencoder().fit(mixed()[["colour", "age"]])
    with pytest.raises(TypeError, match=r"dsae\.features\.TableRows"):
        DeepSparseAutoencoder().fit(mixed()[["born", "age"]])


def test_names_of_features_are_unique():
    table = pd.DataFrame({"a": ["b=c", "d"] * 5, "a=b": ["c", "e"] * 5, "a=d": range(10)})
    names = TableRows().fit(table).get_feature_names_out().tolist()
    assert len(set(names)) == len(names) == 5
    assert isinstance(TableRows().fit(table).schema_, Schema)


def test_whole_numbers_beside_holes_come_back_as_they_were():
    table = pd.DataFrame({"rooms": [3, 23, None, 7] * 5, "size": [0.5, 23.0, 8.25, None] * 5})
    rows = TableRows().fit(table)
    back = rows.inverse_transform(rows.transform(table))
    pd.testing.assert_frame_equal(back[["rooms"]], table[["rooms"]], check_exact=True)
    assert TableRows.from_json(rows.to_json()).schema_ == rows.schema_
    assert [column.whole for column in rows.schema_.columns] == [True, False]


def test_rows_go_back_with_their_index_and_with_what_is_missing():
    table = pd.DataFrame({"age": [30, 40, 50], "colour": ["red", "red", "blue"]}, index=list("abc"))
    rows = TableRows(min_frequency=1).set_output(transform="pandas").fit(table)
    made = rows.transform(table)
    pd.testing.assert_frame_equal(rows.inverse_transform(made), table)
    made.iloc[1] = np.nan
    assert rows.inverse_transform(made).isna().sum(axis=1).tolist() == [0, 2, 0]
    with pytest.raises(ValueError, match=r"\[inverse_transform\] X must hold finite numbers"):
        rows.inverse_transform(np.full((1, 3), np.inf))
    with pytest.raises(ValueError, match=r"\[inverse_transform\] X must hold numbers"):
        rows.inverse_transform([["red", 1, 2]])


@pytest.mark.parametrize("container", ["pandas", "polars", "arrow"])
def test_numbers_come_back_as_they_came(container):
    """Of up to nine decimals exactly, others but for the last digits of double precision."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "price": rng.uniform(0, 9e4, 50).round(2),
            "share": rng.uniform(0, 1, 50).round(6),
            "people": rng.integers(0, 2**40, 50),
            "noise": rng.normal(1e3, 1e-3, 50),
        }
    )
    given = {"pandas": lambda: frame, "polars": lambda: pl.from_pandas(frame), "arrow": lambda: pa.table(dict(frame))}
    table = given[container]()
    rows = TableRows().fit(table)
    for some in (rows, TableRows.from_json(rows.to_json())):
        found = some.inverse_transform(some.transform(table))
        found = found.to_pandas() if container != "pandas" else found
        pd.testing.assert_frame_equal(found[["price", "share", "people"]], frame[["price", "share", "people"]])
        np.testing.assert_allclose(found["noise"], frame["noise"], rtol=1e-14)


@each({"missing": ["mask", "fill"]})
def test_a_row_without_a_value_is_not_present(missing):
    table = pd.DataFrame({"age": [1.0, None, 3.0, None] * 3, "colour": ["red", None, None, "blue"] * 3})
    assert TableRows(missing=missing).fit(table).present(table).tolist() == [True, False, True, True] * 3

"""One callable from a table to a table: as many rows, in their order, with their ids."""

import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from tests.covering import each

from dsae import Runtime, load, store
from dsae.cluster import Encode

NAMES = [f"x{i}" for i in range(12)]
ROWS = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
IDS = [f"row {i}" for i in range(50)]
WIDE = pa.table({"id": IDS, **dict(zip(NAMES, ROWS.T.copy(), strict=True)), "kind": [i % 3 for i in range(50)]})


def lists(rows, **more):
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    return pa.table({"id": IDS[: len(rows)], "embedding": column, **more})


def numbers(table, name="code"):
    column = table.column(name)
    return np.array(column.to_pylist(), np.float32)


@pytest.fixture
def runtime(make_model):
    return Runtime(make_model(model={"feature_names": NAMES}))


@pytest.fixture
def nameless(make_model):
    return Runtime(make_model())


@each(what=["codes", "reconstruct", "score"])
def test_what_is_made_is_the_runtimes(runtime, what):
    name, verb = {
        "codes": ("code", runtime.encode),
        "reconstruct": ("reconstruction", runtime.reconstruct),
        "score": ("score", runtime.score_samples),
    }[what]
    made = Encode(runtime, "id", what=what)(WIDE)
    assert made.column_names == ["id", name]
    assert made.column("id").to_pylist() == IDS
    np.testing.assert_array_equal(numbers(made, name), verb(ROWS))
    kind = made.schema.field(name).type
    assert kind == (pa.float32() if what == "score" else pa.list_(pa.float32(), {"codes": 5, "reconstruct": 12}[what]))


def test_columns_are_found_by_the_names_of_the_model(runtime, nameless):
    wanted = runtime.encode(ROWS)
    shuffled = WIDE.select(["kind", "x3", "id", *[name for name in reversed(NAMES) if name != "x3"]])
    made = Encode(runtime, "id", keep=["kind"])(shuffled)
    assert made.column_names == ["id", "kind", "code"]
    np.testing.assert_array_equal(numbers(made), wanted)
    np.testing.assert_array_equal(numbers(Encode(runtime, columns=["embedding"])(lists(ROWS))), wanted)
    np.testing.assert_array_equal(numbers(Encode(runtime, "id")(lists(ROWS))), wanted)
    renamed = WIDE.rename_columns(["id", *[f"y{i}" for i in range(12)], "kind"])
    np.testing.assert_array_equal(numbers(Encode(runtime, columns=[f"y{i}" for i in range(12)])(renamed)), wanted)
    np.testing.assert_array_equal(numbers(Encode(nameless, "id", keep=["kind"])(renamed)), nameless.encode(ROWS))


@each(
    kind=[
        pa.float64(),
        pa.float16(),
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 12),
    ]
)
def test_numbers_of_any_kind_are_rows(nameless, kind):
    values = ROWS.astype(np.float16).astype(np.float32)
    if pa.types.is_floating(kind):
        table = pa.table(
            {
                name: pa.array(column.astype(kind.to_pandas_dtype()))
                for name, column in zip(NAMES, values.T, strict=True)
            }
        )
    else:
        table = pa.table({"x": pa.array(values.tolist(), kind)})
    pieces = pa.concat_tables([table.slice(0, 7), table.slice(7, 0), table.slice(7)])
    np.testing.assert_array_equal(numbers(Encode(nameless)(pieces)), nameless.encode(values))


def test_the_callable_goes_to_other_processes_without_its_folder(make_model, tmp_path):
    folder = store.write(tmp_path / "model", make_model())
    encode = Encode(folder, "id", k=None)
    sent = pickle.dumps(encode)
    wanted = load(folder).encode(ROWS)
    for path in folder.iterdir():
        path.unlink()
    code = (
        "import pickle, sys, numpy, pyarrow as pa;"
        "encode = pickle.loads(sys.stdin.buffer.read());"
        "rows = numpy.random.default_rng(0).normal(size=(50, 12)).astype('f4');"
        "made = encode(pa.table({'id': list(range(50)), **{f'x{i}': rows[:, i].copy() for i in range(12)}}));"
        "print(made.column('code').to_pylist());"
        "print(sorted({'torch', 'dask', 'distributed', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    codes, heavy = done.stdout.decode().splitlines()
    np.testing.assert_array_equal(np.array(eval(codes), np.float32), wanted)
    assert heavy == "[]"


def test_record_batches_come_and_go_as_spark_has_them(nameless):
    batches = WIDE.drop_columns(["kind"]).to_batches(max_chunksize=20)
    empty = batches[0].slice(0, 0)
    encode = Encode(nameless, "id")
    made = list(encode.batches([batches[0], empty, *batches[1:]]))
    assert {type(batch) for batch in made} == {pa.RecordBatch}
    whole = pa.Table.from_batches(made)
    assert whole.column("id").to_pylist() == IDS
    np.testing.assert_array_equal(numbers(whole), nameless.encode(ROWS))
    assert whole.schema.field("code").type == pa.list_(pa.float32())  # of which Spark knows no fixed length
    made = encode(WIDE.drop_columns(["kind"]))
    assert encode(empty).schema == encode(lists(ROWS).slice(0, 0)).schema == made.schema


def test_topk_codes_may_be_shorter(make_model):
    runtime = Runtime(make_model(code_activation="topk", k=4))
    made = numbers(Encode(runtime, "id", k=2)(WIDE.drop_columns(["kind"])))
    np.testing.assert_array_equal(made, runtime.encode(ROWS, k=2))
    with pytest.raises(ValueError, match=r"^\[encode\] k must be at most 5"):
        Encode(runtime, k=9)


def test_what_is_missing_is_null(make_model):
    from dsae.store import Inputs

    values = ROWS.copy()
    values[3, 4] = np.nan
    columns = {name: pa.array(column, from_pandas=True) for name, column in zip(NAMES, values.T, strict=True)}
    with pytest.raises(ValueError, match=r"^\[encode\] X must be finite; it holds NaN, first in row 3"):
        Encode(Runtime(make_model()))(pa.table(columns))
    ones = np.ones(12, np.float32)
    inputs = Inputs(mean=ones * 0, low=-9 * ones, high=9 * ones)
    runtime = Runtime(make_model(missing="mask", model={"inputs": inputs}))
    np.testing.assert_array_equal(numbers(Encode(runtime)(pa.table(columns))), runtime.encode(values))


@each(
    {
        "given, table, message": [
            ({"id_column": "name"}, WIDE, r"^\[Encode\] The table must have a column 'name'; it has id, x0,"),
            ({}, WIDE.drop_columns(["x5"]), r"it has no 'x5'\. Name those that take their places, .* by columns\."),
            ({"columns": ["x0", "other"]}, WIDE, r"has no column 'other'; it has id, x0"),
            ({"columns": ["id", "x0"]}, WIDE, r"columns of numbers, or one column of lists of them; got 'id' \(text\)"),
            ({"columns": NAMES[:3]}, WIDE, r"^\[encode\] X must have 12 columns, the model's input width; got .*3\)"),
            ({"columns": ["embedding"]}, lists(ROWS[:, :5].copy()), r"must have 12 columns"),
        ]
    }
)
def test_tables_that_are_no_rows_of_the_model_are_refused(runtime, given, table, message):
    with pytest.raises(ValueError, match=message):
        Encode(runtime, **given)(table)


def test_lists_of_other_lengths_are_told(nameless):
    table = pa.table({"x": [[1.0] * 12, [1.0] * 11]})
    with pytest.raises(ValueError, match=r"must hold lists of 12 numbers, as in its first row; got 11 in row 1"):
        Encode(nameless)(table)


def test_models_that_take_no_rows_of_numbers_are_refused(runtime):
    with pytest.raises(ValueError, match=r"^\[Encode\] what must be one of codes, reconstruct, score"):
        Encode(runtime, what="code")
    with pytest.raises(ValueError, match="k is for codes; got k=2 with what='score'"):
        Encode(runtime, what="score", k=2)
    with pytest.raises(ValueError, match="is not a model folder"):
        Encode("/nowhere")

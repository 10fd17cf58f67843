"""Tables of pandas and Arrow: which column is the row ids, and what is no table of numbers."""

import numpy as np
import pandas as pd
import pytest
from tests.covering import each
from tests.data.samples import NAMES

from dsae.data import open_rows, writing

pytestmark = pytest.mark.usefixtures("small_pieces")


def test_tables_that_pandas_writes(tmp_path, rows, ids):
    frame = pd.DataFrame(rows, index=pd.Index(ids, name="cell"), columns=NAMES)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=500)
    frame.rename_axis(None).to_parquet(tmp_path / "b.parquet")
    frame.astype("float64").reset_index(drop=True).to_parquet(tmp_path / "c.parquet")
    frame[:500].rename_axis(None).to_csv(tmp_path / "d.csv")
    for name, id_name in (("a.parquet", "cell"), ("b.parquet", ""), ("c.parquet", None)):
        source = open_rows(tmp_path / name)
        assert (source.id_name, source.column_names) == (id_name, NAMES)
        np.testing.assert_array_equal(source.read(), rows)
    source = open_rows(tmp_path / "d.csv")
    assert (source.id_name, source.column_names) == ("", NAMES)
    np.testing.assert_array_equal(np.concatenate([chunk.ids for chunk in source.chunks()]), ids[:500])


def to_csv(frame, path):
    frame.rename_axis(None).to_csv(path)


def to_parquet(frame, path):
    frame.to_parquet(path)


def to_arrow(frame, path, make="new_file"):
    import pyarrow as pa

    table = pa.Table.from_pandas(frame)
    with getattr(pa.ipc, make)(str(path), table.schema) as writer:
        writer.write_table(table)


TABLES = {"csv": to_csv, "parquet": to_parquet, "arrow": to_arrow}


@each(kind=TABLES)
def test_an_index_of_numbers_that_pandas_writes_is_no_feature(tmp_path, kind):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=pd.Index([70, 80], name="cell"))
    TABLES[kind](frame, tmp_path / f"x.{kind}")
    source = open_rows(tmp_path / f"x.{kind}")
    assert (source.id_name, source.column_names) == ("" if kind == "csv" else "cell", ["a", "b"])
    assert [str(i) for i in next(source.chunks()).ids] == ["70", "80"]
    np.testing.assert_array_equal(source.read(), frame)


IDS = {"numbers": [70, 80, 90], "text": ["u", "v", "w"], "times": pd.date_range("2026", periods=3, tz="UTC")}


@each(name=["cell", ""], ids=IDS.values(), kind=["parquet", "arrow", "feather"])
def test_ids_are_the_index_to_pandas_and_to_us(tmp_path, kind, ids, name):
    path = tmp_path / f"x.{kind}"
    with writing(path, 3, ["a", "b"], name) as writer:
        for i in range(3):
            writer.write(np.full((1, 2), i, np.float32), np.array(ids[i : i + 1], object))
    frame = pd.read_parquet(path) if kind == "parquet" else pd.read_feather(path)
    assert (list(frame), frame.index.tolist(), frame.index.name) == (["a", "b"], list(ids), name or None)
    source = open_rows(path)
    assert (source.id_name, source.column_names) == (name, ["a", "b"])
    assert [i for chunk in source.chunks() for i in chunk.ids] == list(ids)


@each(kind=TABLES)
def test_an_index_beside_another_column_of_ids_is_refused(tmp_path, kind):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}, index=pd.Index([70, 80], name="cell"))
    TABLES[kind](frame, tmp_path / f"x.{kind}")
    with pytest.raises(
        ValueError, match=r"must hold numbers, besides ids and labels; got 'b' \(text\)\. Name row ids by id_column"
    ):
        open_rows(tmp_path / f"x.{kind}")


def test_an_index_of_several_columns_is_refused(tmp_path):
    index = pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["plate", "well"])
    pd.DataFrame({"a": [1.0, 2.0]}, index=index).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"at most one column of row ids; pandas' index has plate, well\. Name one"):
        open_rows(tmp_path / "x.parquet")
    assert open_rows(tmp_path / "x.parquet", id_column="plate").column_names == ["a", "well"]


@each(said=[b"{", b"[" * 100_000, b"3", b"{}", b'{"index_columns": null}', b"\xff"])
def test_what_pandas_cannot_have_said_of_its_index_is_passed_over(tmp_path, said):
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.table({"a": [1.0], "__index_level_0__": [7]}).replace_schema_metadata({b"pandas": said})
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    source = open_rows(tmp_path / "x.parquet")
    assert (source.id_name, source.column_names) == ("", ["a"])


def test_a_csv_with_several_columns_without_a_name_has_no_index(tmp_path):
    (tmp_path / "x.csv").write_text(",,a\n1,2,3\n")
    assert open_rows(tmp_path / "x.csv").shape == (1, 3)


def test_arrows_stream_format_is_one_part(tmp_path, rows):
    """As Hugging Face datasets keeps its files."""
    to_arrow(pd.DataFrame(rows, columns=NAMES), tmp_path / "x.arrow", "new_stream")
    source = open_rows(tmp_path / "x.arrow")
    assert source.reader.n_parts == 1
    np.testing.assert_array_equal(source.read(), rows)


@each(kind=["csv", "parquet"])
def test_a_column_of_numbers_can_be_the_ids(tmp_path, rows, kind):
    with writing(tmp_path / f"x.{kind}", 10, ["number", "b"]) as writer:
        writer.write(rows[:10, :2])
    source = open_rows(tmp_path / f"x.{kind}", id_column="number")
    assert source.column_names == ["b"]
    assert [float(i) for i in next(source.chunks()).ids] == rows[:10, 0].tolist()
    with pytest.raises(ValueError, match=r"has no column 'c'; it has number, b\."):
        open_rows(tmp_path / f"x.{kind}", id_column="c")


@each(kind=["csv", "parquet", "arrow"])
def test_columns_of_text_are_refused_by_name(tmp_path, kind):
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0], "c": ["u", "v"]})
    path = tmp_path / f"x.{kind}"
    {"csv": lambda p: frame.to_csv(p, index=False), "parquet": frame.to_parquet, "arrow": frame.to_feather}[kind](path)
    with pytest.raises(ValueError, match=r"must hold numbers, besides ids and labels; got 'a' \(text\), 'c' \(text\)"):
        open_rows(path)
    with pytest.raises(ValueError, match=r"got 'c' \("):
        open_rows(path, id_column="a")
    assert open_rows(path, id_column="a", exclude=["c"]).column_names == ["b"]


def test_an_empty_cell_of_a_table_is_told_as_one(tmp_path):
    pd.DataFrame({"a": pd.array([1, None], "Int64")}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="row 1, counted from 0, holds NaN or an empty cell"):
        open_rows(tmp_path / "x.parquet").read()


def test_a_table_without_numbers_and_one_with_equal_names_are_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    pd.DataFrame({"a": ["x"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="holds no columns"):
        open_rows(tmp_path / "x.parquet")
    table = pa.table([pa.array([1.0]), pa.array([2.0])], ["a", "a"])
    pa.parquet.write_table(table, tmp_path / "y.parquet")
    with pytest.raises(ValueError, match="name every column differently; got a, a"):
        open_rows(tmp_path / "y.parquet")

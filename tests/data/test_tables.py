"""Tables of any types of columns are read whole and written again."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.covering import each
from tests.features.tables import mixed

from dsae.data import read_tables, write_table

ENDINGS = ["csv", "tsv", "csv.gz", "parquet", "arrow", "feather"]


@each({"ending": ENDINGS})
def test_a_table_is_read_as_it_was_written(tmp_path, ending):
    table = pa.Table.from_pandas(mixed(), preserve_index=False).replace_schema_metadata(None)
    write_table(tmp_path / f"x.{ending}", table)
    ((reader, found),) = read_tables(tmp_path / f"x.{ending}")
    assert (len(reader), reader.column_names) == (60, table.column_names)
    if ending in ("csv", "tsv", "csv.gz"):
        kinds = {name: str(found.schema.field(name).type) for name in ("age", "height", "member", "born", "colour")}
        assert kinds["age"] == "int64"
        assert kinds["height"] == "double"
        assert kinds["member"] == kinds["colour"] == "string"
        assert kinds["born"].startswith(("date32", "timestamp"))
        assert found.column("colour")[3].as_py() is None
        np.testing.assert_array_equal(found.column("height").to_numpy(), mixed()["height"])
    else:
        assert found.to_pydict() == table.to_pydict()
        assert [str(kind)[:9] for kind in found.schema.types] == [str(kind)[:9] for kind in table.schema.types]


def test_a_folder_is_as_many_tables_as_files(tmp_path):
    for i in range(3):
        write_table(tmp_path / f"{i}.csv", pa.table({"x": [i, i + 1], "c": ["a", None]}))
    found = read_tables(tmp_path)
    assert [table.column("x").to_pylist() for _, table in found] == [[0, 1], [1, 2], [2, 3]]


@each(
    {
        "text, options, columns": [
            ("a;b\n1,5;x\n2,5;y\n", {"decimal": ","}, {"a": [1.5, 2.5], "b": ["x", "y"]}),
            ("a,a,b\n1,2,x\n3,4,NA\n", {}, {"a": [1, 3], "a.1": [2, 4], "b": ["x", None]}),
            ('"a","b"\n"Mazda",1\n"Fiat",\n', {}, {"a": ["Mazda", "Fiat"], "b": [1, None]}),
            ('"","1.5","2.5"\n"9.4",0,1\n"9.5",2,3\n', {}, {"": [9.4, 9.5], "1.5": [0, 2], "2.5": [1, 3]}),
            ("a,b\n001,x\n002,y\n", {"texts": ("a",)}, {"a": ["001", "002"], "b": ["x", "y"]}),
            ("a,b\nTRUE,2020-01-05\nFALSE,2020-02-01\n", {}, None),
        ]
    }
)
def test_text_is_read_by_the_types_that_it_allows(tmp_path, text, options, columns):
    (tmp_path / "x.csv").write_text(text)
    ((_, table),) = read_tables(tmp_path / "x.csv", **options)
    if columns is None:
        assert [str(kind) for kind in table.schema.types] == ["string", "date32[day]"]
    else:
        assert table.to_pydict() == columns


def test_other_formats_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    with pytest.raises(ValueError, match=r"x\.npy must be a table \(\.csv, \.tsv, \.parquet, .*to be read as one"):
        read_tables(tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r"such a table is written as csv, tsv, parquet, arrow, feather; got npy"):
        write_table(tmp_path / "y.npy", pa.table({"x": [1]}))
    assert not (tmp_path / "y.npy").exists()


def test_text_is_written_for_pandas(tmp_path):
    table = pa.table({"x": pa.array([0.1, None], pa.float32()), "c": ['say "no"', "a,b"], "n": [1, None]})
    write_table(tmp_path / "x.csv.gz", table)
    with gzip.open(tmp_path / "x.csv.gz", "rt") as file:
        assert file.read() == 'x,c,n\n0.1,"say ""no""",1\n,"a,b",\n'
    assert pd.read_csv(tmp_path / "x.csv.gz")["c"].tolist() == ['say "no"', "a,b"]

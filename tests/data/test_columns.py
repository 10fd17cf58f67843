"""What each column of a table is taken for, and what is said where that is not plain."""

import warnings

import numpy as np
import pandas as pd
import pytest
from tests.covering import each
from tests.data.small import Standard

from dsae.data import open_rows

N = 12
NUMBERS = {"x": np.linspace(0, 1, N), "y": np.linspace(3, 1, N)}


def write(path, **columns):
    frame = pd.DataFrame({**columns, **NUMBERS})
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.fixture(params=["csv", "parquet"])
def path(tmp_path, request):
    return tmp_path / f"x.{request.param}"


def test_unique_texts_name_the_rows(path):
    source = open_rows(write(path, cell=[f"c{i}" for i in range(N)]))
    assert (source.id_name, source.column_names) == ("cell", ["x", "y"])


@each(
    {
        "values, message": [
            (["cat", "dog"] * 6, r"column 'c' holds text that repeats \('cat', 'dog'\), so it does not name rows"),
            ([f"{i},000" for i in range(1, N + 1)], r"column 'c' must be numbers, as '1,000' seems to be; got '1,000'"),
            ([f"{i}%" for i in range(N)], r"column 'c' must be numbers, as '0%' seems to be; got '0%'"),
            ([f"{i}.5 €" for i in range(N)], r"column 'c' must be numbers, as '0\.5 €' seems to be"),
            ([f"\u2212{i}" for i in range(N)], r"column 'c' must be numbers, as '\u22120' seems to be"),
            ([*map(str, range(N - 1)), "low"], r"column 'c' must be numbers, as '0' seems to be; got 'low'"),
        ]
    }
)
def test_other_text_is_refused_by_name(path, values, message):
    with pytest.raises(ValueError, match=message):
        open_rows(write(path, c=values))
    assert open_rows(path, exclude=["c"]).column_names == ["x", "y"]
    source = open_rows(path, label_column="c")
    assert next(source.chunks()).labels.tolist() == values


@each(
    {
        "values, shown": [
            ([f"12/{i}/2020" for i in range(1, N + 1)], "12/1/2020"),
            ([f"Jan {i} 2020" for i in range(1, N + 1)], "Jan 1 2020"),
            ([f"{2000 + i}-Q1" for i in range(N)], "2000-Q1"),
            ([f"{i}kg" for i in range(N - 1)] + ["light"], "0kg"),
            ([f"1/{i}" for i in range(1, N + 1)], "1/1"),
        ]
    }
)
def test_values_written_as_text_are_no_ids(path, values, shown):
    with pytest.raises(ValueError, match=f"column 'c' must be numbers or names of rows; got dates.* such as '{shown}'"):
        open_rows(write(path, c=values))
    assert open_rows(path, "c").id_name == "c"


@each(form=["1007_s_at{}", "{}700001C02Rik", "{}-AAACCTG", "MARCH{}", "550e8400-e29b-{}", "8{}e4f-a7"])
def test_names_that_look_like_values_stay_names(path, form):
    assert open_rows(write(path, probe_id=[form.format(i) for i in range(N)])).id_name == "probe_id"


def test_text_that_is_taken_for_ids_is_told_unless_its_name_says_so(path):
    for name in ("id", "patient_id", "CustomerID", "Barcode", "Unnamed: 0", "sample1"):
        open_rows(write(path, **{name: [f"c{i}" for i in range(N)]}))
    write(path, comment=[f"c{i}" for i in range(N)])
    with pytest.warns(
        UserWarning, match=r"column 'comment' holds different texts and is taken for row ids.*--id-column"
    ):
        assert open_rows(path).id_name == "comment"
    open_rows(path, "comment")
    open_rows(path, exclude=["comment"])


def test_a_folder_tells_of_its_columns_once(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.csv", comment=[f"c{i} {j}" for j in range(N)])
    with pytest.warns(UserWarning, match="column 'comment'") as told:
        open_rows(tmp_path)
    assert len(told) == 1


def test_ids_that_repeat_after_the_first_lines_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._text._SAMPLE_LINES", 6)
    write(tmp_path / "x.csv", cell=[*(f"c{i}" for i in range(10)), "c1", "c1"])
    with pytest.raises(ValueError, match=r"column 'cell' does not name rows: 'c1' in row 10, counted from 0"):
        list(open_rows(tmp_path / "x.csv").chunks())
    assert len(next(open_rows(tmp_path / "x.csv", "cell").chunks()).ids) == N


def test_dates_are_refused_by_name(path):
    days = pd.date_range("2026-01-01", periods=N)
    with pytest.raises(ValueError, match=r"must hold numbers, besides ids and labels; got 'day' \((timestamp|date)"):
        open_rows(write(path, day=days))
    assert len(next(open_rows(path, id_column="day").chunks()).ids) == N


def test_whole_numbers_in_order_get_a_warning_that_names_the_option(path):
    write(path, user_id=np.arange(N) * 3 + 70)
    with pytest.warns(UserWarning, match=r"column 'user_id' holds different whole numbers.*\(--id-column\)"):
        assert open_rows(path).column_names == ["user_id", "x", "y"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_rows(path, "user_id").column_names == ["x", "y"]
        open_rows(path, columns=["user_id", "x"])
        open_rows(write(path, counts=[3, 1, 2] * 4))


def test_columns_come_in_the_order_asked_for(path):
    source = open_rows(write(path, z=np.linspace(5, 0, N)), columns=["y", "z"])
    np.testing.assert_allclose(source.read(), np.stack([NUMBERS["y"], np.linspace(5, 0, N)], 1), rtol=1e-6)
    with pytest.raises(ValueError, match=r"has no column 'w'; it has z, x, y"):
        open_rows(path, columns=["w"])
    with pytest.raises(ValueError, match=r"columns must be named once each; got y, y"):
        open_rows(path, columns=["y", "y"])


def test_an_index_that_pandas_wrote_and_read_again_is_one(tmp_path):
    pd.DataFrame(NUMBERS).to_csv(tmp_path / "a.csv")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "x.csv", index=False)
    assert (tmp_path / "x.csv").read_text().startswith("Unnamed: 0,")
    source = open_rows(tmp_path / "x.csv")
    assert (source.id_name, source.column_names) == ("", ["x", "y"])


def test_columns_are_chosen_in_anndata_too(tmp_path):
    from tests.data.makers import ROWS, adata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata().write_h5ad(tmp_path / "x.h5ad")
    source = open_rows(tmp_path / "x.h5ad", columns=["gene3", "gene1"])
    np.testing.assert_array_equal(source.read(), ROWS[:, [3, 1]])
    assert open_rows(tmp_path / "x.h5ad", exclude=["gene0"]).n_features == 11
    with pytest.raises(ValueError, match=r"has no layers/none; it has none"):
        open_rows(tmp_path / "x.h5ad", layer="none")


@each(
    {
        "text, options, rows": [
            ("a;b\n1,5;2\n3;4,25\n", {"decimal": ","}, [[1.5, 2], [3, 4.25]]),
            ("a|b\n1|2\n3|4\n", {}, [[1, 2], [3, 4]]),
            ("a\tb\n1\t2\n3\t4\n", {}, [[1, 2], [3, 4]]),
            ("1~2\n3~4\n", {"delimiter": "~"}, [[1, 2], [3, 4]]),
            ('name,x\n"a\nb",1\n"c",2\n', {}, [[1], [2]]),
            ("x,ok\n1,True\n2,False\n", {}, [[1, 1], [2, 0]]),
            ("x\n1,5\n2,25\n", {"decimal": ","}, [[1.5], [2.25]]),
            ("x\n1,5\n2,7\n", {"delimiter": ","}, [[5], [7]]),
            ('"x"\nr1,5\nr2,7\n', {}, [[5], [7]]),
            ('x;name\n1;"a\nb"\n2;"c"\n', {}, [[1], [2]]),
            ("x,y\n1,2\n  \n\n3,4\n", {}, [[1, 2], [3, 4]]),
            ("name,0,1\na,5,2\nb,1,2\n", {}, [[5, 2], [1, 2]]),
        ]
    }
)
def test_text_of_every_fashion(tmp_path, text, options, rows):
    (tmp_path / "x.csv").write_text(text)
    assert open_rows(tmp_path / "x.csv", **options).read().tolist() == rows


@each(values=["1,5\n2,7\n", "1,000\n-2,000\n", "1,000,000\n1,200\n"])
def test_a_comma_in_one_column_is_asked_about(tmp_path, values):
    (tmp_path / "x.csv").write_text("x\n" + values)
    with pytest.raises(ValueError, match=r"has one name, 'x', above rows such as '1,.*decimal=','.*delimiter=','"):
        open_rows(tmp_path / "x.csv")


def test_a_decimal_comma_does_not_split(tmp_path):
    (tmp_path / "x.csv").write_text("x,y\n1,2\n3,4\n")
    with pytest.raises(ValueError, match="must be split by another character than the decimal comma; got 'x,y'"):
        open_rows(tmp_path / "x.csv", decimal=",")


def test_row_names_without_a_name_above_are_no_numbers(tmp_path):
    (tmp_path / "x.csv").write_text("x\n1,5\n2.5,7\n")
    with pytest.raises(ValueError, match=r"row 0, counted from 0, has 2 fields; the first has 1\."):
        open_rows(tmp_path / "x.csv")


def test_a_row_of_empty_cells_is_a_row(tmp_path):
    (tmp_path / "x.tsv").write_text("x\ty\n1\t2\n\t\n\n3\t4\n")
    assert len(open_rows(tmp_path / "x.tsv")) == 3
    with pytest.raises(ValueError, match="row 1, counted from 0, holds NaN or an empty cell"):
        open_rows(tmp_path / "x.tsv").read()


@pytest.mark.filterwarnings("ignore:.*is taken for row ids")
def test_a_first_row_that_is_taken_for_names_gets_a_warning(tmp_path):
    (tmp_path / "x.csv").write_text("r1,1.5,2\nr2,3,4\nr3,1,1\n")
    with pytest.warns(
        UserWarning, match=r"begins with 'r1,1\.5,2', which is taken for the names of columns\. If it is"
    ):
        assert open_rows(tmp_path / "x.csv").shape == (2, 2)


def test_rs_tables_have_no_name_above_the_names_of_rows(tmp_path):
    (tmp_path / "x.txt").write_text("a b\nr1 1 2\nr2 3 4\n")
    source = open_rows(tmp_path / "x.txt")
    assert (source.column_names, source.read().tolist()) == (["a", "b"], [[1, 2], [3, 4]])
    assert next(source.chunks()).ids.tolist() == ["r1", "r2"]


def test_standard_input_may_hold_a_table(tmp_path, monkeypatch):
    write(tmp_path / "x.parquet", cell=[f"c{i}" for i in range(N)])
    monkeypatch.setattr("sys.stdin", Standard((tmp_path / "x.parquet").read_bytes()))
    source = open_rows("-")
    assert (source.id_name, str(source), len(source.read())) == ("cell", "standard input", N)


def test_an_option_that_says_nothing_to_a_format_is_refused(path):
    write(path)
    with pytest.raises(ValueError, match=r"layer has no meaning for \.\w+; leave layer='counts' out"):
        open_rows(path, layer="counts")


@each(vectors=[False, True])
def test_ids_that_repeat_after_the_first_rows_are_refused(tmp_path, monkeypatch, vectors):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr("dsae.data._arrow._SAMPLE_ROWS", 1 << 10)
    n = 3 << 16
    names = [f"c{i}" for i in range(n)]
    names[-1] = names[5]
    numbers = np.arange(n, dtype=np.float32)
    x = pa.array(np.stack([numbers, numbers], 1).tolist(), pa.list_(pa.float32(), 2)) if vectors else numbers
    pq.write_table(pa.table({"cell": names, "x": x}), tmp_path / "x.parquet", row_group_size=1 << 16)
    source = open_rows(tmp_path / "x.parquet")
    assert source.id_name == "cell"
    with pytest.raises(
        ValueError, match=rf"column 'cell' does not name rows: 'c5' in row {n - 1}, counted from 0, was"
    ):
        list(source.chunks())
    named = open_rows(tmp_path / "x.parquet", "cell")
    assert sum(len(chunk.ids) for chunk in named.chunks()) == n


def write_svm(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def test_files_of_svmlight_agree_on_their_width_and_first_index(tmp_path):
    """A file says neither: 1 is the first column of one that has no 0, unless another file of the folder has."""
    write_svm(tmp_path / "a.svm", "1 1:0.5 3:2", "0 2:1")
    write_svm(tmp_path / "b.svm", "1 5:2", "0 1:1")
    wide = [[0.5, 0, 2, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 2], [1, 0, 0, 0, 0]]
    source = open_rows(tmp_path)
    assert source.read().toarray().tolist() == wide
    assert np.concatenate([chunk.labels for chunk in source.chunks()]).tolist() == [1, 0, 1, 0]
    assert open_rows(tmp_path / "a.svm").shape == (2, 3)
    assert open_rows(tmp_path / "a.svm", n_features=7).shape == (2, 7)
    write_svm(tmp_path / "c.svm", "0 0:4")
    assert open_rows(tmp_path).read().toarray().tolist() == [[0, *row] for row in wide] + [[4, 0, 0, 0, 0, 0]]
    with pytest.raises(ValueError, match=r"a\.svm must have indices of 2 features, as n_features says; got 3\."):
        open_rows(tmp_path / "a.svm", n_features=2)

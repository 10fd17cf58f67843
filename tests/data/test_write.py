"""Whole files or none: what cannot be written is said, and the old file stays."""

import bz2
import gzip
import lzma
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each
from tests.data.samples import KINDS
from tests.data.small import ROWS, SPARSE, Standard

from dsae.data import open_rows, read_rows, write_rows, writing


def test_csr_pieces_are_one_matrix(tmp_path):
    with writing(tmp_path / "x.npz", 9, ["a"] * 5, sparse=True) as writer:
        for piece in (SPARSE[:4], SPARSE[4:]):
            writer.write(piece)
    rows, _ = read_rows(tmp_path / "x.npz")
    assert sp.isspmatrix_csr(rows)
    np.testing.assert_array_equal(rows.toarray(), SPARSE.toarray())


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"a sparse matrix is written as \.npz; got \.npy"):
        write_rows(tmp_path / "x.npy", SPARSE)
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; make it first"):
        write_rows(tmp_path / "nowhere" / "x.npy", ROWS)
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ValueError, match="exists and is not a file"):
        write_rows(tmp_path / "folder.npy", ROWS)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"x\.npy cannot be written"):
        write_rows(tmp_path / "file" / "x.npy", ROWS)


NO_TABLES = [
    (ROWS, ["a", "b"], r"a name for each column; got 2 names for rows of shape \(7, 3\)\. Give 3 column names\."),
    (ROWS, ["a", "b", "c", "d"], "got 4 names"),
    (ROWS, [], "got 0 names"),
    (ROWS[0], ["a", "b", "c"], r"2-D rows, \[n_samples, n_columns\]; got 1-D with shape \(3,\)\. Write X\.reshape"),
    (ROWS[None], ["a", "b", "c"], "got 3-D"),
]


@each({"array, names, message": [*NO_TABLES, (ROWS[0], None, "got 1-D")]}, kind=KINDS)
def test_what_is_no_table_with_names_is_not_written(tmp_path, kind, array, names, message):
    with pytest.raises(ValueError, match=rf"\[write\] .*x\.{kind} must .*{message}"):
        write_rows(tmp_path / f"x.{kind}", array, names)
    assert not list(tmp_path.iterdir())


def test_a_sparse_matrix_with_other_names_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"got 1 names for rows of shape \(9, 5\)"):
        write_rows(tmp_path / "x.npz", SPARSE, ["a"])


def test_standard_output_stays_empty_where_rows_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Standard())
    with pytest.raises(ValueError, match=r"\[write\] - must have a name for each column"):
        write_rows("-", ROWS, ["a"])
    assert not sys.stdout.buffer.getvalue()


@each({"array, names, message": NO_TABLES}, kind=KINDS)
def test_a_writer_takes_no_other_rows_than_it_has_names_for(tmp_path, kind, array, names, message):
    path = tmp_path / f"x.{kind}"
    write_rows(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message), writing(path, 7, names) as writer:
        writer.write(array)
    assert path.read_bytes() == before


def _write_seven(path, n_rows, form):
    with writing(path, n_rows, ["a", "b", "c"], sparse=form is sp.csr_matrix) as writer:
        for piece in (ROWS[:4], ROWS[4:]):
            writer.write(form(piece))


@each({"kind, form": [*((kind, np.asarray) for kind in KINDS), ("npz", sp.csr_matrix)]}, n_rows=[5, 9, 14])
def test_a_file_of_other_rows_than_promised_is_not_written(tmp_path, kind, form, n_rows):
    path = tmp_path / f"x.{kind}"
    write_rows(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"^\[write\] .*x\.{kind} must get {n_rows} rows; got 7\.$"):
        _write_seven(path, n_rows, form)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def _write_half(path):
    with writing(path, 14, ["a", "b", "c"]) as writer:
        writer.write(-ROWS)
        raise OSError("[read] gone")


@each(kind=KINDS)
def test_a_failed_reading_leaves_the_old_file(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    write_rows(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"^\[read\] gone$"):
        _write_half(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from dsae.data import writing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for path in sys.argv[1:]:
    try:
        with writing(path, 4000, ["a", "b", "c"]) as writer:
            for seed in range(4):
                writer.write(np.random.default_rng(seed).normal(size=(1000, 3)).astype(np.float32))
    except OSError as error:
        print(error)
"""


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path):
    """A limit on the size of files fails as a full disk does, in the midst of writing."""
    paths = [tmp_path / f"x.{kind}" for kind in KINDS]
    for path in paths:
        write_rows(path, ROWS)
    before = {path: path.read_bytes() for path in paths}
    done = subprocess.run([sys.executable, "-c", FULL_DISK, *paths], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(f"[write] {path} cannot be written: "), done.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@each(kind=["csv", "parquet", "arrow", "feather", "h5ad"])
def test_ids_have_a_column_of_their_own(tmp_path, kind):
    with (
        pytest.raises(ValueError, match="ids need a column of their own; 'a' is one of the others"),
        writing(tmp_path / f"x.{kind}", 2, ["a", "b"], "a"),
    ):
        pass
    assert not list(tmp_path.iterdir())


@each(
    {
        "names, id_name, message": [
            (["a\0", "b"], "id", "h5ad holds no name with NUL or half a surrogate pair; got 'a.x00'"),
            (["a", "\ud800"], "id", "h5ad holds no name with NUL or half a surrogate pair; got '.ud800'"),
            (["a", "b"], "cell/id", "in .h5ad the column of ids has a name without '/'; got 'cell/id'"),
        ]
    }
)
def test_names_that_h5ad_cannot_hold_are_refused(tmp_path, names, id_name, message):
    with pytest.raises(ValueError, match=message), writing(tmp_path / "x.h5ad", 2, names, id_name):
        pass
    assert not list(tmp_path.iterdir())


@each(kind=["csv", "h5ad"])
def test_an_id_that_is_missing_is_an_empty_text(tmp_path, kind):
    with writing(tmp_path / f"x.{kind}", 3, ["a", "b", "c"], "cell") as writer:
        writer.write(ROWS[:3], np.array(["u", None, "w"], dtype=object))
    (chunk,) = open_rows(tmp_path / f"x.{kind}").chunks()
    assert chunk.ids.tolist() == ["u", "", "w"]


@each(kind=["parquet", "arrow"])
def test_columns_of_one_name_are_not_written(tmp_path, kind):
    with pytest.raises(ValueError, match=r"\[write\] columns must be named differently; got a, a"):
        write_rows(tmp_path / f"x.{kind}", ROWS[:, :2], ["a", "a"])
    assert not list(tmp_path.iterdir())


def test_only_ids_of_parquet_have_a_dictionary(tmp_path):
    from pyarrow.parquet import ParquetFile

    with writing(tmp_path / "x.parquet", 7, ["a", "b", "c"], "cell") as writer:
        writer.write(ROWS, np.array([f"cell {i}" for i in range(7)], dtype=object))
    with ParquetFile(tmp_path / "x.parquet") as file:
        columns = [file.metadata.row_group(0).column(i) for i in range(4)]
    found = {column.path_in_schema: "RLE_DICTIONARY" in column.encodings for column in columns}
    assert found == {"cell": True, "a": False, "b": False, "c": False}


@each(name=["x.txt", "x.txt.gz", "x.npy.gz", "x.pq", "x.mtx", "x.safetensors"])
def test_what_is_only_read_is_not_written(tmp_path, name):
    """Not even under a name that would be read as another kind of text."""
    with pytest.raises(
        ValueError, match=r"must end in \.npy, \.npz, \.csv, \.tsv, \.parquet, \.arrow, \.feather, \.h5ad; got"
    ):
        write_rows(tmp_path / name, ROWS)


@each(name=["x.tsv", "x.csv.gz", "x.tsv.gz", "x.csv.bz2", "x.csv.xz"])
def test_text_is_written_as_its_ending_says(tmp_path, name):
    opener = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(name.rpartition(".")[2], open)
    write_rows(tmp_path / name, ROWS, ["a", "b", "c"])
    with opener(tmp_path / name, "rt") as file:
        assert file.readline() == ("a\tb\tc\n" if "tsv" in name else "a,b,c\n")
    rows, names = read_rows(tmp_path / name)
    np.testing.assert_array_equal(rows, ROWS)
    assert names == ["a", "b", "c"]
    before = (tmp_path / name).read_bytes()
    write_rows(tmp_path / name, ROWS, ["a", "b", "c"])
    assert (tmp_path / name).read_bytes() == before

"""Every kind of file gives the same rows, in order and shuffled, and says what is wrong with it."""

import gc
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from dsae.data import open_rows, read_rows, writing
from dsae.data._prefetch import prefetched

N_ROWS, NAMES = 3000, [f"gene {i}" for i in range(37)]
KINDS = ("npy", "npz", "csv", "parquet", "arrow", "feather", "mtx", "h5ad")
ALL = [*KINDS, "folder"]
NAMED = ["csv", "parquet", "arrow", "feather", "h5ad", "folder"]


def dense(rows):
    return rows.toarray() if sp.issparse(rows) else rows


@pytest.fixture(scope="session")
def rows():
    """Numbered in the first column, so that every row can be told from the others."""
    X = np.random.default_rng(0).normal(size=(N_ROWS, len(NAMES))).astype(np.float32)
    X[X < 0.5] = 0
    X[:, 0] = np.arange(N_ROWS) + 1
    return X


@pytest.fixture(scope="session")
def ids():
    return np.array([f"cell {i}, 'a'" for i in range(N_ROWS)], dtype=object)


@pytest.fixture(scope="session")
def write(rows, ids):
    """Write the rows, or a span of them, in uneven pieces."""

    def to(path, start=0, stop=N_ROWS, names=NAMES, id_name="cell"):
        with writing(path, stop - start, names, id_name) as writer:
            for first in range(start, stop, 700):
                piece = slice(first, min(first + 700, stop))
                writer.write(rows[piece], ids[piece])
        return path

    return to


@pytest.fixture(scope="session")
def files(write, tmp_path_factory):
    """A file of every kind, and a folder of five."""
    folder = tmp_path_factory.mktemp("rows")
    found = {kind: write(folder / f"x.{kind}") for kind in KINDS}
    found["folder"] = folder / "parts"
    found["folder"].mkdir()
    for i, start in enumerate(range(0, N_ROWS, 600)):
        write(found["folder"] / f"{i}.parquet", start, start + 600)
    return found


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    """Many parts, chunks and fillings of the buffer, as in large data."""
    monkeypatch.setattr("dsae.data._scan._BYTES_AT_ONCE", 1 << 14)
    monkeypatch.setattr("dsae.data._stream._POOL_BYTES", 1 << 16)


def all_rows(batches):
    return np.concatenate([dense(batch) for batch in batches])


@pytest.mark.parametrize("kind", ALL)
def test_chunks_give_rows_ids_and_names_in_order(files, rows, ids, kind):
    source = open_rows(files[kind])
    chunks = list(source.chunks())
    assert len(chunks) > 4
    assert source.shape == rows.shape
    assert [chunk.start for chunk in chunks] == np.cumsum([0, *(c.rows.shape[0] for c in chunks[:-1])]).tolist()
    np.testing.assert_array_equal(all_rows(chunk.rows for chunk in chunks), rows)
    assert all(chunk.rows.dtype == np.float32 for chunk in chunks)
    assert source.column_names == (NAMES if kind in NAMED else None)
    if kind in NAMED:
        np.testing.assert_array_equal(np.concatenate([chunk.ids for chunk in chunks]), ids)


@pytest.mark.parametrize("kind", ALL)
def test_batches_are_a_function_of_their_arguments(files, rows, kind):
    in_order = list(open_rows(files[kind]).batches(250))
    assert {len(dense(batch)) for batch in in_order} == {250}
    np.testing.assert_array_equal(all_rows(in_order), rows)
    first, again, other = (all_rows(open_rows(files[kind]).batches(64, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first[np.argsort(first[:, 0])], rows)


@pytest.mark.parametrize("kind", ["npy", "csv", "folder"])
def test_shuffling_mixes_near_and_far(files, kind, monkeypatch):
    """In the first batches there are rows of all thirds of the file, and neighbours do not stay together."""
    monkeypatch.setattr("dsae.data._stream._POOL_BYTES", 1 << 17)
    numbers = all_rows(open_rows(files[kind]).batches(64, seed=0))[:, 0]
    assert np.bincount(numbers[:600].astype(int) * 3 // (N_ROWS + 1), minlength=3).min() > 15
    assert np.mean(np.abs(np.diff(numbers)) == 1) < 0.02


def test_rows_that_fit_in_the_buffer_are_shuffled_wholly(files, monkeypatch):
    monkeypatch.setattr("dsae.data._stream._POOL_BYTES", 4 * N_ROWS * len(NAMES))
    numbers = all_rows(open_rows(files["npy"]).batches(64, seed=0))[:, 0]
    assert abs(np.corrcoef(numbers, np.arange(N_ROWS))[0, 1]) < 0.06


def test_the_buffer_begins_small_and_grows(files):
    sizes = [len(rows) for rows in open_rows(files["npy"])._shuffled(np.random.default_rng(0), 1)]
    assert max(sizes) > 4 * sizes[0]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("world", [2, 5])
def test_workers_share_the_rows_without_overlap(files, rows, seed, world):
    shares = [all_rows(open_rows(files["npy"]).batches(50, seed, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {N_ROWS // world}
    everything = np.concatenate(shares)
    np.testing.assert_array_equal(everything[np.argsort(everything[:, 0])], rows)


@pytest.mark.parametrize("kind", ["npy", "mtx", "folder"])
def test_one_pass_tells_moments_limits_and_a_fair_sample(files, rows, kind, monkeypatch):
    monkeypatch.setattr("dsae.data._statistics._LARGEST_SAMPLE", 600)
    source = open_rows(files[kind])
    mean, deviation = source.moments()
    X = rows.astype(np.float64)
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, X.std(axis=0), rtol=1e-6)
    assert (source.min(), source.max()) == (rows.min(), rows.max())
    sample = dense(source.sample(500, np.random.default_rng(0)))
    assert len(np.unique(sample[:, 0])) == 500
    np.testing.assert_array_equal(sample, rows[sample[:, 0].astype(int) - 1])
    assert 0.4 < np.mean(sample[:, 0] < N_ROWS / 2) < 0.6


def test_the_limits_may_be_anywhere(tmp_path, rows):
    X = rows.copy()
    X[1500, 1], X[1600, 2] = -7, N_ROWS + 7
    np.save(tmp_path / "x.npy", X)
    source = open_rows(tmp_path / "x.npy")
    assert (source.min(), source.max()) == (-7, N_ROWS + 7)


def test_far_off_means_cost_no_digits(tmp_path):
    X = np.random.default_rng(0).normal(1e6, 1, (3000, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_allclose(open_rows(tmp_path / "x.npy").moments()[1], X.std(axis=0, dtype=float), rtol=1e-6)


def test_a_split_is_of_all_rows_and_repeats(files, rows):
    training, validation = open_rows(files["npy"]).split(0.2, seed=5)
    assert 0.15 < len(validation) / N_ROWS < 0.25
    assert len(training) + len(validation) == N_ROWS
    parts = [all_rows(part.batches(100)) for part in (training, validation)]
    assert [len(part) for part in parts] == [len(training), len(validation)]
    both = np.concatenate(parts)
    np.testing.assert_array_equal(both[np.argsort(both[:, 0])], rows)
    again = open_rows(files["npy"]).split(0.2, seed=5)[1]
    np.testing.assert_array_equal(all_rows(again.batches(100)), parts[1])
    with pytest.raises(ValueError, match="needs rows for training and for validation; got 3000"):
        open_rows(files["npy"]).split(1e-9, seed=5)


def test_the_rows_of_a_split_keep_their_ids(files, ids):
    for part in open_rows(files["folder"]).split(0.2, seed=5):
        for chunk in part.chunks():
            np.testing.assert_array_equal(chunk.ids, ids[chunk.rows[:, 0].astype(int) - 1])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f8", "u1", "?", "<i4"])
def test_arrays_of_any_real_kind_and_order(tmp_path, order, dtype):
    X = np.asarray(np.random.default_rng(0).integers(0, 2, (700, 9)), dtype, order=order)
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", X=X, y=X[:, 0])
    for path in ("x.npy", "x.npz", "x.npz:X"):
        np.testing.assert_array_equal(all_rows(open_rows(f"{tmp_path}/{path}").batches(64)), X)
    np.savez_compressed(tmp_path / "z.npz", X=np.ascontiguousarray(X))
    np.testing.assert_array_equal(all_rows(open_rows(tmp_path / "z.npz").batches(64)), X)


def test_sparse_kinds_stay_sparse(files, rows, tmp_path):
    matrix = sp.csr_matrix(rows)
    sp.save_npz(tmp_path / "x.npz", matrix)
    scipy.io.mmwrite(tmp_path / "x.mtx", matrix)
    for name in ("x.npz", "x.mtx"):
        batches = list(open_rows(tmp_path / name).batches(100, seed=1))
        assert all(sp.isspmatrix_csr(batch) and batch.dtype == np.float32 for batch in batches)
        np.testing.assert_array_equal(read_rows(tmp_path / name)[0].toarray(), rows)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_files_that_anndata_writes(tmp_path, rows, ids, make):
    anndata = pytest.importorskip("anndata")
    frames = [pd.DataFrame(index=pd.Index(names, dtype=object)) for names in (ids, NAMES)]
    anndata.AnnData(make(rows), *frames).write_h5ad(tmp_path / "x.h5ad")
    source = open_rows(tmp_path / "x.h5ad")
    assert source.column_names == NAMES
    np.testing.assert_array_equal(dense(source.read()), rows)
    np.testing.assert_array_equal(np.concatenate([chunk.ids for chunk in source.chunks()]), ids)


def test_files_that_anndata_reads(files, rows, ids):
    anndata = pytest.importorskip("anndata")
    found = anndata.read_h5ad(files["h5ad"])
    np.testing.assert_array_equal(found.X, rows)
    assert found.obs_names.tolist() == ids.tolist()
    assert found.var_names.tolist() == NAMES


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


@pytest.mark.parametrize("kind", TABLES)
def test_an_index_of_numbers_that_pandas_writes_is_no_feature(tmp_path, kind):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=pd.Index([70, 80], name="cell"))
    TABLES[kind](frame, tmp_path / f"x.{kind}")
    source = open_rows(tmp_path / f"x.{kind}")
    assert (source.id_name, source.column_names) == ("" if kind == "csv" else "cell", ["a", "b"])
    assert [str(i) for i in next(source.chunks()).ids] == ["70", "80"]
    np.testing.assert_array_equal(source.read(), frame)


IDS = {"numbers": [70, 80, 90], "text": ["u", "v", "w"], "times": pd.date_range("2026", periods=3, tz="UTC")}


@pytest.mark.parametrize("name", ["cell", ""])
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather"])
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


@pytest.mark.parametrize("kind", TABLES)
def test_an_index_beside_another_column_of_ids_is_refused(tmp_path, kind):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}, index=pd.Index([70, 80], name="cell"))
    TABLES[kind](frame, tmp_path / f"x.{kind}")
    with pytest.raises(ValueError, match=r"at most one column of row ids; got .*\bb\b.* Name the ids by id_column"):
        open_rows(tmp_path / f"x.{kind}")


def test_an_index_of_several_columns_is_refused(tmp_path):
    index = pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["plate", "well"])
    pd.DataFrame({"a": [1.0, 2.0]}, index=index).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"at most one column of row ids; got well \(int64\)\. Name the ids"):
        open_rows(tmp_path / "x.parquet")
    assert open_rows(tmp_path / "x.parquet", id_column="plate").column_names == ["a", "well"]


@pytest.mark.parametrize("said", [b"{", b"[" * 100_000, b"3", b"{}", b'{"index_columns": null}', b"\xff"])
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


@pytest.mark.parametrize("kind", ["arrow", "feather"])
def test_arrows_stream_format_is_told_from_damage(tmp_path, kind):
    to_arrow(pd.DataFrame({"a": [1.0]}), tmp_path / f"x.{kind}", "new_stream")
    with pytest.raises(ValueError, match=r"in Arrow's file format .*; got its stream format.* pyarrow\.ipc\.new_file"):
        open_rows(tmp_path / f"x.{kind}")


MANY = """
import os, resource, sys
from dsae.data import open_rows
limit = len(os.listdir("/dev/fd")) + 12
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
source = open_rows(sys.argv[1])
print(len(source), sum(batch.shape[0] for batch in source.batches(7, seed=0)))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_may_hold_more_files_than_a_process_may_open(tmp_path, kind):
    for i in range(60):
        with writing(tmp_path / f"{i}.{kind}", 2, ["a", "b"]) as writer:
            writer.write(np.full((2, 2), i + 1, np.float32))
    done = subprocess.run([sys.executable, "-c", MANY, tmp_path], capture_output=True, text=True)
    assert done.stdout == "120 120\n", done.stderr


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_numbers_can_be_the_ids(tmp_path, rows, kind):
    with writing(tmp_path / f"x.{kind}", 10, ["number", "b"]) as writer:
        writer.write(rows[:10, :2])
    source = open_rows(tmp_path / f"x.{kind}", id_column="number")
    assert source.column_names == ["b"]
    assert [float(i) for i in next(source.chunks()).ids] == rows[:10, 0].tolist()
    with pytest.raises(ValueError, match=r"no column 'c' for row ids; it has number, b\."):
        open_rows(tmp_path / f"x.{kind}", id_column="c")


def test_without_pyarrow_csv_is_read_by_numpy(files, rows, ids, monkeypatch):
    monkeypatch.setattr("dsae.data._csv.parse_csv", lambda *_: None)
    chunks = list(open_rows(files["csv"]).chunks())
    np.testing.assert_array_equal(all_rows(chunk.rows for chunk in chunks), rows)
    np.testing.assert_array_equal(np.concatenate([chunk.ids for chunk in chunks]), ids)


@pytest.mark.parametrize(("module", "kind", "extra"), [("pyarrow", "parquet", "arrow"), ("h5py", "h5ad", "anndata")])
def test_a_missing_package_is_named(files, monkeypatch, module, kind, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf'^\.{kind} needs {module}: pip install "dsae\[{extra}\]"\.$'):
        open_rows(files[kind])


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_columns_of_text_are_refused_by_name(tmp_path, kind):
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0], "c": ["u", "v"]})
    path = tmp_path / f"x.{kind}"
    {"csv": lambda p: frame.to_csv(p, index=False), "parquet": frame.to_parquet, "arrow": frame.to_feather}[kind](path)
    with pytest.raises(ValueError, match=r"at most one column of row ids; got .*a.*, c"):
        open_rows(path)
    if kind != "csv":
        with pytest.raises(ValueError, match=r"got c \("):
            open_rows(path, id_column="a")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ALL)
def test_what_is_not_finite_is_told_by_file_and_row(tmp_path, rows, kind, bad):
    X = rows[:1000, :4].copy()
    X[777, 2] = bad
    folder = tmp_path / "x"
    folder.mkdir()
    name = "x.parquet" if kind == "folder" else f"x.{kind}"
    with writing(folder / name, 1000, ["a", "b", "c", "d"]) as writer:
        writer.write(X)
    source = open_rows(folder if kind == "folder" else folder / name)
    with pytest.raises(
        ValueError, match=rf"{name} must hold finite numbers; row 777, .* holds {'NaN' if bad != bad else 'inf'}"
    ):
        list(source.batches(10))


def test_an_empty_cell_of_a_table_is_told_as_one(tmp_path):
    pd.DataFrame({"a": pd.array([1, None], "Int64")}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="row 1, counted from 0, holds NaN or an empty cell"):
        open_rows(tmp_path / "x.parquet").read()


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet", "arrow", "h5ad"])
@pytest.mark.parametrize("use", [lambda s: s.moments(), lambda s: list(s.batches(64, 0))], ids=["pass", "epoch"])
def test_a_file_that_changed_is_told(write, tmp_path, kind, use):
    path = write(tmp_path / f"x.{kind}")
    source = open_rows(path)
    len(source)
    write(path, 0, 2000)
    with pytest.raises(OSError, match=rf"x\.{kind} changed while it was in use"):
        use(source)


@pytest.mark.parametrize("keep_time", [True, False])
def test_an_archive_that_changed_is_told(tmp_path, rows, keep_time):
    """Also where size and time say that it has not."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, X=rows)
    source, status = open_rows(path), path.stat()
    path.write_bytes(b"x" * status.st_size)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(ValueError, match=r"\[read\] .*x\.npz must be a whole \.npz archive; .*not a zip file"):
            source.read()
        return
    os.utime(path, ns=(0, 0))
    with pytest.raises(OSError, match=r"x\.npz changed while it was in use"):
        source.read()


@pytest.mark.parametrize("change", ["touched", "cut", "gone"])
def test_a_file_that_changes_in_the_midst_of_an_epoch_is_told(write, tmp_path, change):
    path = write(tmp_path / "x.npy")
    batches = open_rows(path).batches(64, seed=0)
    next(batches)
    if change == "touched":
        os.utime(path, ns=(0, 0))
    elif change == "cut":
        os.truncate(path, 5000)
    else:
        path.unlink()
    with pytest.raises(OSError, match=r"x\.npy (changed|does not exist)"):
        list(batches)


def test_folders_that_are_no_table_are_refused(write, tmp_path):
    with pytest.raises(ValueError, match="must hold files of rows; it is empty"):
        open_rows(tmp_path)
    write(tmp_path / "a.csv", 0, 10)
    write(tmp_path / "b.csv", 0, 10, names=[*NAMES[:-1], "other"])
    with pytest.raises(
        ValueError, match=r"b\.csv must have the columns of a\.csv .*; got column 37 'other' for 'gene 36'"
    ):
        open_rows(tmp_path)
    write(tmp_path / "b.csv", 0, 10, names=NAMES, id_name=None)
    with pytest.raises(ValueError, match=r"ids 'cell'\); got 37 columns, ids None"):
        open_rows(tmp_path)
    write(tmp_path / "b.parquet", 0, 10)
    with pytest.raises(ValueError, match=r"must hold files of one kind; got \.csv, \.parquet"):
        open_rows(tmp_path)


def test_hidden_files_of_a_folder_do_not_count(write, tmp_path):
    write(tmp_path / "a.parquet", 0, 10)
    for name in ("_SUCCESS", ".crc"):
        (tmp_path / name).touch()
    assert len(open_rows(tmp_path)) == 10


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


def test_id_columns_are_for_tables(files):
    with pytest.raises(ValueError, match="leave id_column='cell' out"):
        open_rows(files["npy"], id_column="cell")


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "dsae-prefetch"]


def test_the_reader_ends_with_its_consumer(files):
    batches = open_rows(files["npy"]).batches(64, seed=0)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert not threads()
    for batch in open_rows(files["npy"]).batches(64, seed=0):
        assert len(batch) == 64
        break
    gc.collect()
    assert not threads()


def test_the_readers_error_is_raised_where_the_items_are_taken():
    def items():
        yield 1
        raise OSError("gone")

    taken = prefetched(items(), 3)
    assert next(taken) == 1
    with pytest.raises(OSError, match="gone"):
        next(taken)
    assert not threads()


def test_no_more_is_read_ahead_than_asked_for():
    made = []
    taken = prefetched((made.append(i) for i in range(100)), 3)
    next(taken)
    time.sleep(0.05)
    assert len(made) <= 5
    taken.close()


def test_waiting_is_counted():
    def slow():
        time.sleep(0.02)
        yield 1

    waits = []
    assert list(prefetched(slow(), 1, waits.append)) == [1]
    assert sum(waits) >= 0.019

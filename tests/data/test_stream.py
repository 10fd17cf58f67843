"""Every kind of file gives the same rows, in order and shuffled, and says what is wrong with it."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from tests.covering import each
from tests.data.samples import KINDS, N_ROWS, NAMES, all_rows, dense

from dsae.data import open_rows, read_rows, writing

pytestmark = pytest.mark.usefixtures("small_pieces")
ALL = [*KINDS, "folder"]
NAMED = [kind for kind in ALL if kind not in ("npy", "npz")]


@each(kind=ALL)
def test_chunks_give_rows_ids_and_names_in_order(files, rows, ids, kind):
    source = open_rows(files[kind])
    chunks = list(source.chunks())
    assert len(chunks) > 4
    assert source.shape == rows.shape
    np.testing.assert_array_equal(np.concatenate([chunk.numbers for chunk in chunks]), np.arange(N_ROWS))
    np.testing.assert_array_equal(all_rows(chunk.rows for chunk in chunks), rows)
    assert all(chunk.rows.dtype == np.float32 for chunk in chunks)
    assert source.column_names == (NAMES if kind in NAMED else None)
    if kind in NAMED:
        np.testing.assert_array_equal(np.concatenate([chunk.ids for chunk in chunks]), ids)


@each(kind=ALL)
def test_batches_are_a_function_of_their_arguments(files, rows, kind):
    in_order = list(open_rows(files[kind]).batches(250))
    assert {len(dense(batch)) for batch in in_order} == {250}
    np.testing.assert_array_equal(all_rows(in_order), rows)
    first, again, other = (all_rows(open_rows(files[kind]).batches(64, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first[np.argsort(first[:, 0])], rows)
    numbers = np.concatenate([batch.numbers for batch in open_rows(files[kind]).batches(64, 1)])
    np.testing.assert_array_equal(numbers, first[:, 0] - 1)


@each(kind=["npy", "csv", "folder"])
def test_shuffling_mixes_near_and_far(files, kind, monkeypatch):
    """In the first batches there are rows of all thirds of the file, and neighbours do not stay together."""
    monkeypatch.setattr("dsae.data._shuffle._POOL_BYTES", 1 << 17)
    numbers = all_rows(open_rows(files[kind]).batches(64, seed=0))[:, 0]
    assert np.bincount(numbers[:600].astype(int) * 3 // (N_ROWS + 1), minlength=3).min() > 15
    assert np.mean(np.abs(np.diff(numbers)) == 1) < 0.02


def test_rows_that_fit_in_the_buffer_are_shuffled_wholly(files, monkeypatch):
    monkeypatch.setattr("dsae.data._shuffle._POOL_BYTES", 4 * N_ROWS * len(NAMES))
    numbers = all_rows(open_rows(files["npy"]).batches(64, seed=0))[:, 0]
    assert abs(np.corrcoef(numbers, np.arange(N_ROWS))[0, 1]) < 0.06


def test_the_buffer_begins_small_and_grows(files):
    sizes = [len(rows) for rows in open_rows(files["npy"]).pieces(1, seed=0)]
    assert max(sizes) > 4 * sizes[0]


@each(kind=["npy", "csv", "folder"])
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


@each(order=["C", "F"])
@each(dtype=["<f2", ">f8", "u1", "?", "<i4"])
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
        assert all(sp.isspmatrix_csr(batch.rows) and batch.rows.dtype == np.float32 for batch in batches)
        np.testing.assert_array_equal(read_rows(tmp_path / name)[0].toarray(), rows)


@each(make=[np.asarray, sp.csr_matrix, sp.csc_matrix])
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


MANY = """
import os, resource, sys
from dsae.data import open_rows
limit = len(os.listdir("/dev/fd")) + 12
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
for folder in sys.argv[1:]:
    source = open_rows(folder)
    print(folder, len(source), sum(len(batch) for batch in source.batches(7, seed=0)))
"""


def test_a_folder_may_hold_more_files_than_a_process_may_open(tmp_path):
    folders = [tmp_path / kind for kind in KINDS]
    for folder in folders:
        folder.mkdir()
        for i in range(60):
            with writing(folder / f"{i}.{folder.name}", 2, ["a", "b"]) as writer:
                writer.write(np.full((2, 2), i + 1, np.float32))
    done = subprocess.run([sys.executable, "-c", MANY, *folders], capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{folder} 120 120" for folder in folders], done.stderr


@each(
    {
        "module, kind, extra": [
            ("pyarrow", "parquet", "tables"),
            ("pyarrow", "csv", "tables"),
            ("h5py", "h5ad", "anndata"),
        ]
    }
)
def test_a_missing_package_is_named(files, monkeypatch, module, kind, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf'^\.{kind} needs {module}: pip install "dsae\[{extra}\]"\.$'):
        open_rows(files[kind])


@each(bad=[np.nan, np.inf], kind=ALL)
def test_what_is_not_finite_is_told_by_file_and_row(tmp_path, rows, kind, bad):
    X = rows[:1000, :4].copy()
    X[777, 2] = bad
    folder = tmp_path / "x"
    folder.mkdir(exist_ok=True)
    name = "x.parquet" if kind == "folder" else f"x.{kind}"
    with writing(folder / name, 1000, ["a", "b", "c", "d"]) as writer:
        writer.write(X)
    source = open_rows(folder if kind == "folder" else folder / name)
    with pytest.raises(
        ValueError, match=rf"{name} must hold finite numbers; row 777, .* holds {'NaN' if bad != bad else 'inf'}"
    ):
        list(source.batches(10))


@each(kind=["npy", "csv", "parquet", "arrow", "h5ad"], use=[lambda s: s.moments(), lambda s: list(s.batches(64, 0))])
def test_a_file_that_changed_is_told(write, tmp_path, kind, use):
    path = write(tmp_path / f"x.{kind}")
    source = open_rows(path)
    len(source)
    write(path, 0, 2000)
    with pytest.raises(OSError, match=rf"x\.{kind} changed while it was in use"):
        use(source)


@each(change=["touched", "cut", "gone"])
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


def test_a_reader_that_gives_other_rows_than_it_counted_is_told(files, monkeypatch):
    source = open_rows(files["npy"])
    monkeypatch.setattr(type(source.reader), "read", lambda self, part, ids=True, missing="error": iter(()))
    with pytest.raises(OSError, match=r"x\.npy must have 3000 rows, as counted before; got 0\."):
        source.read()


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
    with pytest.raises(ValueError, match=r"must hold files of one kind; got csv, parquet"):
        open_rows(tmp_path)


def test_files_of_images_of_another_shape_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "b.npy", np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match=r"b\.npy must have the shape of a\.npy, \(3, 4\); got \(4, 3\)\."):
        open_rows(tmp_path)


def test_a_folder_of_two_samples_of_10x_genomics_is_refused(tmp_path):
    for sample in "ab":
        for kind in ("matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"):
            (tmp_path / f"{sample}_{kind}").touch()
    with pytest.raises(
        ValueError, match=r"one sample of 10x Genomics; got a_barcodes\.tsv\.gz and b_barcodes\.tsv\.gz"
    ):
        open_rows(tmp_path)


def test_a_lack_of_memory_is_no_damage(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    source = open_rows(tmp_path / "a.npy")
    monkeypatch.setattr("dsae.data._arrays.NpyReader._rows", lambda *_: (_ for _ in ()).throw(MemoryError("12 GiB")))
    with pytest.raises(MemoryError, match=r"a\.npy needs more memory than there is \(12 GiB\)"):
        source.read()


def test_hidden_files_of_a_folder_do_not_count(write, tmp_path):
    write(tmp_path / "a.parquet", 0, 10)
    for name in ("_SUCCESS", ".crc"):
        (tmp_path / name).touch()
    assert len(open_rows(tmp_path)) == 10


def test_id_columns_are_for_tables(files):
    with pytest.raises(ValueError, match="leave id_column='cell' out"):
        open_rows(files["npy"], id_column="cell")


@each(kind=["npy", "csv", "parquet", "folder"])
def test_columns_that_float32_cannot_tell_from_their_mean_are_named(tmp_path, kind):
    X = np.random.default_rng(0).random((2000, 3))
    X[:, 1] += 1e9
    X[:, 2] = 1e9
    if kind == "folder":
        np.save(tmp_path / "a.npy", X[:1000])
        np.save(tmp_path / "b.npy", X[1000:])
        path = tmp_path
    else:
        path = tmp_path / f"x.{kind}"
        frame = pd.DataFrame(X, columns=["a", "b", "c"])
        save = {"csv": lambda: frame.to_csv(path, index=False), "parquet": lambda: frame.to_parquet(path)}
        save.get(kind, lambda: np.save(path, X))()
    name = "'b'" if kind in ("csv", "parquet") else "1"
    source = open_rows(path)
    with pytest.raises(ValueError, match=rf"^\[fit\] Column {name} must be centred"):
        source.moments()
    assert len(source.read()) == 2000

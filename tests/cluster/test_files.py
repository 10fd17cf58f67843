"""A folder of rows to a folder of codes: the same files by one process, by several, and when one of them is killed."""

import contextlib
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.cluster.victim import Flaky, Poison, Victim
from tests.covering import each

from dsae import cli, load, store
from dsae.cluster import Encode, Encoded, encode_files
from dsae.data import open_rows, writing

N_FILES, N_ROWS = 6, 500
NAMES = [f"x{i}" for i in range(12)]


@pytest.fixture(scope="module")
def folder(make_model, tmp_path_factory):
    return store.write(tmp_path_factory.mktemp("m") / "model", make_model(model={"feature_names": NAMES}))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Files of different lengths, whose rows are numbered by their ids."""
    at, rng = tmp_path_factory.mktemp("d") / "rows", np.random.default_rng(0)
    at.mkdir()
    for i in range(N_FILES):
        n = N_ROWS + i
        with writing(at / f"{i}.parquet", n, NAMES, "id") as writer:
            for start in range(0, n, 100):
                some = min(100, n - start)
                ids = np.array([f"{i}-{start + j}" for j in range(some)], object)
                writer.write(rng.normal(size=(some, 12)).astype(np.float32), ids)
    return at


@pytest.fixture(scope="module")
def workers():
    distributed = pytest.importorskip("distributed")
    import dask

    how = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0", "silence_logs": 50}
    patience = {f"distributed.comm.timeouts.{what}": "300s" for what in ("connect", "tcp")}
    with (
        pytest.MonkeyPatch.context() as patches,
        dask.config.set({"distributed.scheduler.allowed-failures": 1, **patience}),
        distributed.LocalCluster(n_workers=2, **how) as cluster,
        distributed.Client(cluster) as client,
    ):
        patches.setattr("dsae.cluster._dask._CONNECTED_WITHIN", 300)
        yield client


@pytest.fixture
def client(workers):
    """Both workers are there, though a test before may have ended one."""
    workers.wait_for_workers(2, timeout=600)
    return workers


def listed(folder):
    """What is finished there: a worker that comes to no end has its drafts there, too."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def check(codes, rows, folder):
    """Every row of every file is there once, in its order, with its id and its code; and nothing else is."""
    runtime = load(folder)
    assert sorted(os.listdir(codes)) == sorted(os.listdir(rows))
    for name in os.listdir(rows):
        given, made = open_rows(rows / name), open_rows(codes / name)
        np.testing.assert_array_equal(made.read(), runtime.encode(given.read()))
        ids = [np.concatenate([chunk.ids for chunk in source.chunks()]).tolist() for source in (given, made)]
        assert ids[0] == ids[1]


def test_files_are_those_of_the_command_line(folder, rows, client, tmp_path):
    assert cli.run(["encode", str(folder), str(rows), "-o", f"{tmp_path}/plain/"]) == 0
    told = []
    here = encode_files(folder, rows, tmp_path / "here")
    there = encode_files(folder, str(rows), f"{tmp_path}/there/", cluster=client, told=lambda *done: told.append(done))
    n = sum(len(open_rows(rows / name)) for name in os.listdir(rows))
    for done, n_workers in ((here, 1), (there, 2)):
        assert isinstance(done, Encoded)
        assert (done.n_rows, done.n_workers, len(done.files)) == (n, n_workers, N_FILES)
    assert len(told) == N_FILES
    assert told[-1] == (n, n)
    check(tmp_path / "plain", rows, folder)
    for name in os.listdir(rows):
        wanted = pq.read_table(tmp_path / "plain" / name)
        assert wanted.equals(pq.read_table(tmp_path / "here" / name))
        assert wanted.equals(pq.read_table(tmp_path / "there" / name))


def test_a_worker_killed_in_the_midst_loses_and_doubles_no_row(folder, rows, client, tmp_path):
    encode = Victim(folder)
    encode.at, encode.marker = 2, str(tmp_path / "killed")
    done = encode_files(encode, rows, tmp_path / "codes", cluster=client)
    assert os.path.exists(encode.marker)  # one was
    assert done.n_rows == sum(N_ROWS + i for i in range(N_FILES))
    check(tmp_path / "codes", rows, folder)


def test_a_file_is_named_when_every_worker_that_tried_it_ended(folder, client, tmp_path):
    (tmp_path / "rows").mkdir()
    for i in (1, 13):
        with writing(tmp_path / "rows" / f"{i}.npy", 3, NAMES) as writer:
            writer.write(np.full((3, 12), i, np.float32))
    # Dask counts a lost worker against all files that it had, so that the good one may be named, too
    with pytest.raises(OSError, match=r"^\[encode\] .*13?\.npy could not be encoded: the workers that tried were lost"):
        encode_files(Poison(folder), tmp_path / "rows", tmp_path / "codes", cluster=client)
    assert listed(tmp_path / "codes") in (["1.npy"], [])


@each(how=["cluster", "here"])
def test_bad_rows_are_refused_at_once_by_name(folder, rows, client, tmp_path, how):
    (tmp_path / "rows").mkdir(exist_ok=True)
    for i in range(2):
        X = np.ones((4, 12), np.float32)
        X[2, 5] = np.nan if i else 1
        np.save(tmp_path / "rows" / f"{i}.npy", X)
    spread = {"cluster": client} if how == "cluster" else {}
    with pytest.raises(ValueError, match=r"1\.npy must hold finite numbers; row 2, counted from 0, holds NaN"):
        encode_files(folder, tmp_path / "rows", tmp_path / how, **spread)
    assert listed(tmp_path / how) in (["0.npy"], [])


def test_a_folder_that_workers_do_not_see_is_told(folder, rows, client, tmp_path, monkeypatch):
    from dsae.cluster import _files

    monkeypatch.setattr(_files, "_sent", lambda place: f"/nowhere/{os.path.basename(str(place))}")
    with pytest.raises(FileNotFoundError, match=r"/nowhere/.* Every worker must see the files under the same names"):
        encode_files(folder, rows, tmp_path / "codes", cluster=client)


def test_a_retry_mends_what_fails_once(folder, rows, client, tmp_path):
    encode = Flaky(folder)
    encode.marker = str(tmp_path / "failed")
    encode_files(encode, rows, tmp_path / "codes", cluster=client)
    assert os.path.exists(encode.marker)
    check(tmp_path / "codes", rows, folder)


def test_a_retry_needs_no_workers(folder, rows, tmp_path):
    encode = Flaky(folder)
    encode.marker = str(tmp_path / "failed")
    encode_files(encode, rows, tmp_path / "codes")
    assert os.path.exists(encode.marker)
    check(tmp_path / "codes", rows, folder)
    encode.marker = str(tmp_path / "again")
    with pytest.raises(OSError, match=r"^the storage is busy$"):
        encode_files(encode, rows, tmp_path / "codes", retries=0)


def test_no_more_workers_are_started_than_there_are_files(folder, rows, client, tmp_path, monkeypatch):
    from dsae.cluster import _dask

    started = []

    @contextlib.contextmanager
    def few(n):
        started.append(n)
        yield client.cluster

    monkeypatch.setattr(_dask, "local_workers", few)
    done = encode_files(folder, rows, tmp_path / "codes", processes=8)
    assert (started, done.n_workers) == ([N_FILES], 2)  # that are there
    done = encode_files(folder, rows / "0.parquet", tmp_path / "0.parquet", processes=8)
    assert (started, done.n_workers, done.n_rows) == ([N_FILES], 1, N_ROWS)


def test_commands_say_what_was_done(folder, rows, client, tmp_path, capfd):
    spread = ["--cluster", client.scheduler.address]
    assert cli.run(["encode", str(folder), str(rows), "-o", f"{tmp_path}/codes/", *spread]) == 0
    assert capfd.readouterr().err.startswith(f"dsae: 6 files, {sum(N_ROWS + i for i in range(6)):,} rows in ")
    check(tmp_path / "codes", rows, folder)


@each(
    {
        "args, message": [
            (["--processes", "2", "--cluster", "tcp://127.0.0.1:1"], "cluster and processes exclude one another"),
            (["--processes", "0"], "0 is not in the range x>=1"),
        ]
    }
)
def test_wrong_usage_is_told(folder, rows, tmp_path, capfd, args, message):
    assert cli.run(["encode", str(folder), str(rows), "-o", f"{tmp_path}/codes/", *args]) == 2
    assert message in capfd.readouterr().err


def test_what_is_no_place_for_files_is_refused(folder, rows, tmp_path):
    with pytest.raises(ValueError, match="must be files or folders, which workers can open; got '-'"):
        encode_files(folder, rows, "-")
    with pytest.raises(ValueError, match=r"output must be a folder, where each of the files .* has its own"):
        encode_files(folder, rows, tmp_path / "codes.parquet")
    with pytest.raises(ValueError, match="is where the data are; choose another folder"):
        encode_files(folder, rows, rows)


def test_without_dask_the_extra_is_named(folder, rows, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ImportError, match=r'^\[encode\] Several processes need Dask: pip install "dsae\[cluster\]"\.$'):
        encode_files(folder, rows, tmp_path / "codes", processes=2)


def test_a_scheduler_that_does_not_answer_is_told(folder, rows, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("dsae.cluster._dask._CONNECTED_WITHIN", 1)
    with pytest.raises(
        OSError, match=r"^\[encode\] There must be a Dask scheduler at tcp://127\.0\.0\.1:9; got no answer"
    ):
        encode_files(folder, rows, tmp_path / "codes", cluster="tcp://127.0.0.1:9")


def test_workers_of_another_version_are_refused(folder, rows, client, tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.__version__", "99")
    with pytest.raises(ValueError, match=r"^\[encode\] Every worker must have dsae 99, as this process; tcp://"):
        encode_files(folder, rows, tmp_path / "codes", cluster=client)


def test_a_callable_may_be_given_in_place_of_a_model(folder, rows, tmp_path):
    encode_files(Encode(folder), rows, tmp_path / "codes")
    check(tmp_path / "codes", rows, folder)

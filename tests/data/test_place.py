"""Rows in a store are those of the same files here; what is written there is there whole."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow.fs
import pytest
from tests.covering import each
from tests.data.samples import N_ROWS, NAMES, all_rows
from tests.data.test_share import together

from dsae import cli, load
from dsae.data import Remote, is_remote, open_rows, place_of, read_rows, write_rows, writing

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def store():
    """A server that speaks as S3 does, with a bucket ``lake``."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        options = {"endpoint_override": f"{host}:{port}", "scheme": "http", "allow_bucket_creation": True}
        fs = pyarrow.fs.S3FileSystem(**options)
        fs.create_dir("lake")
        yield fs
    server.stop()


@pytest.fixture(scope="module")
def lake(store, files):
    """The same files in the bucket."""
    local = pyarrow.fs.LocalFileSystem()
    for kind in ("parquet", "arrow", "csv", "npy"):
        pyarrow.fs.copy_files(str(files[kind]), f"lake/x.{kind}", source_filesystem=local, destination_filesystem=store)
    for path in files["folder"].iterdir():
        pyarrow.fs.copy_files(
            str(path), f"lake/rows/{path.name}", source_filesystem=local, destination_filesystem=store
        )
    return "s3://lake"


@each(name=["rows/", "rows", "x.parquet", "x.arrow", "x.csv", "x.npy"])
def test_rows_are_those_of_the_files(lake, rows, ids, name):
    source = open_rows(f"{lake}/{name}")
    assert source.shape == rows.shape
    np.testing.assert_array_equal(all_rows(source.batches(250)), rows)
    numbers = np.concatenate([batch.numbers for batch in source.batches(64, seed=1)])
    assert sorted(numbers.tolist()) == list(range(N_ROWS))
    np.testing.assert_allclose(source.moments()[0], rows.mean(axis=0), rtol=1e-5)
    if name != "x.npy":
        assert source.column_names == NAMES
        np.testing.assert_array_equal(np.concatenate([chunk.ids for chunk in source.chunks()]), ids)


@each(name=["rows/", "x.parquet"])
def test_workers_that_train_together_share_the_rows_of_a_store(lake, rows, name):
    found = together(f"{lake}/{name}", 2, lambda share: (all_rows(share.batches(100)), *share.moments()))
    np.testing.assert_array_equal(np.concatenate([own for own, *_ in found]), rows)
    assert [len(own) for own, *_ in found] == [N_ROWS // 2, N_ROWS - N_ROWS // 2]
    np.testing.assert_allclose(found[1][1], rows.mean(axis=0), rtol=1e-5)


def test_a_copy_of_what_is_not_read_afar_goes_with_its_source(lake, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = open_rows(f"{lake}/x.csv")
    assert len(list(tmp_path.rglob("x.csv"))) == 1
    del source
    assert list(tmp_path.rglob("*")) == []
    with pytest.raises(ValueError, match=r"s3://lake/x\.csv: layer has no meaning for \.csv"):
        open_rows(f"{lake}/x.csv", layer="counts")
    assert list(tmp_path.rglob("*")) == []


@each(
    {
        "name, error, message": [
            ("none.parquet", FileNotFoundError, r"^\[read\] s3://lake/none\.parquet does not exist; check the path\.$"),
            ("nothing/", ValueError, r"^\[read\] s3://lake/nothing/ must end in"),
            ("bad.parquet", ValueError, r"s3://lake/bad\.parquet must be a whole \.parquet file"),
        ]
    }
)
def test_what_is_not_there_or_not_whole_is_told(store, lake, name, error, message):
    with store.open_output_stream("lake/bad.parquet") as file:
        file.write(b"PAR1 and nothing else PAR1")
    with pytest.raises(error, match=message):
        open_rows(f"{lake}/{name}")


def test_a_file_that_changed_in_the_store_is_told(store, lake):
    write_rows("s3://lake/changing.parquet", np.eye(4, dtype=np.float32))
    source = open_rows("s3://lake/changing.parquet")
    write_rows("s3://lake/changing.parquet", np.ones((90, 4), np.float32))
    with pytest.raises(OSError, match=r"s3://lake/changing\.parquet changed while it was in use"):
        source.read()


def test_a_file_appears_when_it_is_whole(store, lake):
    path = "s3://lake/made/codes.parquet"
    with pytest.raises(ValueError, match="must get 2 rows; got 1"), writing(path, 2, ["a", "b"]) as writer:
        writer.write(np.eye(2, dtype=np.float32)[:1])
    assert not place_of(path).exists()
    with writing(path, 2, ["a", "b"]) as writer:
        writer.write(np.eye(2, dtype=np.float32))
        assert not place_of(path).exists()
    np.testing.assert_array_equal(read_rows(path)[0], np.eye(2))


def test_a_place_is_as_much_of_a_path_as_is_asked_of_it(lake):
    place = place_of(f"{lake}/rows/0.parquet?region=us-east-1")
    assert (str(place), place.name, place.stem, place.suffix) == (
        "s3://lake/rows/0.parquet",
        "0.parquet",
        "0",
        ".parquet",
    )
    assert (place.is_file(), place.is_dir(), place.exists(), place.parent.is_dir()) == (True, False, True, True)
    assert place in list(place.parent.iterdir())
    assert place.parent / "0.parquet" == pickle.loads(pickle.dumps(place)) == place
    assert sorted(place.parent.iterdir())[0] == place
    assert not (place.parent / "no" / "such.csv").exists()


def test_secrets_in_a_uri_are_not_shown(lake):
    shown = place_of("s3://who:what@lake/rows?region=us-east-1")
    assert (str(shown), repr(shown)) == ("s3://lake/rows", "Remote('s3://lake/rows')")


@each(
    {"path, is_one": [("s3://b/x", True), ("memory://x", True), ("C:/x", False), ("C:\\x", False), ("x.npz:a", False)]}
)
def test_uris_are_told_from_paths(path, is_one):
    assert is_remote(path) is is_one
    assert is_one or place_of(path) == Path(path)


def test_a_uri_of_this_machine_is_a_path(tmp_path):
    assert place_of(f"file://{tmp_path}/a%20b.csv") == tmp_path / "a b.csv"


def test_stores_that_fsspec_knows_are_read_and_written(rows):
    pytest.importorskip("fsspec")
    write_rows("memory://lake/part/x.parquet", rows, NAMES)
    write_rows("memory://lake/part/y.parquet", rows[:7], NAMES)
    assert {place.name for place in place_of("memory://lake/part").iterdir()} == {"x.parquet", "y.parquet"}
    np.testing.assert_array_equal(open_rows("memory://lake/part").read()[:N_ROWS], rows)
    place_of("memory://lake/part/y.parquet").unlink()
    assert len(open_rows("memory://lake/part")) == N_ROWS


def test_a_store_that_nothing_knows_is_told():
    with pytest.raises(
        ValueError, match=r"^\[read\] nowhere://lake/x\.csv must be in a store that pyarrow or fsspec knows"
    ):
        open_rows("nowhere://me:secret@lake/x.csv")


def test_nothing_is_written_beside_the_working_folder(lake, tmp_path, monkeypatch):
    """As a path of this machine, ``s3://lake`` would be a folder called ``s3:``."""
    monkeypatch.chdir(tmp_path)
    write_rows("s3://lake/made/x.csv", np.eye(2, dtype=np.float32))
    assert os.listdir(tmp_path) == []
    assert isinstance(place_of("s3://lake/made/x.csv"), Remote)


def test_commands_take_stores_for_files(lake, rows, tmp_path, capfd):
    """Trained there, measured there, and encoded from there to there, by one process."""
    fit = [
        "--n-components",
        "3",
        "--hidden-layer-sizes",
        "5",
        "--max-iter",
        "1",
        "--random-state",
        "0",
        "--verbose",
        "0",
    ]
    model, folder = str(tmp_path / "model"), str(tmp_path / "rows")
    assert cli.run(["fit", f"{lake}/rows/", "-o", model, *fit]) == 0
    assert cli.run(["encode", model, f"{lake}/rows/", "-o", f"{lake}/codes/"]) == 0
    codes = open_rows(f"{lake}/codes")
    assert [path.name for path in sorted(codes.path.iterdir())] == [f"{i}.parquet" for i in range(5)]
    np.testing.assert_array_equal(codes.read(), load(model).encode(rows))
    capfd.readouterr()
    assert cli.run(["evaluate", model, f"{lake}/rows/", "--json"]) == 0
    write_rows(f"{folder}.npy", rows)
    there = json.loads(capfd.readouterr().out)
    assert cli.run(["evaluate", model, f"{folder}.npy", "--json"]) == 0
    here = json.loads(capfd.readouterr().out)
    assert there["n_samples"] == N_ROWS
    assert there["mse"] == pytest.approx(here["mse"])

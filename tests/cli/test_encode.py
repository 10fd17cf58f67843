"""Commands that use a model give what the runtime gives."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import load
from dsae.data import open_rows, read_rows, write_rows, writing

MAIN = [sys.executable, "-c", "from dsae.cli import main; main()"]


def from_csv(text):
    return np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1, dtype=np.float32)


def test_encode_decode_and_reconstruct_are_the_runtimes(dsae, model, data, rows, tmp_path):
    runtime, codes = load(model), tmp_path / "codes.npy"
    assert dsae("encode", model, data, "-o", codes).code == 0
    np.testing.assert_array_equal(np.load(codes), runtime.encode(rows))
    decoded = dsae("decode", model, codes)
    np.testing.assert_array_equal(from_csv(decoded.text), runtime.decode(runtime.encode(rows)))
    reconstructed = dsae("reconstruct", model, data)
    np.testing.assert_array_equal(from_csv(reconstructed.text), runtime.reconstruct(rows))


def test_columns_are_named_after_latents_and_features(dsae, model, data, tmp_path):
    assert dsae("encode", model, data).text.startswith("dsa0,dsa1\n")
    assert dsae("reconstruct", model, data).text.startswith("alpha,beta,gamma,delta\n")
    dsae("encode", model, data, "-o", tmp_path / "codes.csv")
    assert read_rows(tmp_path / "codes.csv")[1] == ["dsa0", "dsa1"]


def test_features_without_names_are_numbered(dsae, make_model, data, tmp_path):
    from dsae import store

    nameless = store.write(tmp_path / "nameless", make_model(4, 2))
    write_rows(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    assert dsae("reconstruct", nameless, tmp_path / "x.npy").text.startswith("x0,x1,x2,x3\n")
    assert dsae("reconstruct", nameless, data).text.startswith("alpha,beta,gamma,delta\n")


def test_standard_streams_make_a_pipe(model, data, rows):
    encode = subprocess.run(
        [*MAIN, "encode", model, "-", "--format", "npy"], input=data.read_bytes(), capture_output=True
    )
    decode = subprocess.run([*MAIN, "decode", model, "-"], input=encode.stdout, capture_output=True)
    assert (encode.returncode, decode.returncode) == (0, 0)
    assert encode.stderr == decode.stderr == b""
    np.testing.assert_array_equal(from_csv(decode.stdout.decode()), load(model).reconstruct(rows))


def test_a_reader_that_leaves_is_no_drama(model, data):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*MAIN, "encode", model, data], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_columns_in_another_order_are_refused(dsae, model, rows, tmp_path):
    write_rows(tmp_path / "other.csv", rows, ["alpha", "gamma", "beta", "delta"])
    done = dsae("encode", model, tmp_path / "other.csv")
    assert done.code == 2
    assert done.err == (f"dsae: [encode] {tmp_path}/other.csv column 2 must be 'beta', as in training; got 'gamma'.\n")


def test_evaluate_measures(dsae, model, data, rows):
    facts = json.loads(dsae("evaluate", model, data, "--json").text)
    runtime = load(model)
    assert facts["mse"] == pytest.approx(np.mean((rows - runtime.reconstruct(rows)) ** 2), rel=1e-5)
    assert facts["nnz"] == runtime.model.nnz
    assert facts["n_samples"] == 40
    assert facts["mean_l0"] == np.mean(np.sum(runtime.encode(rows) != 0, axis=1))
    assert {"squared_error_per_row", "fvu", "cosine", "density", "dead_latents", "ms_per_row"} <= set(facts)
    shown = dsae("evaluate", model, data).text
    assert "squared error per row" in shown


def test_evaluate_measures_by_label(dsae, model, rows, tmp_path):
    kinds = ["x" if i % 4 else "y" for i in range(40)]
    table = [",".join([kind, *map(repr, map(float, row))]) for kind, row in zip(kinds, rows, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["kind,alpha,beta,gamma,delta", *table]))
    facts = json.loads(dsae("evaluate", model, tmp_path / "x.csv", "--label-column", "kind", "--json").text)
    errors = np.square(rows - load(model).reconstruct(rows)).mean(axis=1)
    for kind, n in (("x", 30), ("y", 10)):
        assert facts["by_label"][kind]["n_samples"] == n
        assert facts["by_label"][kind]["mse"] == pytest.approx(errors[[k == kind for k in kinds]].mean(), rel=1e-5)
    shown = dsae("evaluate", model, tmp_path / "x.csv", "--label-column", "kind").text.splitlines()
    assert shown[-3].split() == ["label", "n", "samples", "mse", "fvu"]
    assert {line.split()[0] for line in shown[-2:]} == {"x", "y"}
    done = dsae("report", model, tmp_path / "x.csv", "--label-column", "kind", "-o", tmp_path / "r.html")
    assert (done.code, done.err) == (0, f"report: {tmp_path}/r.html\n")
    assert "Error by label" in (tmp_path / "r.html").read_text()
    assert "by_label" not in json.loads(dsae("evaluate", model, tmp_path / "x.csv", "--exclude", "kind", "--json").text)


def test_an_infinite_error_is_null_in_json(dsae, model, tmp_path):
    write_rows(tmp_path / "constant.npy", np.ones((3, 4), np.float32))
    facts = json.loads(dsae("evaluate", model, tmp_path / "constant.npy", "--json").text)
    assert facts["fvu"] is None


def test_info_tells_what_is_installed(dsae):
    facts = json.loads(dsae("info", "--json").text)
    assert {"dsae", "python", "numpy", "torch", "kernels", "native", "threads"} <= set(facts)
    assert "numpy" in dsae("info").text


def test_info_tells_what_a_model_is(dsae, model):
    facts = json.loads(dsae("info", model, "--json").text)
    assert facts["nnz"] == load(model).model.nnz
    assert [layer["layer"] for layer in facts["layers"]] == [
        "encoder.0",
        "encoder.1",
        "decoder.0",
        "decoder.1",
    ]
    shown = dsae("info", model).text
    assert "encoder.0" in shown
    assert "identity" in shown


def test_report_writes_html(dsae, model, data, tmp_path):
    done = dsae("report", model, data, "-o", tmp_path / "r.html", "--image-shape", "2x2")
    assert (done.code, done.out) == (0, b"")
    assert (tmp_path / "r.html").read_text().startswith("<!")
    assert "must be height x width" in dsae("report", model, data, "--image-shape", "2").err
    assert dsae("report", model, data, "-o", tmp_path / "r.html", "--image-shape", "none").code == 0


@each(row=[[1], {"epoch": 2, "loss": "low"}])
def test_a_damaged_history_is_said_in_one_line(dsae, model, data, tmp_path, row):
    header = json.loads((model / "config.json").read_text())
    damaged = header | {"history": [{"epoch": 1, "loss": 0.5}, row]}
    (model / "config.json").write_text(json.dumps(damaged))
    done = dsae("report", model, data, "-o", tmp_path / "r.html")
    assert done.code == 2
    assert "history" in done.err
    assert done.err.count("\n") == 1
    (model / "config.json").write_text(json.dumps(header | {"history": []}))
    assert dsae("report", model, data, "-o", tmp_path / "r.html").code == 0


IDS = np.array([f"row {i}" for i in range(40)], dtype=object)


def write(path, rows, names=("alpha", "beta", "gamma", "delta"), ids=IDS, id_name="id"):
    with writing(path, len(rows), names, id_name) as writer:
        for start in range(0, len(rows), 15):
            piece = slice(start, start + 15)
            writer.write(rows[piece], ids[piece])


@each(command=["encode", "reconstruct"], kind=["csv", "parquet", "arrow", "feather", "h5ad", "npy", "npz"])
def test_the_same_kind_comes_out_with_ids_and_names(dsae, model, rows, tmp_path, kind, command):
    write(tmp_path / f"x.{kind}", rows)
    (tmp_path / "out").mkdir()
    assert dsae(command, model, tmp_path / f"x.{kind}", "-o", tmp_path / "out").err == ""
    beside = kind == "h5ad" and command == "encode"
    source = open_rows(tmp_path / "out" / f"x.{kind}", obsm="X_dsae" if beside else None)
    expected = getattr(load(model), command)(rows)
    found = source.read()
    np.testing.assert_array_equal(found.toarray() if sp.issparse(found) else found, expected)
    if kind not in ("npy", "npz"):
        names = ["dsa0", "dsa1"] if command == "encode" else ["alpha", "beta", "gamma", "delta"]
        assert source.column_names == (None if beside else names)
        assert np.concatenate([chunk.ids for chunk in source.chunks()]).tolist() == IDS.tolist()


def test_a_folder_in_is_a_folder_out(dsae, model, rows, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(4):
        write(tmp_path / "in" / f"{i}.parquet", rows[10 * i : 10 * i + 10], ids=IDS[:10])
    assert dsae("encode", model, tmp_path / "in", "-o", tmp_path / "out").err == ""
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [f"{i}.parquet" for i in range(4)]
    np.testing.assert_array_equal(open_rows(tmp_path / "out").read(), load(model).encode(rows))
    assert dsae("decode", model, tmp_path / "out", "-o", tmp_path / "one.npy").err == ""
    assert np.load(tmp_path / "one.npy").shape == (40, 4)
    dsae("encode", model, tmp_path / "in", "-o", f"{tmp_path}/csv/", "--format", "csv")
    assert read_rows(tmp_path / "csv")[1] == ["dsa0", "dsa1"]
    assert json.loads(dsae("evaluate", model, tmp_path / "in", "--json").text)["n_samples"] == 40


def test_rows_are_not_written_among_those_they_come_from(dsae, model, rows, tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "x.npy", rows)
    for data in (tmp_path / "in", tmp_path / "in" / "x.npy"):
        done = dsae("encode", model, data, "-o", tmp_path / "in")
        assert done.code == 2
        assert done.err == f"dsae: [write] {tmp_path}/in is where the data are; choose another folder.\n"
    assert read_rows(tmp_path / "in" / "x.npy")[0].shape == (40, 4)


def test_a_column_of_ids_is_named(dsae, model, rows, tmp_path):
    write(
        tmp_path / "x.csv",
        np.c_[np.arange(40, dtype=np.float32), rows],
        ("n", "alpha", "beta", "gamma", "delta"),
        id_name=None,
    )
    assert dsae("encode", model, tmp_path / "x.csv").code == 2
    done = dsae("encode", model, tmp_path / "x.csv", "--id-column", "n")
    assert done.text.startswith("n,dsa0,dsa1\n0.0,")


@each(kind=["csv", "parquet", "arrow", "feather", "h5ad"])
def test_codes_with_ids_that_are_numbers_are_decoded(dsae, model, rows, tmp_path, kind):
    data, codes, back = (tmp_path / f"{name}.{kind}" for name in ("data", "codes", "back"))
    option = ["--id-column", "n"] if kind == "csv" else []
    write(data, rows, ids=np.arange(40) + 100, id_name="n")
    assert dsae("encode", model, data, "-o", codes, *option).err == ""
    assert dsae("decode", model, codes, "-o", back, *option).err == ""
    source = open_rows(back, *option[1:])
    assert source.id_name == "n"
    np.testing.assert_array_equal(source.read(), load(model).reconstruct(rows))
    assert [str(i) for chunk in source.chunks() for i in chunk.ids] == [str(i + 100) for i in range(40)]


@each(kind=["csv", "parquet", "arrow", "feather", "h5ad"])
def test_an_index_without_a_name_stays_one(dsae, model, rows, tmp_path, kind):
    """As `pandas.DataFrame.to_csv` writes it, and so without --id-column."""
    data, codes, back = tmp_path / "data.csv", tmp_path / "codes.csv", tmp_path / f"back.{kind}"
    write(data, rows, ids=np.arange(40), id_name="")
    assert dsae("encode", model, data, "-o", codes).err == ""
    assert codes.read_text().startswith(",dsa0,dsa1\n0,")
    assert dsae("decode", model, codes, "-o", back).err == ""
    source = open_rows(back)
    assert source.n_features == 4
    assert [i for chunk in source.chunks() for i in chunk.ids] == [str(i) for i in range(40)]


def test_a_stream_that_breaks_off_leaves_the_old_codes(dsae, model, rows, tmp_path):
    codes = tmp_path / "codes.parquet"
    codes.write_bytes(b"old")
    rows[33, 2] = np.nan
    write(tmp_path / "x.parquet", rows)
    done = dsae("encode", model, tmp_path / "x.parquet", "-o", codes)
    assert done.code == 2
    assert "x.parquet must hold finite numbers; row 33" in done.err
    assert codes.read_bytes() == b"old"


def test_standard_output_takes_what_needs_no_going_back(dsae, model, data):
    done = dsae("encode", model, data, "--format", "parquet")
    assert (done.code, done.out) == (2, b"")
    assert "standard output takes npy, npz, csv, tsv; got parquet" in done.err


def test_options_about_columns_say_what_is_read(dsae, model, rows, tmp_path):
    names = ["class", "alpha", "beta", "gamma", "delta", "other"]
    table = [["x" if i % 2 else "y", *row, 7] for i, row in enumerate(rows.tolist())]
    lines = [";".join(str(value).replace(".", ",") for value in line) for line in table]
    (tmp_path / "x.csv").write_text("\n".join([";".join(names), *lines]), encoding="utf-8")
    assert "holds text that repeats" in dsae("encode", model, tmp_path / "x.csv", "--decimal", ",").err
    options = ["--decimal", ",", "--label-column", "class", "--exclude", "other"]
    done = dsae("encode", model, tmp_path / "x.csv", *options)
    np.testing.assert_allclose(from_csv(done.text), load(model).encode(rows), rtol=1e-5)
    options = ["--decimal", ",", "--columns", "alpha,beta,gamma,delta", "--delimiter", ";", "--encoding", "latin-1"]
    done = dsae("encode", model, tmp_path / "x.csv", *options)
    assert (done.err, from_csv(done.text or "a\n1").shape) == ("", (40, 2))


def test_codes_of_an_h5ad_go_into_a_copy_of_it(dsae, model, rows, tmp_path):
    import h5py

    write(tmp_path / "x.h5ad", rows)
    assert dsae("encode", model, tmp_path / "x.h5ad", "-o", tmp_path / "codes.h5ad").err == ""
    with h5py.File(tmp_path / "codes.h5ad") as file:
        np.testing.assert_array_equal(file["X"][:], rows)
        np.testing.assert_array_equal(file["obsm/X_dsae"][:], load(model).encode(rows))
    assert dsae("decode", model, tmp_path / "codes.h5ad", "-o", tmp_path / "back.npy").err == ""
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), load(model).reconstruct(rows))


def test_what_is_not_written_becomes_parquet(dsae, model, rows, tmp_path):
    np.savetxt(tmp_path / "x.txt.gz", rows)
    (tmp_path / "in").mkdir()
    import scipy.io

    scipy.io.mmwrite(tmp_path / "in" / "x.mtx", sp.coo_matrix(rows))
    assert dsae("encode", model, tmp_path / "in", "-o", tmp_path / "out").err == ""
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["x.parquet"]
    assert dsae("encode", model, tmp_path / "x.txt.gz", "-o", f"{tmp_path}/out/").err == ""
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"x.parquet", "x.csv"}

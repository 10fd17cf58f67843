"""Commands on tables of numbers, classes and dates, and names of features from a file."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.features.tables import FEATURES, USED, N, mixed

from dsae import DeepSparseAutoencoder, load
from dsae.data import write_rows
from dsae.features import TableRows

FIT = ["--n-components", "3", "--hidden-layer-sizes", "8", "--density", "0.5", "--max-iter", "2", "--random-state", "0"]
WHOLE = mixed().dropna()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    rows = TableRows(label_column="colour").fit(WHOLE.astype({"born": "str"}))
    dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(8,), density=0.5, max_iter=2, random_state=0)
    dsa.fit(rows.transform(WHOLE))
    return dsa.save(folder / "model", table=rows)


@pytest.fixture
def table(tmp_path):
    WHOLE.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def test_a_table_is_fitted_and_comes_back_in_its_shape(dsae, table, tmp_path):
    done = dsae("fit", table, "-o", tmp_path / "m", "--table", *FIT)
    assert done.code == 0, done.err
    assert "dsae: column 'note' is left out" in done.err
    runtime = load(tmp_path / "m")
    assert sorted(runtime.model.feature_names) == sorted(FEATURES)
    assert dsae("encode", tmp_path / "m", table, "-o", tmp_path / "codes.csv").code == 0
    codes = pd.read_csv(tmp_path / "codes.csv")
    assert codes["person"].tolist() == WHOLE["person"].tolist()
    rows = runtime.table.transform(WHOLE.astype({"grade": "str"}))
    np.testing.assert_array_equal(codes.drop(columns="person").to_numpy(np.float32), runtime.encode(rows))
    assert dsae("reconstruct", tmp_path / "m", table, "-o", tmp_path / "back.csv").code == 0
    back = pd.read_csv(tmp_path / "back.csv")
    assert back.columns.tolist() == WHOLE.columns.tolist()
    assert back[["person", "note"]].equals(WHOLE[["person", "note"]].reset_index(drop=True))
    assert set(back["colour"]) <= set(WHOLE["colour"])
    assert back["age"].dtype == np.int64
    assert pd.to_datetime(back["born"]).notna().all()
    assert dsae("decode", tmp_path / "m", tmp_path / "codes.csv", "-o", tmp_path / "decoded.csv").code == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "decoded.csv")[USED], back[USED])


def test_a_table_with_empty_cells_is_fitted_without_a_further_option(dsae, tmp_path):
    mixed().to_csv(tmp_path / "holes.csv", index=False)
    assert dsae("fit", tmp_path / "holes.csv", "-o", tmp_path / "m", "--table", *FIT).code == 0
    assert load(tmp_path / "m").missing == "mask"
    assert dsae("reconstruct", tmp_path / "m", tmp_path / "holes.csv", "-o", tmp_path / "back.csv").code == 0
    assert pd.read_csv(tmp_path / "back.csv").notna().all().all()


def test_empty_cells_are_filled_and_the_others_stay(dsae, tmp_path):
    mixed().to_csv(tmp_path / "holes.csv", index=False)
    assert dsae("fit", tmp_path / "holes.csv", "-o", tmp_path / "m", "--table", *FIT).code == 0
    assert dsae("impute", tmp_path / "m", tmp_path / "holes.csv", "-o", tmp_path / "whole.csv").code == 0
    given, whole = ((tmp_path / name).read_text().splitlines() for name in ("holes.csv", "whole.csv"))
    assert [i for i, (one, other) in enumerate(zip(given, whole, strict=True)) if one != other] == [4, 5]
    filled = pd.read_csv(tmp_path / "whole.csv")
    assert filled.notna().all().all()
    assert filled["colour"][3] in set(mixed()["colour"].dropna())
    assert filled["children"].dtype == np.int64


def test_a_model_of_whole_tables_refuses_holes(dsae, trained, tmp_path):
    mixed().to_csv(tmp_path / "holes.csv", index=False)
    failed = dsae("encode", trained, tmp_path / "holes.csv")
    assert (failed.code, "--missing mask" in failed.err) == (2, True)


def test_scores_and_selections_speak_of_the_tables_columns(dsae, trained, table, tmp_path):
    names = [name for name in FEATURES if not name.startswith("colour")]
    header = dsae("score", trained, table, "--per-feature").text.splitlines()[0].split(",")
    assert header[0] == "person"
    assert sorted(header[1:]) == sorted(names)
    worst = json.loads(dsae("score", trained, table, "-n", 2, "--json").text)
    assert all(row["id"].startswith("p") and row["feature"] in names for row in worst)
    listed = json.loads(dsae("select", trained, "-n", 2, "--json").text)
    assert {row["feature"] for row in listed} <= set(USED)
    assert dsae("select", trained, table, "-n", 2, "-o", tmp_path / "two.csv").code == 0
    two = pd.read_csv(tmp_path / "two.csv")
    assert set(two.columns) == {"person", *(row["feature"] for row in listed)}
    pd.testing.assert_frame_equal(two, pd.read_csv(table)[two.columns])
    by_label = json.loads(dsae("evaluate", trained, table, "--json").text)["by_label"]
    assert set(by_label) == set(WHOLE["colour"])


def test_a_report_and_neighbours_name_rows(dsae, trained, table, tmp_path):
    assert dsae("report", trained, table, "-o", tmp_path / "r.html").code == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<h3>p" in page
    assert "Row " not in page
    ages = re.findall(r"age</td><td>([\d.]+)</td>", page)
    assert {float(age) for age in ages} <= set(WHOLE["age"].astype(float))
    days = re.findall(r"born</td><td>([\d-]+)</td>", page)
    assert ages or days
    assert set(days) <= set(WHOLE["born"].dt.strftime("%Y-%m-%d"))
    found = json.loads(dsae("neighbours", trained, table, table, "-n", 1, "--json").text)
    assert [row["query_id"] for row in found] == WHOLE["person"].tolist()
    assert all(row["id"] == WHOLE["person"].iloc[row["row"]] for row in found)


def test_a_folder_of_tables_gives_a_folder(dsae, trained, tmp_path):
    (tmp_path / "in").mkdir()
    for i, part in enumerate((WHOLE[:20], WHOLE[20:])):
        part.to_csv(tmp_path / "in" / f"{i}.csv", index=False)
    assert dsae("reconstruct", trained, tmp_path / "in", "-o", f"{tmp_path / 'out'}/").code == 0
    assert [len(pd.read_csv(tmp_path / "out" / f"{i}.csv")) for i in range(2)] == [20, len(WHOLE) - 20]
    assert dsae("fit", tmp_path / "in", "-o", tmp_path / "m", "--table", *FIT).code == 0


def test_what_a_table_is_not_is_told(dsae, trained, table, tmp_path):
    failed = dsae("fit", table, "-o", tmp_path / "m", *FIT)
    assert failed.code == 2
    assert "--table" in failed.err
    failed = dsae("encode", trained, table, "--columns", "age")
    assert (failed.code, "leave columns out" in failed.err) == (2, True)
    WHOLE.drop(columns="age").to_csv(tmp_path / "less.csv", index=False)
    failed = dsae("encode", trained, tmp_path / "less.csv")
    assert (failed.code, "it lacks 'age'" in failed.err) == (2, True)
    np.save(tmp_path / "x.npy", np.eye(N))
    assert "must be a table" in dsae("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--table").err


def test_names_of_features_come_from_a_file(dsae, tmp_path):
    counts = np.random.default_rng(0).poisson(1, (40, 6)).astype(np.float32)
    write_rows(tmp_path / "x.npz", sp.csr_matrix(counts))
    words = [f"word {i}" for i in range(6)]
    (tmp_path / "words.txt").write_text("\n".join(words))
    data, names = tmp_path / "x.npz", ["--feature-names", tmp_path / "words.txt"]
    assert dsae("fit", data, "-o", tmp_path / "m", *names, *FIT).code == 0
    assert load(tmp_path / "m").model.feature_names == words
    assert dsae("reconstruct", tmp_path / "m", data).text.splitlines()[0].split(",") == words
    assert dsae("fit", data, "-o", tmp_path / "bare", *FIT).code == 0
    assert dsae("reconstruct", tmp_path / "bare", data, *names).text.splitlines()[0].split(",") == words
    assert dsae("select", tmp_path / "bare", "-n", 1, *names, "--json").text.count("word") == 1
    assert dsae("report", tmp_path / "bare", data, *names, "-o", tmp_path / "r.html").code == 0
    assert "word 3" in (tmp_path / "r.html").read_text("utf-8")
    for model, given in (("m", []), ("bare", names)):
        lines = dsae("recommend", tmp_path / model, data, "-n", 1, *given).text.splitlines()
        assert all(line.split(",")[2] in words for line in lines[1:])
    (tmp_path / "words.txt").write_text("\n".join(words[:5]))
    failed = dsae("fit", data, "-o", tmp_path / "m", *names, *FIT)
    assert (failed.code, "must hold 6 names, one per feature; got 5" in failed.err) == (2, True)

"""Recommendations by command are the library's."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import DSARecommender, load

NAMES = [f"film{j}" for j in range(12)]


@pytest.fixture
def users():
    rng = np.random.default_rng(0)
    own = np.arange(12) % 3 == rng.integers(3, size=60)[:, None]
    return (rng.random((60, 12)) < np.where(own, 0.6, 0.05)).astype(np.float32)


@pytest.fixture
def file(users, tmp_path):
    lines = [f"user {i},{','.join(map(str, row))}" for i, row in enumerate(users.astype(int).tolist())]
    (tmp_path / "users.csv").write_text("\n".join([f"user,{','.join(NAMES)}", *lines]), "utf-8")
    return tmp_path / "users.csv"


@pytest.fixture
def fitted(dsae, file, tmp_path):
    done = dsae("fit-recommender", file, "-o", tmp_path / "model", "--n-neighbours", 4, "--ridge", 3, "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.text)
    assert (facts["users"], facts["items"]) == (60, 12)
    return tmp_path / "model"


def test_fitting_by_command_is_fitting(fitted, users):
    found, wanted = DSARecommender.load(fitted), DSARecommender(4, ridge=3.0).fit(users, items=NAMES)
    np.testing.assert_array_equal(found.runtime_.layers["decoder.0"].values, wanted.runtime_.layers["decoder.0"].values)
    assert found.get_params() == wanted.get_params()


def test_items_come_by_row_and_place(dsae, fitted, file, users, tmp_path):
    wanted = load(fitted).recommend(users, 3)
    table = list(csv.DictReader(io.StringIO(dsae("recommend", fitted, file, "-n", 3).text)))
    assert [line["item"] for line in table] == wanted.items.ravel().tolist()
    assert [line["row"] for line in table[:4]] == ["user 0"] * 3 + ["user 1"]
    assert [line["place"] for line in table[:4]] == ["1", "2", "3", "1"]
    np.testing.assert_allclose([float(line["score"]) for line in table], wanted.scores.ravel(), rtol=1e-4)
    assert dsae("recommend", fitted, file, "-n", 3, "-o", tmp_path / "out.csv").text == ""
    assert (tmp_path / "out.csv").read_text() == dsae("recommend", fitted, file, "-n", 3).text


def test_json_is_one_object_a_line(dsae, fitted, file, users):
    lines = dsae("recommend", fitted, file, "-n", 12, "--with-seen", "--json").text.splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 60 * 12
    assert {line["item"] for line in found[:12]} == set(NAMES)
    assert list(found[0]) == ["row", "place", "item", "score"]


def test_sparse_rows_without_names_give_numbers(dsae, fitted, users, tmp_path):
    sp.save_npz(tmp_path / "users.npz", sp.csr_matrix(users))
    first = json.loads(dsae("recommend", fitted, tmp_path / "users.npz", "-n", 1, "--json").text.splitlines()[0])
    assert (first["row"], first["item"]) == (0, load(fitted).recommend(users[:1], 1).items[0, 0])


def test_rows_with_few_items_left_get_fewer_lines(dsae, fitted, file, users):
    table = list(csv.DictReader(io.StringIO(dsae("recommend", fitted, file, "-n", 12).text)))
    left = (users == 0).sum(axis=1)
    assert [sum(line["row"] == f"user {i}" for line in table) for i in range(60)] == left.tolist()


def test_an_error_leaves_the_file_and_stdout_as_they_were(dsae, fitted, file, tmp_path):
    (tmp_path / "out.csv").write_text("before")
    lines = file.read_text("utf-8").splitlines()
    file.write_text("\n".join([*lines[:5], lines[5].rsplit(",", 1)[0] + ",nan"]), "utf-8")
    assert dsae("recommend", fitted, file, "-n", 3, "-o", tmp_path / "out.csv").code == 2
    assert (tmp_path / "out.csv").read_text() == "before"
    assert not list(tmp_path.glob(".*"))
    done = dsae("recommend", fitted, file, "-n", 3)
    assert (done.code, done.text) == (2, "")
    failed = dsae("fit-recommender", file, "-o", tmp_path / "other")
    assert "Impute or drop such values first." in failed.err
    assert "mask" not in failed.err


@each({"name, more": [("x.npy", ()), ("x.parquet", ()), ("x.json", ()), ("x.parquet", ("--json",))]})
def test_no_text_goes_under_the_name_of_another_format(name, more, dsae, fitted, file, tmp_path):
    done = dsae("recommend", fitted, file, "-n", 3, "-o", tmp_path / name, *more)
    assert done.code == 2
    assert name in done.err
    assert not (tmp_path / name).exists()


def test_what_is_written_follows_the_ending(dsae, fitted, file, tmp_path):
    text = dsae("recommend", fitted, file, "-n", 3).text
    assert dsae("recommend", fitted, file, "-n", 3, "-o", tmp_path / "x.tsv.gz").code == 0
    assert gzip.decompress((tmp_path / "x.tsv.gz").read_bytes()).decode() == text.replace(",", "\t")
    assert dsae("recommend", fitted, file, "-n", 3, "--json", "-o", tmp_path / "x.jsonl").code == 0
    assert (tmp_path / "x.jsonl").read_text() == dsae("recommend", fitted, file, "-n", 3, "--json").text

"""Recommendations by command are the library's."""

import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
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


def test_items_come_by_user_and_rank(dsae, fitted, file, users, tmp_path):
    wanted = load(fitted).recommend(users, 3)
    table = list(csv.DictReader(io.StringIO(dsae("recommend", fitted, file, "-n", 3).text)))
    assert [line["item"] for line in table] == wanted.items.ravel().tolist()
    assert [line["user"] for line in table[:4]] == ["user 0"] * 3 + ["user 1"]
    assert [line["rank"] for line in table[:4]] == ["1", "2", "3", "1"]
    np.testing.assert_allclose([float(line["score"]) for line in table], wanted.scores.ravel(), rtol=1e-4)
    assert dsae("recommend", fitted, file, "-n", 3, "-o", tmp_path / "out.csv").text == ""
    assert (tmp_path / "out.csv").read_text() == dsae("recommend", fitted, file, "-n", 3).text


def test_json_is_one_object_a_line(dsae, fitted, file, users):
    lines = dsae("recommend", fitted, file, "-n", 12, "--with-seen", "--json").text.splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 60 * 12
    assert {line["item"] for line in found[:12]} == set(NAMES)
    assert list(found[0]) == ["user", "rank", "item", "score"]


def test_sparse_rows_without_names_give_numbers(dsae, fitted, users, tmp_path):
    sp.save_npz(tmp_path / "users.npz", sp.csr_matrix(users))
    first = json.loads(dsae("recommend", fitted, tmp_path / "users.npz", "-n", 1, "--json").text.splitlines()[0])
    assert (first["user"], first["item"]) == (0, load(fitted).recommend(users[:1], 1).items[0, 0])


def test_rows_with_few_items_left_get_fewer_lines(dsae, fitted, file, users):
    table = list(csv.DictReader(io.StringIO(dsae("recommend", fitted, file, "-n", 12).text)))
    left = (users == 0).sum(axis=1)
    assert [sum(line["user"] == f"user {i}" for line in table) for i in range(60)] == left.tolist()


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


@each({"name, more": [("x.npy", ()), ("x.json", ()), ("x.parquet", ("--json",))]})
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


@each(ending=["parquet", "arrow", "feather"])
def test_tables_hold_what_lines_of_text_do(dsae, fitted, file, tmp_path, ending, monkeypatch):
    from dsae.cli import _recommend

    monkeypatch.setattr(_recommend, "_LINES_AT_ONCE", 7)
    assert dsae("recommend", fitted, file, "-n", 3, "-o", tmp_path / f"x.{ending}").code == 0
    read = pd.read_parquet if ending == "parquet" else pd.read_feather
    found = read(tmp_path / f"x.{ending}")
    wanted = pd.read_csv(io.StringIO(dsae("recommend", fitted, file, "-n", 3).text))
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    assert found["rank"].dtype == np.int64


def test_users_without_an_item_left_make_a_table_without_lines(dsae, fitted, tmp_path):
    (tmp_path / "all.csv").write_text("\n".join([",".join(["user", *NAMES]), ",".join(["ann", *"1" * 12])]))
    for ending in ("csv", "parquet"):
        assert dsae("recommend", fitted, tmp_path / "all.csv", "-o", tmp_path / f"x.{ending}").code == 0
    assert (tmp_path / "x.csv").read_text() == "user,rank,item,score\n"
    assert pd.read_parquet(tmp_path / "x.parquet").columns.tolist() == ["user", "rank", "item", "score"]


@pytest.fixture
def pairs(users, tmp_path):
    """The same users, as a line for each of their items."""
    at, item = np.nonzero(users)
    table = pd.DataFrame({"who": [f"user {i}" for i in at], "when": "2020-01-01", "what": [NAMES[j] for j in item]})
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "pairs.csv", index=False)
    table.assign(stars=1.0).astype({"what": "category"}).to_parquet(tmp_path / "pairs.parquet")
    return tmp_path


LONG = ["--user-column", "who", "--item-column", "what"]


@each({"name, more": [("pairs.csv", []), ("pairs.parquet", ["--rating-column", "stars"])]})
def test_lines_of_pairs_are_rows_of_users(dsae, fitted, file, pairs, users, tmp_path, name, more):
    done = dsae(
        "fit-recommender", pairs / name, "-o", tmp_path / "long", "--n-neighbours", 4, "--ridge", 3, *LONG, *more
    )
    assert done.code == 0, done.err
    assert sorted(load(tmp_path / "long").model.feature_names) == sorted(NAMES)
    sold = users.any(axis=1)
    wanted = pd.read_csv(io.StringIO(dsae("recommend", fitted, file, "-n", 3).text)).set_index(["user", "rank"])
    for model in (fitted, tmp_path / "long"):
        text = dsae("recommend", model, pairs / name, "-n", 3, *LONG, *more).text
        found = pd.read_csv(io.StringIO(text)).set_index(["user", "rank"])
        assert found.index.get_level_values("user").nunique() == sold.sum()
        np.testing.assert_allclose(found["score"], wanted.loc[found.index, "score"], rtol=1e-3, atol=1e-5)


def test_items_without_names_are_columns(dsae, users, tmp_path):
    np.save(tmp_path / "users.npy", users)
    assert dsae("fit-recommender", tmp_path / "users.npy", "-o", tmp_path / "m", "--n-neighbours", 4).code == 0
    (tmp_path / "pairs.tsv").write_text("who\twhat\nann\t3\nann\t6\n")
    found = pd.read_csv(io.StringIO(dsae("recommend", tmp_path / "m", tmp_path / "pairs.tsv", "-n", 2, *LONG).text))
    row = np.isin(np.arange(12), [3, 6]).astype("f4")[None]
    assert found["item"].tolist() == load(tmp_path / "m").recommend(row, 2).items[0].tolist()


def test_unknown_items_are_refused_or_left_out(dsae, fitted, tmp_path):
    (tmp_path / "new.csv").write_text("who,what\nann,film3\nann,film99\nbob,film99\n")
    done = dsae("recommend", fitted, tmp_path / "new.csv", *LONG)
    assert (done.code, done.text) == (2, "")
    assert "item must be one of the 12 given; got 'film99'" in done.err
    done = dsae("recommend", fitted, tmp_path / "new.csv", "-n", 1, *LONG, "--skip-unknown")
    assert [line.split(",")[0] for line in done.text.splitlines()] == ["user", "ann"]
    assert "2 of 3 lines of" in done.err


@each(
    {
        "options, message": [
            (["--user-column", "who"], "--item-column must be given, too"),
            (["--rating-column", "stars"], "--user-column must be given, too"),
            (["--user-column", "woh", "--item-column", "what"], "has no column 'woh'. Did you mean 'who'?"),
            ([*LONG, "--id-column", "who"], "--id-column does not go with --user-column and --item-column"),
            ([*LONG, "--rating-column", "when"], "--rating-column must hold numbers; 'when' of"),
        ]
    }
)
def test_what_names_no_pairs_is_refused(dsae, pairs, options, message, tmp_path):
    done = dsae("fit-recommender", pairs / "pairs.csv", "-o", tmp_path / "other", *options)
    assert (done.code, done.text) == (2, "")
    assert message in done.err
    assert not (tmp_path / "other").exists()

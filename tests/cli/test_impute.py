"""Empty cells of files, filled in by a model that takes them."""

import csv

import numpy as np
import pytest
import scipy.sparse as sp
from tests.cli.conftest import NAMES
from tests.covering import each

from dsae import load, store
from dsae.data import open_rows, write_rows


@pytest.fixture
def holed_model(make_model, tmp_path):
    inputs = store.Inputs(np.float32([0.5, 1, 2, 3]), np.full(4, -9, np.float32), np.full(4, 9, np.float32))
    extra = {"feature_names": NAMES, "inputs": inputs}
    return store.write(tmp_path / "holed", make_model(4, 2, missing="mask", model=extra))


TEXT = """name,alpha,beta,gamma,delta
a,0.1,,3.00000000000001,4
b,NA,2.5,1e-7,
c,1,2,3,4
"""


def test_known_cells_keep_their_numbers_and_rows_their_ids(dsae, holed_model, tmp_path):
    (tmp_path / "x.csv").write_text(TEXT)
    done = dsae("impute", holed_model, tmp_path / "x.csv")
    assert done.code == 0
    given, found = (list(csv.DictReader(text.splitlines())) for text in (TEXT, done.text))
    assert [row["name"] for row in found] == ["a", "b", "c"]
    rows = open_rows(tmp_path / "x.csv", missing="mask").read()
    guessed = load(holed_model).impute(rows)
    for i, (before, after) in enumerate(zip(given, found, strict=True)):
        for j, name in enumerate(NAMES):
            known = before[name] not in ("", "NA")
            assert float(after[name]) == (float(before[name]) if known else pytest.approx(guessed[i, j], rel=1e-5))


@each(ending=["npy", "npz", "parquet", "h5ad"], dtype=[np.float32, np.float64])
def test_files_keep_their_precision(dsae, holed_model, tmp_path, rows, ending, dtype):
    X = rows.astype(dtype) / 3
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    np.save(tmp_path / "x.npy", X)
    assert dsae("impute", holed_model, tmp_path / "x.npy", "-o", tmp_path / f"y.{ending}").code == 0
    found = np.concatenate([batch.rows for batch in open_rows(tmp_path / f"y.{ending}").chunks(exact=True)])
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[~np.isnan(X)], X[~np.isnan(X)])
    np.testing.assert_array_equal(found, load(holed_model).impute(X))


def test_sparse_rows_stay_sparse(dsae, holed_model, tmp_path):
    X = sp.csr_matrix(np.array([[0, np.nan, 0, 2.0], [0.1, 0, 0, np.nan]]))
    sp.save_npz(tmp_path / "x.npz", X)
    assert dsae("impute", holed_model, tmp_path / "x.npz", "-o", tmp_path / "y.npz").code == 0
    found = sp.load_npz(tmp_path / "y.npz")
    assert found.dtype == np.float64
    assert found.nnz == 4
    np.testing.assert_array_equal(found.toarray(), load(holed_model).impute(X).toarray())


def test_every_command_takes_rows_with_holes(dsae, holed_model, tmp_path, rows):
    X = np.where(np.random.default_rng(1).random(rows.shape) < 0.3, np.nan, rows)
    write_rows(tmp_path / "x.csv", X, NAMES)
    for command in ("encode", "reconstruct", "evaluate", "score"):
        done = dsae(command, holed_model, tmp_path / "x.csv")
        assert (done.code, done.err) == (0, "")
    assert dsae("score", holed_model, tmp_path / "x.csv", "-n", "3").code == 0
    assert dsae("report", holed_model, tmp_path / "x.csv", "-o", tmp_path / "r.html").code == 0


def test_a_model_that_takes_no_holes_says_so(dsae, model, tmp_path):
    (tmp_path / "x.csv").write_text(TEXT)
    done = dsae("encode", model, tmp_path / "x.csv")
    assert done.code == 2
    assert "row 0, counted from 0, holds NaN or an empty cell in column 1 ('beta'). Set missing=\"mask\"" in done.err
    write_rows(tmp_path / "whole.csv", np.ones((2, 4)), NAMES)
    done = dsae("impute", model, tmp_path / "whole.csv")
    assert done.code == 2
    assert '[impute] The model must have missing="mask"' in done.err


def test_rows_without_a_value_are_named_by_their_number_in_the_file(dsae, holed_model, tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._reader._BYTES_AT_ONCE", 1 << 6)
    X = np.ones((200, 4), np.float32)
    X[150] = np.nan
    np.save(tmp_path / "x.npy", X)
    done = dsae("impute", holed_model, tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert "No value is known of 1 rows, the first of which is row 150" in done.err
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy")[150], [0.5, 1, 2, 3])

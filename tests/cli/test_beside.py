"""Targets and weights of rows by command are those of the library."""

import json

import numpy as np
import pandas as pd
import pytest

from dsae import DeepSparseAutoencoder, load
from dsae.data import read_rows, write_rows

QUICK = ["--n-components", 2, "--density", 0.5, "--max-iter", 3, "--random-state", 0, "--verbose", 0]
SETTINGS = {"n_components": 2, "density": 0.5, "max_iter": 3, "random_state": 0}


@pytest.fixture
def target(rows, tmp_path):
    made = rows @ np.random.default_rng(1).normal(size=(4, 3)).astype("f4")
    write_rows(tmp_path / "target.csv", made, ["left", "right", "up"])
    return tmp_path / "target.csv"


@pytest.fixture
def weights():
    return np.arange(40) % 3


def test_a_target_by_command_is_a_target(dsae, data, rows, target, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--target", target, "--json")
    assert done.code == 0, done.err
    made = read_rows(target)[0]
    wanted = DeepSparseAutoencoder(**SETTINGS).fit(rows, target=made)
    found = load(tmp_path / "m")
    np.testing.assert_array_equal(found.reconstruct(rows), wanted.runtime_.reconstruct(rows))
    assert json.loads(done.text)["train_fvu"] == pytest.approx(1 - wanted.score(rows, target=made), rel=1e-5)
    assert dsae("reconstruct", tmp_path / "m", data).text.splitlines()[0] == "left,right,up"
    assert dsae("encode", tmp_path / "m", data, "-o", tmp_path / "codes.npy").code == 0
    assert dsae("decode", tmp_path / "m", tmp_path / "codes.npy").text.splitlines()[0] == "left,right,up"
    measured = json.loads(dsae("evaluate", tmp_path / "m", data, "--target", target, "--json").text)
    assert measured["fvu"] == pytest.approx(json.loads(done.text)["train_fvu"], rel=1e-5)


@pytest.mark.parametrize("kind", ["column", "file"])
@pytest.mark.parametrize("more", [(), ("--table",)])
def test_weights_by_command_are_weights(dsae, rows, weights, kind, more, tmp_path):
    names = ["alpha", "beta", "gamma", "delta"]
    frame = pd.DataFrame(rows, columns=names)
    if kind == "file":
        pd.DataFrame({"w": weights}).to_csv(tmp_path / "w.csv", index=False)
    else:
        frame["w"] = weights
    frame.to_csv(tmp_path / "d.csv", index=False)
    how = (tmp_path / "w.csv") if kind == "file" else "w"
    done = dsae("fit", tmp_path / "d.csv", "-o", tmp_path / "m", *QUICK, "--sample-weight", how, *more)
    assert done.code == 0, done.err
    found = load(tmp_path / "m")
    assert found.model.feature_names == names
    if not more:
        wanted = DeepSparseAutoencoder(**SETTINGS).fit(rows, sample_weight=weights)
        np.testing.assert_array_equal(found.encode(rows), wanted.transform(rows))
    else:
        assert dsae("encode", tmp_path / "m", tmp_path / "d.csv", "-o", tmp_path / "c.npy").code == 0


def test_rows_of_another_order_are_told(dsae, rows, tmp_path):
    for name, ids in (("x", "abcdefghij"), ("y", "abdcefghij")):
        frame = pd.DataFrame(rows[:10], index=[f"row {i}" for i in ids], columns=list("pqrs"))
        frame.to_csv(tmp_path / f"{name}.csv", index_label="id")
    done = dsae("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK, "--target", tmp_path / "y.csv")
    assert (done.code, done.text) == (2, "")
    assert "--target must have the rows of DATA in its order; row 2 is 'row c' there and 'row d' in" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "short.csv"], "--target must have 40 rows, one for each row of DATA, in its order; "),
        (["--target", "nowhere.csv"], "does not exist; check the path"),
        (["--target", "target.csv", "--test", "data.csv"], "--test does not go with --target: its rows would need one"),
        (["--target", "target.csv", "--validation", "data.csv"], "--validation does not go with --target"),
        (["--target", "target.csv", "--table"], "--target does not go with --table"),
        (["--sample-weight", "weight"], "has no column 'weight'"),
        (["--sample-weight", "target.csv"], "--sample-weight must be a file of one column of numbers; "),
        (["--sample-weight", "short.csv"], "sample_weight must have 40 numbers, one for each row of X"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(dsae, data, target, options, message, tmp_path, monkeypatch):
    (tmp_path / "short.csv").write_text("a\n1\n2\n")
    monkeypatch.chdir(tmp_path)
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, *options)
    assert (done.code, done.text) == (2, "")
    assert message in " ".join(done.err.split())
    assert not (tmp_path / "m").exists()

"""Commands that choose rows and features give what the library gives."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from dsae import load, store
from dsae.data import read_rows, write_rows
from dsae.interpret import CodeIndex, feature_importances


def test_score_is_the_runtimes(dsae, model, data, rows, tmp_path):
    runtime = load(model)
    assert dsae("score", model, data).text.startswith("score\n")
    assert dsae("score", model, data, "-o", tmp_path / "scores.npy").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy")[:, 0], runtime.score_samples(rows))
    dsae("score", model, data, "--per-feature", "-o", tmp_path / "errors.csv")
    errors, names = read_rows(tmp_path / "errors.csv")
    assert names == ["alpha", "beta", "gamma", "delta"]
    np.testing.assert_array_equal(errors, runtime.reconstruction_error(rows, per_feature=True))


def test_the_most_unusual_rows_and_why(dsae, model, data, rows):
    found = json.loads(dsae("score", model, data, "-n", 3, "--json").text)
    errors = load(model).reconstruction_error(rows, per_feature=True)
    assert [row["row"] for row in found] == np.argsort(-errors.mean(axis=1))[:3].tolist()
    assert found[0]["feature"] == ["alpha", "beta", "gamma", "delta"][errors[found[0]["row"]].argmax()]
    assert dsae("score", model, data, "-n", 3).text.count("\n") == 4


def test_neighbours_are_those_of_the_index(dsae, model, data, rows, tmp_path):
    write_rows(tmp_path / "queries.npy", rows[:2])
    found = json.loads(dsae("neighbours", model, data, tmp_path / "queries.npy", "-n", 3, "--json").text)
    expected = CodeIndex(rows, model=load(model)).nearest(rows[:2], 3).rows
    assert [entry["row"] for entry in found] == expected.ravel().tolist()
    assert [entry["query"] for entry in found] == [0, 0, 0, 1, 1, 1]


def test_select_shows_and_keeps_the_most_important(dsae, model, data, rows, tmp_path):
    order = np.argsort(-feature_importances(load(model)), kind="stable")
    shown = json.loads(dsae("select", model, "-n", 2, "--json").text)
    assert [row["column"] for row in shown] == order[:2].tolist()
    assert dsae("select", model, data, "-n", 2, "-o", tmp_path / "few.csv").code == 0
    few, names = read_rows(tmp_path / "few.csv")
    kept = np.sort(order[:2])
    assert names == [["alpha", "beta", "gamma", "delta"][j] for j in kept]
    np.testing.assert_array_equal(few, rows[:, kept])


def test_codes_shortened_and_sparse(dsae, make_model, data, rows, tmp_path):
    folder = store.write(tmp_path / "topk", make_model(4, 6, code_activation="topk", k=3, live=0.9))
    assert dsae("encode", folder, data, "--k", 1, "--sparse", "-o", tmp_path / "codes.npz").code == 0
    codes = sp.load_npz(tmp_path / "codes.npz")
    np.testing.assert_array_equal(codes.toarray(), load(folder).encode(rows, k=1))
    assert codes.nnz <= len(rows)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["encod"], "No such command 'encod'. Did you mean 'encode'? See dsae --help."),
        (["neighbors"], "No such command 'neighbors'. Did you mean 'neighbours'? See dsae --help."),
        (["fit", "d.npy", "-o", "m", "--shrink", "satiency"], "Did you mean 'saliency'? See dsae fit --help."),
        (
            ["encode", "{model}", "{data}", "--k", "2"],
            "[encode] k is for topk, batchtopk, jumprelu codes; got k=2 with 'identity'.",
        ),
        (["encode", "{model}", "{data}", "--sparse"], "a sparse matrix is written as .npz or .mtx; got .csv."),
        (["select", "{model}", "-n", "9"], "[select] -n must be at most 4, the features of {model}; got 9."),
        (["select", "{model}", "-n", "2", "-o", "x.csv"], "[select] -o is for the rows in DATA"),
        (["score", "{model}", "{data}", "-n", "2", "-o", "x.csv"], "[score] -n shows a table and goes with neither"),
        (["score", "{model}", "{data}", "-n", "0"], "0 is not in the range x>=1"),
    ],
)
def test_misuse_is_explained(dsae, model, data, args, message):
    done = dsae(*(arg.format(model=model, data=data) for arg in args))
    assert done.code == 2
    assert message.format(model=model) in done.err
    assert done.err.count("\n") == 1

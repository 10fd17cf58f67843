"""Commands that choose rows and features give what the library gives."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import load, store
from dsae.data import StreamSource, open_rows, read_rows, write_rows
from dsae.interpret import CodeIndex, feature_importances
from dsae.runtime import Runtime

NAMES = ["alpha", "beta", "gamma", "delta"]


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


@each(command=[("score",), ("select",), ("encode",), ("report",)])
def test_a_file_is_not_written_where_there_is_no_folder(dsae, model, data, tmp_path, monkeypatch, command):
    """And no row is encoded for it."""
    for verb in ("encode", "reconstruct", "reconstruction_error"):
        monkeypatch.setattr(Runtime, verb, lambda *_, **__: pytest.fail("work"))
    n = ["-n", 2] if command == ("select",) else []
    done = dsae(*command, model, data, *n, "-o", tmp_path / "nowhere" / "x.csv")
    assert (done.code, "nowhere does not exist; make it first" in done.err) == (2, True)


@pytest.fixture
def pieces(monkeypatch):
    """Rows come 64 at a time, and are never all in memory."""
    monkeypatch.setattr("dsae.data._reader._BYTES_AT_ONCE", 1)
    monkeypatch.setattr(StreamSource, "read", lambda *_: pytest.fail("read all rows"))


@pytest.mark.usefixtures("pieces")
@each(form=[np.asarray, sp.csr_matrix])
def test_rows_are_scored_and_explained_a_chunk_at_a_time(dsae, model, tmp_path, monkeypatch, form):
    rows = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    write_rows(tmp_path / "x.npz", form(rows))
    runtime, seen = load(model), []

    def noted(method):
        return lambda self, X, **options: seen.append(X.shape[0]) or method(self, X, **options)

    for name in ("score_samples", "reconstruction_error"):
        monkeypatch.setattr(Runtime, name, noted(getattr(Runtime, name)))
    found = json.loads(dsae("score", model, tmp_path / "x.npz", "-n", 3, "--json").text)
    assert max(seen) == 64
    errors = runtime.reconstruction_error(rows, per_feature=True)
    assert [row["row"] for row in found] == np.argsort(-errors.mean(axis=1))[:3].tolist()
    for row in found:
        error = errors[row["row"]]
        assert row["feature"] == NAMES[error.argmax()]
        assert row["share"] == pytest.approx(error.max() / error.sum(), rel=1e-5)
        assert row["score"] == pytest.approx(-error.mean(), rel=1e-5)
    dsae("score", model, tmp_path / "x.npz", "-o", tmp_path / "scores.npy")
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy")[:, 0], runtime.score_samples(rows), rtol=1e-5)


def test_a_row_without_error_has_no_feature_to_blame(dsae, make_model, tmp_path):
    model = make_model(4, 2, live=0)
    for layer in model.layers.values():
        layer.bias[:] = 0
    write_rows(tmp_path / "zeros.npy", np.zeros((2, 4), np.float32))
    (row,) = json.loads(
        dsae("score", store.write(tmp_path / "m", model), tmp_path / "zeros.npy", "-n", 1, "--json").text
    )
    assert (row["row"], row["share"]) == (0, None)


@pytest.fixture
def numbered(rows, tmp_path):
    """Rows whose ids are numbers, which nobody would take for ids."""
    write_rows(tmp_path / "numbered.csv", np.c_[np.arange(40, dtype=np.float32) + 100, rows], ["n", *NAMES])
    return tmp_path / "numbered.csv"


@each(command=[["score"], ["score", "--per-feature"], ["score", "-n", 2], ["select", "-n", 2], ["neighbours"]])
def test_a_column_of_ids_is_no_feature(dsae, model, numbered, command):
    name, *options = command
    files = [numbered] * (2 if name == "neighbours" else 1)
    assert dsae(name, model, *files, *options).code == 2
    done = dsae(name, model, *files, *options, "--id-column", "n")
    assert (done.code, done.err) == (0, "")


def test_a_report_leaves_ids_out(dsae, model, numbered, tmp_path):
    assert dsae("report", model, numbered, "-o", tmp_path / "r.html").code == 2
    assert dsae("report", model, numbered, "-o", tmp_path / "r.html", "--id-column", "n").code == 0


@each(command=[["score"], ["score", "--per-feature"], ["select", "-n", 2]])
def test_ids_stay_with_scores_and_columns(dsae, model, numbered, tmp_path, command):
    name, *options = command
    assert dsae(name, model, numbered, *options, "--id-column", "n", "-o", tmp_path / "out.csv").err == ""
    source = open_rows(tmp_path / "out.csv", "n")
    assert source.id_name == "n"
    ids = np.concatenate([chunk.ids for chunk in source.chunks()]).astype(float)
    np.testing.assert_array_equal(ids, np.arange(40) + 100)


def test_the_most_unusual_rows_are_named(dsae, model, numbered):
    found = json.loads(dsae("score", model, numbered, "-n", 3, "--json", "--id-column", "n").text)
    assert [float(row["id"]) for row in found] == [row["row"] + 100 for row in found]


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


@pytest.mark.usefixtures("pieces")
@each(kind=["npz", "h5ad"], target=["npz", "h5ad", "npy", "csv", "-"])
def test_select_takes_sparse_rows_to_files_of_any_kind(dsae, model, tmp_path, kind, target):
    rows = sp.random_array((150, 4), density=0.4, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    data = tmp_path / f"x.{kind}"
    if kind == "h5ad":
        write_sparse_h5ad(data, rows)
    else:
        write_rows(data, sp.csr_matrix(rows))
    kept = np.sort(np.argsort(-feature_importances(load(model)), kind="stable")[:2])
    output = "-" if target == "-" else tmp_path / f"few.{target}"
    done = dsae("select", model, data, "-n", 2, "-o", output)
    assert (done.code, done.err) == (0, "")
    if target == "-":
        found = np.loadtxt(done.text.splitlines(), delimiter=",", skiprows=1, usecols=(-2, -1))
    else:
        few = open_rows(output)
        pieces = [chunk.rows for chunk in few.chunks()]
        assert sp.issparse(pieces[0]) == (target == "npz")
        found = np.concatenate([piece.toarray() if sp.issparse(piece) else piece for piece in pieces])
    np.testing.assert_allclose(found, rows.toarray()[:, kept], rtol=1e-6)


def write_sparse_h5ad(path, matrix):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "shape": matrix.shape})
        for part in ("data", "indices", "indptr"):
            X[part] = getattr(matrix, part)
        for frame, names in (("obs", [f"row {i}" for i in range(matrix.shape[0])]), ("var", NAMES)):
            file.create_group(frame).attrs["_index"] = "names"
            file[frame].create_dataset("names", data=names, dtype=h5py.string_dtype())


def test_codes_shortened_and_sparse(dsae, make_model, data, rows, tmp_path):
    folder = store.write(tmp_path / "topk", make_model(4, 6, code_activation="topk", k=3, live=0.9))
    assert dsae("encode", folder, data, "--k", 1, "--sparse", "-o", tmp_path / "codes.npz").code == 0
    codes = sp.load_npz(tmp_path / "codes.npz")
    np.testing.assert_array_equal(codes.toarray(), load(folder).encode(rows, k=1))
    assert codes.nnz <= len(rows)


@each(
    {
        "args, message": [
            (["encod"], "No such command 'encod'. Did you mean 'encode'? See dsae --help."),
            (["neighbors"], "No such command 'neighbors'. Did you mean 'neighbours'? See dsae --help."),
            (["fit", "d.npy", "-o", "m", "--shrink", "satiency"], "Did you mean 'saliency'? See dsae fit --help."),
            (
                ["encode", "{model}", "{data}", "--k", "2"],
                "[encode] k is for topk, batchtopk, jumprelu codes; got k=2 with 'identity'.",
            ),
            (["encode", "{model}", "{data}", "--sparse"], "a sparse matrix is written as .npz; got .csv."),
            (["select", "{model}", "-n", "9"], "[select] -n must be at most 4, the features of {model}; got 9."),
            (
                ["select", "{model}", "-n", "2", "-o", "x.csv"],
                "[select] -o and options about files are for the rows in DATA",
            ),
            (
                ["score", "{model}", "{data}", "-n", "2", "-o", "x.csv"],
                "[score] -n shows a table and goes with neither",
            ),
            (
                ["select", "{model}", "-n", "2", "--id-column", "n"],
                "[select] -o and options about files are for the rows in DATA",
            ),
            (["neighbours", "{model}", "{data}", "{data}", "--metric", "cosin"], "Did you mean 'cosine'?"),
            (["encode", "{model}", "{data}", "--format", "parket"], "Did you mean 'parquet'?"),
            (["score", "{model}", "{data}", "-n", "0"], "0 is not in the range x>=1"),
        ]
    }
)
def test_misuse_is_explained(dsae, model, data, args, message):
    done = dsae(*(arg.format(model=model, data=data) for arg in args))
    assert done.code == 2
    assert message.format(model=model) in done.err
    assert done.err.count("\n") == 1

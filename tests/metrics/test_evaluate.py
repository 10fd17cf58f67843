"""One pass measures everything, and one record makes a metric."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import metrics
from dsae.data import ArraySource
from dsae.metrics import METRICS, Metric, evaluate
from dsae.runtime import Runtime

X = np.random.default_rng(0).random((65, 12)).astype(np.float32)


def halve(rows):
    return (rows.toarray() if sp.issparse(rows) else rows) * 0.5


@pytest.fixture
def runtime(make_model):
    return Runtime(make_model(code_activation="relu"))


@each(kind=[np.asarray, sp.csr_matrix, ArraySource])
def test_evaluate_streams_a_function(kind):
    assert evaluate(halve, kind(X), batch_size=7)["mse"] == pytest.approx(metrics.mse(X, X * 0.5))


def test_wide_rows_are_reconstructed_few_at_a_time(monkeypatch):
    monkeypatch.setattr("dsae.metrics._evaluate._VALUES_AT_ONCE", 2**14)  # as 2**24 for rows of 2**22
    seen = []

    def reconstruct(rows):
        seen.append(rows.shape[0])
        return np.zeros(rows.shape, np.float32)

    evaluate(reconstruct, sp.csr_matrix((20, 2**12), dtype=np.float32))
    assert seen == [4] * 5


def test_a_model_gives_every_metric_but_those_of_other_losses(runtime):
    found = evaluate(runtime, X, timed=True)
    others = ("bce", "deviance", "deviance_explained")
    assert list(found) == [m.name for m in METRICS.values() if m.source != "comparison" and m.name not in others]
    assert found["n_samples"] == 65
    assert found["ms_per_row"] > 0
    codes = runtime.encode(X)
    assert found["mean_l0"] == pytest.approx(metrics.mean_l0(codes), abs=0.1)
    assert found["fvu"] == pytest.approx(metrics.fvu(X, runtime.decode(codes)))
    assert found["nnz"] == metrics.nnz(runtime.layers)
    assert found["density"] == runtime.model.density


def test_the_metric_of_the_loss_is_measured(make_model):
    model = Runtime(make_model(output_activation="sigmoid", model={"training": {"loss": "bce"}}))
    assert evaluate(model, X)["bce"] == pytest.approx(metrics.bce(X, model.reconstruct(X)))
    counts = np.rint(4 * X)
    model = Runtime(make_model(output_activation="exp", model={"training": {"loss": "poisson"}}))
    found, rebuilt = evaluate(model, counts), model.reconstruct(counts)
    assert found["deviance"] == pytest.approx(metrics.deviance(counts, rebuilt))
    assert found["deviance_explained"] == pytest.approx(metrics.deviance_explained(counts, rebuilt))


@each(names=[["fvu"], ["mse", "cosine"], ["mean_l0"], ["nnz", "fvu"]])
def test_only_what_is_asked_for_is_given_in_that_order(runtime, names):
    whole = evaluate(runtime, X)
    found = evaluate(runtime, X, metrics=names)
    assert list(found) == names
    assert found == pytest.approx({name: whole[name] for name in names})


def test_errors_alone_need_no_codes(runtime, monkeypatch):
    monkeypatch.setattr(Runtime, "encode", None)
    assert evaluate(runtime, X, metrics=["fvu"])["fvu"] > 0


def test_an_observer_sees_every_row_once(runtime):
    seen = []
    evaluate(runtime, X, batch_size=20, observe=lambda *batch: seen.append(batch))
    assert [start for start, *_ in seen] == [0, 20, 40, 60]
    rows, codes, X_hat = (np.concatenate(parts) for parts in list(zip(*seen, strict=True))[1:])
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_allclose(codes, runtime.encode(X), atol=1e-6)
    np.testing.assert_allclose(X_hat, runtime.decode(codes), atol=1e-6)


@each(
    {
        "name, message": [
            ("fuv", "every metric must be one of .* Did you mean 'fvu'"),
            ("fit_seconds", "measured by dsae.compare alone"),
            ("mean_l0", "needs a Runtime; got function"),
        ]
    }
)
def test_what_cannot_be_measured_is_refused(name, message):
    with pytest.raises(ValueError, match=rf"\[evaluate\].*{message}"):
        evaluate(halve, X, metrics=[name])


LABELS = np.array(["a", "b", "b", "c", None] * 13, dtype=object)


@each(kind=[np.asarray, sp.csr_matrix, ArraySource, lambda X: ArraySource(X, labels=LABELS)])
def test_errors_by_label_are_those_of_the_rows_with_it(runtime, kind):
    given = kind(X)
    travel = isinstance(given, ArraySource) and given.rows.labels is not None
    found = evaluate(runtime, given, metrics=["mse"], batch_size=7, by_label=True if travel else LABELS)
    by_label = found["by_label"]
    assert set(by_label) == {"a", "b", "c", None}
    for label, errors in by_label.items():
        mine = X[[one == label for one in LABELS]]
        assert errors == pytest.approx(evaluate(runtime, mine, metrics=["n_samples", "mse", "fvu"]), rel=1e-4)
    largest_first = [errors["mse"] for errors in by_label.values()]
    assert largest_first == sorted(largest_first, reverse=True)
    assert found["mse"] == pytest.approx(sum(e["n_samples"] * e["mse"] for e in by_label.values()) / len(X))


def test_labels_that_are_missing_are_one(runtime):
    labels = np.where(np.arange(65) % 3, np.nan, 2.0)
    by_label = evaluate(runtime, X, metrics=[], by_label=labels)["by_label"]
    assert {label: errors["n_samples"] for label, errors in by_label.items()} == {2.0: 22, None: 43}


@each(
    {
        "labels, message": [
            (True, r"needs rows that have one label each; got rows without.*label_column"),
            (LABELS[1:], r"by_label must hold one label for each of 65 rows; got shape \(64,\)"),
            (LABELS[:, None], r"got shape \(65, 1\)"),
        ]
    }
)
def test_there_is_one_label_per_row(runtime, labels, message):
    with pytest.raises(ValueError, match=rf"^\[evaluate\] .*{message}"):
        evaluate(runtime, X, by_label=labels)


def test_targets_that_are_no_classes_are_not_shown_one_by_one():
    many = np.zeros((1200, 2), np.float32)
    with pytest.warns(UserWarning, match="more than 1000 different labels"):
        found = evaluate(halve, many, metrics=["n_samples"], by_label=np.arange(1200))
    assert found == {"n_samples": 1200, "by_label": None}


@pytest.mark.filterwarnings("ignore:.*reconstruction")
def test_one_record_puts_a_metric_everywhere(monkeypatch, tmp_path, capsys):
    from dsae.cli import run
    from dsae.comparison import compare

    record = Metric("mae", "errors", "Absolute error", better="lower", per_row=lambda x, y: np.abs(x - y).mean(axis=1))
    monkeypatch.setitem(METRICS, "mae", record)
    comparison = compare(X, n_components=3, hidden_layer_sizes=(), density=0.9, max_iter=1, verbose=0, random_state=0)
    assert all(row.mae > 0 for row in comparison.rows)
    assert "Absolute error" in comparison.to_html(tmp_path / "report.html").read_text()
    comparison.models["DSA"].save(tmp_path / "model")
    np.save(tmp_path / "x.npy", X)
    assert run(["evaluate", str(tmp_path / "model"), str(tmp_path / "x.npy"), "--json"]) == 0
    assert '"mae"' in capsys.readouterr().out

"""One pass measures everything, and one record makes a metric."""

import numpy as np
import pytest
import scipy.sparse as sp

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


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, ArraySource])
def test_evaluate_streams_a_function(kind):
    assert evaluate(halve, kind(X), batch_size=7)["mse"] == pytest.approx(metrics.mse(X, X * 0.5))


def test_wide_rows_are_reconstructed_few_at_a_time():
    seen = []

    def reconstruct(rows):
        seen.append(rows.shape[0])
        return np.zeros(rows.shape, np.float32)

    evaluate(reconstruct, sp.csr_matrix((20, 2**22), dtype=np.float32))
    assert seen == [4] * 5


def test_a_model_gives_every_metric_but_those_of_other_losses(runtime):
    found = evaluate(runtime, X, timed=True)
    assert list(found) == [m.name for m in METRICS.values() if m.source != "comparison" and m.name != "bce"]
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


@pytest.mark.parametrize("names", [["fvu"], ["mse", "cosine"], ["mean_l0"], ["nnz", "fvu"]])
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fuv", "every metric must be one of .* Did you mean 'fvu'"),
        ("fit_seconds", "measured by dsae.compare alone"),
        ("mean_l0", "needs a Runtime; got function"),
    ],
)
def test_what_cannot_be_measured_is_refused(name, message):
    with pytest.raises(ValueError, match=rf"\[evaluate\].*{message}"):
        evaluate(halve, X, metrics=[name])


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

"""The commands that explain write a model, its figures and its report."""

import json

import numpy as np
import pytest

from dsae import load
from dsae.data import write_rows

NAMES = ["DSA", "dense twin", "narrow twin", "PCA"]
QUICK = ["--n-components", 2, "--hidden-layer-sizes", 8, "--density", 0.5, "--max-iter", 1, "--verbose", 0]


def names_of(comparison):
    return [row["name"] for row in comparison["rows"]]


@pytest.mark.parametrize("as_json", [False, True])
def test_compare(dsae, data, rows, tmp_path, as_json):
    folder = tmp_path / "study"
    done = dsae("compare", data, "--test", data, "-o", folder, *QUICK, *(["--json"] if as_json else []))
    assert done.code == 0, done.err
    assert done.err == f"report: {folder}/report.html\n"
    written = json.loads((folder / "comparison.json").read_text())
    assert names_of(written) == NAMES
    if as_json:
        assert json.loads(done.text) == written
    else:
        assert all(name in done.text for name in NAMES)
    report = (folder / "report.html").read_text()
    assert "narrow twin" in report
    assert "gamma" in report
    assert load(folder / "model").encode(rows).shape == (40, 2)


def test_ids_are_left_out_of_a_comparison(dsae, rows, tmp_path):
    data = tmp_path / "numbered.csv"
    write_rows(data, np.c_[np.arange(40, dtype=np.float32), rows], ["n", "alpha", "beta", "gamma", "delta"])
    np.save(tmp_path / "nameless.npy", rows)
    for test in (data, tmp_path / "nameless.npy"):
        done = dsae("compare", data, "--test", test, "-o", tmp_path / "study", "--id-column", "n", *QUICK)
        assert done.code == 0, done.err
        assert load(tmp_path / "study" / "model").encode(rows).shape == (40, 2)


def test_rows_to_measure_on_have_the_columns_of_the_others(dsae, data, rows, tmp_path):
    write_rows(tmp_path / "other.csv", rows, ["alpha", "gamma", "beta", "delta"])
    done = dsae("compare", data, "--test", tmp_path / "other.csv", "-o", tmp_path / "study")
    assert done.code == 2
    assert "[compare] " in done.err
    assert "other.csv column 2 must be 'beta', as in training; got 'gamma'." in done.err
    assert not (tmp_path / "study").exists()


def test_demo(dsae, tmp_path):
    done = dsae("demo", "-o", tmp_path / "demo", "--max-iter", 1, "--json")
    assert done.code == 0, done.err
    assert names_of(json.loads(done.text)) == NAMES
    assert done.err.endswith(f"the report in {tmp_path}/demo/report.html.\n")
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "model",
        "comparison.json",
        "report.html",
    }
    assert load(tmp_path / "demo" / "model").model.density == pytest.approx(0.05, abs=1e-3)


def test_a_shape_that_does_not_fit_is_refused_before_training(dsae, data, tmp_path, monkeypatch):
    from dsae import comparison

    monkeypatch.setattr(comparison, "compare", lambda *a, **k: pytest.fail("trained first"))
    done = dsae("compare", data, "-o", tmp_path / "study", "--image-shape", "3x3")
    assert done.code == 2
    assert "--image-shape 3x3 does not hold the 4 columns" in done.err
    assert not (tmp_path / "study").exists()


def test_a_report_can_go_to_stdout(dsae, model, data):
    done = dsae("report", model, data, "-o", "-")
    assert done.code == 0, done.err
    assert done.text.rstrip().endswith("</html>")

"""Outlier detectors by command are the library's."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from dsae import DSAOutlierDetector, load
from dsae.data import write_rows

NAMES = ["alpha", "beta", "gamma", "delta"]


@pytest.fixture
def plane(rows, tmp_path):
    rows = np.stack([rows[:, 0], rows[:, 1], rows[:, 0] + rows[:, 1], rows[:, 0] - rows[:, 1]], axis=1)
    rows[7, 2] += 60
    write_rows(tmp_path / "plane.csv", rows, NAMES)
    return rows


@pytest.fixture
def detector(dsae, plane, tmp_path):
    done = dsae("fit-outliers", tmp_path / "plane.csv", "-o", tmp_path / "d", "--n-estimators", 4, "--random-state", 0,
                "--json")  # fmt: skip
    assert done.code == 0, done.err
    facts = json.loads(done.text)
    assert (facts["rows"], facts["features"]) == (40, 4)
    assert facts["outliers"] >= 1
    return tmp_path / "d"


def test_a_detector_by_command_is_a_detector(dsae, plane, detector, tmp_path):
    wanted = DSAOutlierDetector(n_estimators=4, random_state=0).fit(plane)
    table = list(csv.DictReader(io.StringIO(dsae("score", detector, tmp_path / "plane.csv").text)))
    np.testing.assert_allclose([float(line["score"]) for line in table], wanted.score_samples(plane), rtol=1e-6)
    assert [float(line["outlier"]) for line in table] == (wanted.predict(plane) < 0).astype(float).tolist()
    apart = dsae("score", detector, tmp_path / "plane.csv", "--per-feature", "-o", tmp_path / "apart.npy")
    assert apart.code == 0
    np.testing.assert_allclose(np.load(tmp_path / "apart.npy"), wanted.explain(plane), rtol=1e-5)
    assert DSAOutlierDetector.load(detector).get_params() == wanted.get_params()


def test_the_most_unusual_rows_are_shown_with_the_feature_that_makes_them_so(dsae, detector, tmp_path):
    done = dsae("score", detector, tmp_path / "plane.csv", "-n", 3, "--json")
    assert done.err == ""
    first = json.loads(done.text)[0]
    assert (first["row"], first["outlier"]) == (7, True)
    assert first["feature"] in NAMES


def test_a_table_with_classes_and_holes_is_scored_as_it_is(dsae, plane, tmp_path):
    frame = pd.DataFrame(plane, columns=NAMES)
    frame["kind"] = np.where(frame["alpha"] > 0, "up", "down")
    frame.loc[3, "beta"] = np.nan
    frame.to_csv(tmp_path / "mixed.csv", index=False)
    how = ["--table", "--n-estimators", 4, "--random-state", 0]
    done = dsae("fit-outliers", tmp_path / "mixed.csv", "-o", tmp_path / "m", *how)
    assert done.code == 0, done.err
    assert len(dsae("score", tmp_path / "m", tmp_path / "mixed.csv").text.splitlines()) == 41
    loaded = DSAOutlierDetector.load(tmp_path / "m")
    assert loaded.missing == "mask"
    scores = loaded.score_samples(loaded.table_.transform(frame))
    assert scores.argmin() == 7
    again = DSAOutlierDetector.load(loaded.save(tmp_path / "again"))
    assert again.table_.schema_ == loaded.table_.schema_


def test_detectors_and_models_are_told_apart(dsae, detector, model, data, tmp_path):
    done = dsae("encode", detector, data)
    assert done.code == 2
    assert "it holds an outlier detector. Use it with dsae score" in done.err
    done = dsae("fit-outliers", data, "-o", model)
    assert done.code == 2
    assert "is not a detector's folder" in done.err
    done = dsae("fit", data, "-o", detector, "--max-iter", 1)
    assert done.code == 2
    assert load(model).config.n_features == 4


def test_other_columns_are_refused(dsae, detector, rows, tmp_path):
    write_rows(tmp_path / "other.csv", rows, [*NAMES[:3], "epsilon"])
    done = dsae("score", detector, tmp_path / "other.csv")
    assert (done.code, done.text) == (2, "")
    assert "column 4 must be 'delta', as in training; got 'epsilon'" in done.err

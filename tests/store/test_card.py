"""The head of the model card is YAML that hubs read, with the metrics of the folder."""

import math

import numpy as np
import pytest
from tests.covering import each

from dsae import DeepSparseAutoencoder, store

yaml = pytest.importorskip("yaml")


def head(folder):
    text = (folder / "README.md").read_text("utf-8")
    _, found, rest = text.split("---\n", 2)
    assert rest.startswith("# ")
    return yaml.safe_load(found)


def test_a_fitted_model_tells_its_metrics(tmp_path):
    X = np.random.default_rng(0).random((60, 8))
    dsa = DeepSparseAutoencoder(
        3, hidden_layer_sizes=(), code_activation="topk", k=1, density=0.5, max_iter=2, random_state=0
    )
    dsa.fit(X, validation=X[:20])
    found = head(dsa.save(tmp_path / "model"))
    assert found["library_name"] == "dsae"
    assert found["pipeline_tag"] == "feature-extraction"
    assert {"dsae", "sparse-autoencoder", "dictionary-learning"} <= set(found["tags"])
    assert "license" not in found
    ((index,),) = [found["model-index"]]
    told = {
        (result["dataset"]["name"], metric["type"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    kept = store.read(tmp_path / "model").metrics
    for name in ("fvu", "l0", "dead"):
        assert told["Training rows", name] == pytest.approx(kept[name], rel=1e-5)
    assert told["Validation rows", "loss"] == pytest.approx(kept["validation_loss"], rel=1e-5)


@each(value=[0, 1e-7, 1.5e-10, 1e20, 12345678.9, 0.1, 2.5e30, math.pi])
def test_numbers_are_numbers(make_model, tmp_path, value):
    folder = store.write(tmp_path / "model", make_model(model={"metrics": {"test_fvu": value}}))
    ((result,),) = [head(folder)["model-index"][0]["results"]]
    (metric,) = result["metrics"]
    assert isinstance(metric["value"], int | float)
    assert metric["value"] == pytest.approx(value, rel=1e-5)
    assert result["dataset"]["name"] == "Test rows"


def test_what_is_no_number_is_left_out(make_model, tmp_path):
    odd = {"fvu": math.inf, "loss": math.nan, "dead": "all", "l0": {"a": 1}, "fit_seconds": 3.0, "mse": True}
    assert "model-index" not in head(store.write(tmp_path / "model", make_model(model={"metrics": odd})))

"""A model of several modalities beside its baselines."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from tests.estimators.test_multimodal import CLASSES, views

from dsae.comparison import LinearJoint, compare_joint
from dsae.data import JointSource

NAMES = ["DSA", "dense twin", "single models", "PCA + least squares"]


@pytest.fixture(scope="module")
def compared():
    settings = {"n_components": 4, "hidden_layer_sizes": (12,), "density": 0.4, "max_iter": 6, "batch_size": 32}
    return compare_joint(views(), views(1), CLASSES, verbose=0, random_state=0, **settings)


def test_all_models_are_measured_on_the_same_rows(compared):
    assert list(compared.sizes) == NAMES
    assert compared.sizes["dense twin"]["density"] == 1
    assert compared.sizes["DSA"]["nnz"] < compared.sizes["dense twin"]["nnz"]
    pairs = {(given, to) for given, row in compared.errors["DSA"].items() for to in row}
    assert len(pairs) == 21
    assert set(compared.errors["single models"]["image"]) == {"image"}
    assert set(compared.coherence) == {"DSA", "dense twin", "PCA + least squares"}
    written = json.loads(compared.to_json())
    assert set(written) == {"errors", "sizes", "coherence", "notes"}
    table = compared.to_table()
    assert table.row_count == 3 + 21 + 12


def test_single_models_are_trained_as_the_joint_one(monkeypatch):
    from dsae.comparison import _joint as module

    plans, made = [], module.DeepSparseAutoencoder
    monkeypatch.setattr(module, "DeepSparseAutoencoder", lambda **plan: plans.append(plan) or made(**plan))
    how = {"batch_size": 32, "learning_rate_init": 0.004, "l1": 1e-5, "l2": 1e-6, "shrink": "set", "block_size": 1}
    how |= {"mask": 0.2, "emphasis": 2.0, "precision": "float32", "device": "cpu"}
    few = {"n_components": 4, "density": 0.4, "max_iter": 1, "random_state": 0}
    compare_joint(views(), views(1), verbose=0, **few, **how)
    fitted = [plan for plan in plans if plan]
    assert len(fitted) == 3
    assert all(plan[name] == value for plan in fitted for name, value in how.items())


def test_judges_are_of_the_rows_for_training_where_their_classes_are_known():
    """Judges of training rows whose classes are swapped are always wrong about others."""
    settings = {"n_components": 4, "hidden_layer_sizes": (12,), "density": 0.4, "max_iter": 6, "batch_size": 32}
    y = CLASSES % 2
    how = {"verbose": 0, "random_state": 0, **settings}
    swapped = compare_joint(views(), views(1), y, y=1 - y, **how).coherence["PCA + least squares"]
    assert max(max(row.values()) for row in swapped.values()) < 0.2
    with pytest.raises(ValueError, match=r"\[compare\] There must be at least 2 labels"):
        compare_joint(views(), views(1), y, y=0 * y, **how)


def test_the_linear_map_is_exact_where_the_truth_is_linear():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(400, 3))
    rows = {
        name: (factors @ rng.normal(size=(3, width)) + 5).astype(np.float32) for name, width in (("a", 9), ("b", 6))
    }
    has = {"b": rng.random(400) < 0.7}
    model = LinearJoint.fit(JointSource(rows, has), 3)
    made = model.decode(model.join(model.latents({"a": rows["a"]})), "b")
    assert np.mean((made - rows["b"]) ** 2) < 0.02 * rows["b"].var()  # covariances of some rows and of all are mixed
    exact = LinearJoint.fit(JointSource(rows), 3)
    np.testing.assert_allclose(exact.decode(exact.join(exact.latents({"a": rows["a"]})), "b"), rows["b"], atol=1e-3)


def test_counts_are_logarithms_to_the_linear_map():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(300, 2))
    logs = {name: 6 + np.clip(factors, -2, 2) @ rng.uniform(-1, 1, (2, width)) for name, width in (("a", 7), ("b", 5))}
    rows = {name: np.expm1(values).astype(np.float32) for name, values in logs.items()}
    rows["a"] = sp.csr_matrix(rows["a"])
    model = LinearJoint.fit(JointSource(rows), 2, counts=("a", "b"))
    made = model.decode(model.join(model.latents({"a": rows["a"]})), "b")
    np.testing.assert_allclose(made, rows["b"], rtol=0.02)
    far = model.decode(1e6 * np.ones((1, 4)), "b")
    assert 0 <= far.min() <= far.max() <= 1.01 * rows["b"].max()


def test_likelihoods_of_counts_have_a_linear_rival_too():
    rng = np.random.default_rng(0)
    X = {name: rng.poisson(3, (60, width)).astype(np.float32) for name, width in (("rna", 6), ("protein", 4))}
    few = {"n_components": 2, "density": 0.6, "max_iter": 1, "random_state": 0}
    compared = compare_joint(X, X, verbose=0, loss={"rna": "nb", "protein": "mse"}, **few)
    assert list(compared.sizes) == NAMES
    assert "counts (rna) are their logarithms" in compared.notes[1]
    assert np.isfinite(list(compared.errors[NAMES[-1]]["rna"].values())).all()

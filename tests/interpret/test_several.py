"""A model of several modalities is read as the one model that it is in rows that have all of them."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import interpret
from dsae.config import AutoencoderConfig, JointConfig, unit_deviance
from dsae.interpret import (
    ablate,
    compare,
    contributions,
    describe,
    encoder_directions,
    mean_code,
    neighbours,
    responses,
    steer,
    take,
    top_examples,
)
from dsae.runtime import JointRuntime, Runtime
from dsae.store import JointModel, Model
from dsae.topology import Layer, Topology

WIDTHS = {"a": 7, "b": 5}


@pytest.fixture
def parts(make_model):
    code = {"n_components": 6, "code_activation": "topk", "k": 2}
    return {name: make_model(n, seed=n, live=0.7, **code) for name, n in WIDTHS.items()}


@pytest.fixture
def joint(parts, rng):
    weight = {name: rng.uniform(0.5, 2, 6).astype(np.float32) for name in parts}
    return JointModel(JointConfig({name: model.config for name, model in parts.items()}), parts, weight)


@pytest.fixture
def rows(rng):
    return {name: rng.normal(0, 1, (80, n)).astype(np.float32) for name, n in WIDTHS.items()}


def layer(weights, bias):
    topology = Topology.from_mask(weights != 0)
    return Layer(topology, weights[weights != 0].astype(np.float32), bias.astype(np.float32))


@pytest.fixture
def whole(parts, joint):
    """The same as one model: weights of the encoders by their shares, decoders one above the other."""
    total = sum(joint.weight.values())
    share = {name: joint.weight[name] / total for name in parts}
    into = np.hstack([share[name][:, None] * of.layers["encoder.0"].to_dense() for name, of in parts.items()])
    bias = sum(share[name] * of.layers["encoder.0"].bias for name, of in parts.items())
    out = [of.layers["decoder.0"] for of in parts.values()]
    decoder = layer(np.vstack([one.to_dense() for one in out]), np.concatenate([one.bias for one in out]))
    config = AutoencoderConfig(n_features=12, n_components=6, code_activation="topk", k=2)
    return Model(config, {"encoder.0": layer(into, bias), "decoder.0": decoder})


def test_descriptions_are_those_of_one_model(joint, whole, rows):
    names = {"a": [f"a{j}" for j in range(7)], "b": [f"b{j}" for j in range(5)]}
    labels = np.array(["x", "y"])[np.arange(80) % 2]
    X = np.hstack([rows["a"], rows["b"]])
    found = describe(joint, rows, names=names, labels=labels)
    expected = describe(whole, X, names=names["a"] + names["b"], labels=labels)
    assert len(found) > 3
    for one, other in zip(found, expected, strict=True):
        assert (one.latent, one.name, one.count) == (other.latent, other.name, other.count)
        np.testing.assert_allclose([one.energy, one.mean], [other.energy, other.mean], rtol=1e-4)
        assert [e.row for e in one.examples] == [e.row for e in other.examples]
        assert [p.latent for p in one.together] == [p.latent for p in other.together]
        assert one.labels == other.labels
        for part in ("writes", "distinctive", "reads"):
            effects, wanted = getattr(one, part), getattr(other, part)
            assert [e.name for e in effects] == [e.name for e in wanted]
            np.testing.assert_allclose([e.value for e in effects], [e.value for e in wanted], rtol=1e-4)
    np.testing.assert_array_equal(neighbours(joint, rows).cosine.latents, neighbours(whole, X).cosine.latents)
    half = {name: values[:40] for name, values in rows.items()}
    np.testing.assert_allclose(compare(joint, half, rows).size, compare(whole, X[:40], X).size, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(mean_code(joint, rows), mean_code(whole, X), rtol=1e-4, atol=1e-6)
    for one, other in zip(top_examples(joint, rows).rows, top_examples(whole, X).rows, strict=True):
        assert one.tolist() == other.tolist()


def test_rows_that_lack_a_modality_count_with_what_they_have(joint, rows):
    rows["a"][:30] = np.nan
    runtime, found = JointRuntime(joint), describe(joint, rows, range(6))
    codes = runtime.encode(rows)
    assert [at.count for at in found] == (codes != 0).sum(axis=0).tolist()
    mean = np.concatenate([rows["a"][30:].mean(axis=0), rows["b"].mean(axis=0)])
    reading = interpret.encoder_directions(joint, mean=mean)
    assert sp.issparse(reading)
    assert reading.shape == (6, 12)


def test_directions_of_deep_models_stand_side_by_side(make_model, rng):
    code = {"n_components": 6, "hidden_layer_sizes": (9,)}
    parts = {name: make_model(n, seed=n, live=0.8, **code) for name, n in WIDTHS.items()}
    weight = {"a": np.full(6, 3, np.float32), "b": np.ones(6, np.float32)}
    joint = JointModel(JointConfig({name: model.config for name, model in parts.items()}), parts, weight)
    mean, code = rng.normal(0, 1, 12), rng.normal(0, 1, 6)
    reads, writes = encoder_directions(joint, [4, 1], mean=mean), responses(joint, mean=code)
    for name, span, share in (("a", slice(0, 7), 0.75), ("b", slice(7, 12), 0.25)):
        of = Runtime(parts[name])
        np.testing.assert_allclose(reads[:, span], share * encoder_directions(of, [4, 1], mean=mean[span]), rtol=1e-5)
        np.testing.assert_array_equal(writes[:, span], responses(of, mean=code))


def test_effects_are_those_of_one_model(joint, whole, rows):
    X = np.hstack([rows["a"], rows["b"]])
    found, expected = contributions(joint, rows), contributions(whole, X)
    assert (found.method, found.gap.max() < 1e-5) == ("exact", True)
    for row in (0, 41):
        for one, other in zip(found.of(row), expected.of(row), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        for one, other in zip(found.waterfall(row), expected.waterfall(row), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    gone, wanted = ablate(joint, rows, [2, 4]), ablate(whole, X, [2, 4])
    for name in ("before", "after", "x_hat"):
        np.testing.assert_allclose(getattr(gone, name), getattr(wanted, name), rtol=1e-4, atol=1e-5)
    stronger, wanted = (steer(of, some, [2], times=3.0) for of, some in ((joint, rows), (whole, X)))
    np.testing.assert_allclose(stronger, wanted, rtol=1e-4, atol=1e-5)


@each(hidden=[(), (9,)])
def test_effects_are_measured_ones_in_rows_that_lack_a_modality(make_model, rng, hidden):
    code = {"n_components": 6, "code_activation": "relu", "live": 0.8, "hidden_layer_sizes": hidden}
    parts = {name: make_model(n, seed=n, **code) for name, n in WIDTHS.items()}
    parts["counts"] = make_model(
        4, seed=4, output_activation="exp", **code, model={"training": {"loss": "poisson"}}
    )  # fmt: skip
    for layer in parts["counts"].layers.values():
        layer.values[:] *= 0.3  # whose exponentials are then no larger than counts
    config = JointConfig({name: of.config for name, of in parts.items()}, losses={"counts": "poisson"})
    model = JointModel(config, parts, {name: np.ones(6, np.float32) for name in parts}, totals={"counts": 9.0})
    X = {name: rng.normal(0, 1, (20, n)).astype(np.float32) for name, n in WIDTHS.items()}
    X["counts"] = rng.poisson(2, (20, 4)).astype(np.float32)
    X["a"][3] = X["counts"][5] = np.nan
    found, runtime = contributions(model, X), JointRuntime(model)
    for row in (3, 5, 8):  # of counts the error is a deviance
        latents, rise = found.effects(row)
        base, x = found.base_code[latents], np.concatenate([rows[row] for rows in X.values()])
        code = np.repeat(found.codes[row].toarray(), latents.size + 1, 0)
        code[np.arange(latents.size), latents] = base
        made = np.hstack([runtime.decode(code, name, totals=X[name][[row] * len(code)]) for name in X])
        errors = np.square(x - made)
        errors[:, 12:] = unit_deviance(x[12:], made[:, 12:])
        errors = np.nanmean(errors, axis=1)
        np.testing.assert_allclose(rise, errors[:-1] - errors[-1], rtol=1e-3, atol=1e-4)
        gone = ablate(model, take(model, X, [row]), latents[:1], to=base[0])
        there = ~np.isnan(x)
        np.testing.assert_allclose(gone.x_hat[0, there], made[0, there], rtol=1e-4, atol=1e-5)
    lacking = steer(model, take(model, X, [5]), [0], add=0.0)[0, 12:]
    np.testing.assert_allclose(lacking, runtime.decode(found.codes[5], "counts")[0], rtol=1e-5)  # by the mean total


def test_errors_without_a_latent_are_means_over_what_a_row_has(joint, rows):
    rows["b"][2] = np.nan
    found, runtime = ablate(joint, rows, [1]), JointRuntime(joint)
    made = {name: runtime.decode(found.codes, name) for name in rows}
    squared = np.hstack([np.square(rows[name] - made[name]) for name in rows])
    np.testing.assert_allclose(found.after, np.nanmean(squared, axis=1), rtol=1e-4)


def test_what_reads_one_modality_says_so(joint, rows):
    with pytest.raises(ValueError, match=r"\[reads\] The model must have one modality; it has a and b. Read that of"):
        interpret.reads(joint, rows, [0])
    with pytest.raises(ValueError, match=r"\[ablate\] target is for models of one modality"):
        ablate(joint, rows, [0], target=rows["a"])


@each({"names, message": [({"c": []}, "names must be by modality"), ({"a": ["x"]}, "must name 7 features; got 1")]})
def test_names_are_by_modality(joint, rows, names, message):
    with pytest.raises(ValueError, match=rf"\[describe\] .*{message}"):
        describe(joint, rows, names=names)

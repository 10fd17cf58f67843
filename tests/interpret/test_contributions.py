"""Laws of contributions: they add up, and what they say of an effect is what is measured."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.interpret import ablate, contributions, mean_code
from dsae.interpret._gradients import Step, gradients, integrated, output
from dsae.runtime import Runtime

CODES = [("relu", None), ("identity", None), ("sigmoid", None), ("topk", 3), ("batchtopk", 3), ("jumprelu", None)]
DEEP = [
    {"hidden_layer_sizes": (9,)},
    {"hidden_layer_sizes": (9, 7), "activation": "sigmoid"},
    {"hidden_layer_sizes": (9,), "activation": "softmax", "output_activation": "sigmoid"},
    {"output_activation": "softmax"},
    {"output_activation": "exp"},
]


def rows(n=30, width=12, seed=1):
    return np.random.default_rng(seed).normal(0, 1, (n, width)).astype(np.float32)


@each(code=CODES, kind=[np.asarray, sp.csr_matrix])
def test_parts_and_bias_add_up_to_the_output_of_one_layer(make_model, code, kind):
    model = make_model(n_components=8, code_activation=code[0], k=code[1])
    X = rows()
    found = contributions(model, kind(X))
    x_hat = Runtime(model).reconstruct(X)
    assert found.method == "exact"
    np.testing.assert_array_equal(found.base, model.layers["decoder.0"].bias)
    for row in range(len(X)):
        total = found.base + found.of(row)[1].sum(0)
        assert np.abs(total - x_hat[row]).max() < 1e-5 * np.abs(x_hat[row]).max()
    assert found.gap.max() < 1e-5


@each(changes=DEEP, code=[("relu", None), ("topk", 3), ("sigmoid", None)])
def test_parts_add_up_to_the_output_of_a_deep_decoder_but_for_a_gap(make_model, changes, code):
    model = make_model(n_components=8, code_activation=code[0], k=code[1], live=0.6, **changes)
    X = rows()
    base = mean_code(model, X)
    found = contributions(model, X, steps=400)
    assert found.method == "integrated gradients"
    np.testing.assert_allclose(found.base_code, base, rtol=1e-12)
    runtime = Runtime(model)
    np.testing.assert_allclose(found.base, runtime.decode(base[None].astype(np.float32))[0], rtol=1e-4, atol=1e-5)
    made = np.stack([found.output(row) for row in range(len(X))])
    np.testing.assert_allclose(made, runtime.reconstruct(X), rtol=1e-4, atol=1e-5)
    assert np.median(found.gap) < 0.01
    latents, parts = found.of(0)
    assert (found.codes[0].toarray().ravel() != base)[latents].all()
    assert np.linalg.norm(found.base + parts.sum(0) - found.output(0)) == pytest.approx(
        found.gap[0] * np.linalg.norm(found.output(0) - found.base)
    )


def test_more_steps_leave_a_smaller_gap(make_model):
    model = make_model(hidden_layer_sizes=(9,), activation="sigmoid", n_components=8)
    few, many = (contributions(model, rows(), steps=steps).gap.max() for steps in (2, 64))
    assert many < few / 200  # the midpoint rule: a square of the steps


@each(activation=["relu", "sigmoid", "softmax", "identity"], last=["identity", "exp", "sigmoid", "softmax"])
def test_derivatives_are_those_of_differences(activation, last):
    rng = np.random.default_rng(0)
    widths = (6, 5, 4)
    chain = [
        Step(sp.csr_matrix(rng.normal(0, 1, (n_out, n_in))), rng.normal(0, 1, n_out), kind)
        for n_in, n_out, kind in zip(widths, widths[1:], (activation, last), strict=False)
    ]
    x, change = rng.normal(0, 1, (2, 6))
    change[2] = 0
    eye = 1e-6 * np.eye(6)
    expected = (output(chain, x + eye) - output(chain, x - eye)).T / 2e-6
    np.testing.assert_allclose(gradients(chain, x[None]), expected, rtol=1e-4, atol=1e-7)
    moving, parts = integrated(chain, x, x + 1e-7 * change, 3)  # forward: fewer inputs than outputs or not
    assert moving.tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_allclose(parts.T / 1e-7, (expected * change)[:, moving], rtol=1e-3, atol=1e-5)
    _, some = integrated(chain, x, x + 1e-7 * change, 3, np.array([2]))
    np.testing.assert_allclose(some[:, 0], parts[:, 2], rtol=1e-6)


@each(
    kind=[np.asarray, sp.csr_matrix],
    changes=[{}, {"hidden_layer_sizes": (9,)}, {"output_activation": "exp"}],
    loss=["mse", "poisson"],
    base=[None, "zero"],
)
def test_effects_are_measured_ones_for_random_pairs(make_model, kind, changes, loss, base):
    if loss == "poisson":  # whose errors are deviances
        changes = {**changes, "output_activation": "exp", "model": {"training": {"loss": loss}}}
    model = make_model(n_components=10, code_activation="relu", live=0.7, **changes)
    for layer in model.layers.values():
        layer.values[:] *= 0.5  # exponentials of some units
    X = np.floor(np.abs(3 * rows(40)))
    found = contributions(model, kind(X), base=base)
    deep = found.method != "exact"
    assert not (base and found.base_code.any())
    rng = np.random.default_rng(0)
    for row in rng.integers(0, 40, 17):  # in six cases of this test 102 pairs
        path = found.waterfall(row)
        assert path.errors[-1] == pytest.approx(Runtime(model).reconstruction_error(X[[row]])[0], rel=1e-4)
        assert path.drops.sum() == pytest.approx(path.errors[0] - path.errors[-1])
        latents, rise = found.effects(row)
        latent = rng.choice(latents)
        measured = ablate(model, X[[row]], [latent], to=found.base_code[latent] if deep else "zero")
        assert rise[latents == latent][0] == pytest.approx(measured.change[0], rel=1e-4, abs=1e-5 * measured.before[0])
        assert path.without[path.latents == latent] == rise[latents == latent]


def test_effects_of_rows_with_values_that_are_not_known(make_model):
    from dsae.store import Inputs

    inputs = Inputs(*(np.zeros(12, "f4"), -np.ones(12, "f4"), np.ones(12, "f4")))
    model = make_model(code_activation="relu", missing="mask", model={"inputs": inputs})
    X = rows()
    X[0, :4] = np.nan
    latents, rise = contributions(model, X).effects(0)
    measured = [ablate(model, X[:1], [latent]).change[0] for latent in latents]
    np.testing.assert_allclose(rise, measured, rtol=1e-4, atol=1e-5)


@each(changes=[{}, {"hidden_layer_sizes": (9,)}])
def test_effects_of_a_model_that_predicts_other_columns(make_model, changes):
    model = make_model(n_outputs=4, code_activation="relu", live=0.8, **changes)
    X, target = rows(), rows(width=4, seed=2)
    found = contributions(model, X, target=target)
    total = found.base + found.of(1)[1].sum(0)
    np.testing.assert_allclose(total, Runtime(model).reconstruct(X)[1], atol=1e-5 if not changes else 0.1)
    latents, rise = found.effects(1)
    base = found.base_code[latents]
    measured = [ablate(model, X[[1]], [i], to=to, target=target[[1]]) for i, to in zip(latents, base, strict=True)]
    np.testing.assert_allclose(rise, [at.change[0] for at in measured], rtol=1e-4, atol=1e-5)


@each(changes=[{}, {"hidden_layer_sizes": (9,)}])
def test_a_waterfall_goes_from_the_base_to_the_reconstruction(make_model, changes):
    model = make_model(n_components=10, code_activation="relu", **changes)
    X = rows()
    found = contributions(model, X)
    latents, errors, values, without = found.waterfall(3)
    assert errors[0] == pytest.approx(np.square(X[3] - found.base).mean())
    assert errors[-1] == pytest.approx(np.square(X[3] - found.output(3)).mean(), rel=1e-5)
    assert sorted(latents) == sorted(found.effects(3)[0])
    assert (np.diff(without) <= 0).all()
    np.testing.assert_array_equal(values, found.codes[3].toarray()[0, latents])
    codes = np.repeat(found.base_code[None], 2, 0)
    codes[1, latents[0]] = found.codes[3, latents[0]]
    made = Runtime(model, np.float64).decode(codes)
    np.testing.assert_allclose(errors[:2], np.square(X[3] - made).mean(1), rtol=1e-5)


def test_parts_by_feature_are_the_largest(make_model):
    found = contributions(make_model(n_components=10, code_activation="relu", live=0.8), rows())
    latents, parts = found.of(2)
    sizes = np.abs(parts).sum(0)
    shown = found.by_feature(2, 3)
    assert [feature for feature, _ in shown] == np.argsort(-sizes, kind="stable")[:3].tolist()
    for feature, each_part in shown:
        values = [value for _, value in each_part]
        assert values == sorted(values, key=abs, reverse=True)
        assert len(values) <= 3
        for latent, value in each_part:
            assert value == parts[latents == latent, feature][0]


def test_bad_arguments_are_refused(make_model):
    deep = make_model(hidden_layer_sizes=(9,))
    with pytest.raises(ValueError, match=r"\[contributions\] base must be given for one row.*mean_code"):
        contributions(deep, rows(1))
    with pytest.raises(ValueError, match=r'base must be "zero" or 5 numbers, one per latent; got shape \(2,\)'):
        contributions(deep, rows(), base=[1, 2])
    with pytest.raises(ValueError, match="got 'mean'"):
        contributions(deep, rows(), base="mean")
    with pytest.raises(ValueError, match=r"\[contributions\] X must have 12 columns"):
        contributions(deep, rows(width=11))
    with pytest.raises(ValueError, match=r"\[contributions\] target must be given, as in fit: the model predicts 3"):
        contributions(make_model(n_outputs=3), rows()).effects(0)
    with pytest.raises(ValueError, match=r"\[contributions\] target must have 30 rows"):
        contributions(deep, rows(), target=rows(29))

"""Laws of ablation and steering: encode, change, decode."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.interpret import ablate, steer
from dsae.runtime import Runtime

X = np.random.default_rng(0).normal(0, 1, (40, 12)).astype(np.float32)


@each(
    kind=[np.asarray, sp.csr_matrix],
    to=["zero", "mean", 2.5, (1.0, -3.0)],
    changes=[{}, {"hidden_layer_sizes": (9,)}, {"code_activation": "sigmoid"}, {"code_activation": "topk", "k": 3}],
)
def test_ablation_is_encode_change_decode(make_model, kind, to, changes):
    model = make_model(n_components=8, **({"code_activation": "relu"} | changes))
    runtime = Runtime(model)
    codes = runtime.encode(X)
    values = {"zero": 0.0, "mean": codes[:, [5, 2]].mean(0)}[to] if isinstance(to, str) else np.asarray(to)
    codes[:, [5, 2]] = values
    found = ablate(runtime, kind(X), [5, 2], to=to)
    np.testing.assert_allclose(found.codes.toarray(), codes, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.x_hat, runtime.decode(codes), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.before, runtime.reconstruction_error(X), rtol=1e-4)
    np.testing.assert_allclose(found.after, np.square(X - runtime.decode(codes)).mean(1), rtol=1e-4)
    np.testing.assert_array_equal(found.change, found.after - found.before)


def test_latents_that_never_fire_change_nothing(make_model):
    model = make_model(n_components=8, code_activation="relu")
    model.layers["encoder.0"].bias[3] = -100
    found = ablate(model, X, [3])
    assert not found.change.any()
    assert ablate(model, X, 2).change.any()


def test_errors_of_counts_are_deviances(make_model, rng):
    model = make_model(code_activation="relu", output_activation="exp", model={"training": {"loss": "poisson"}})
    X = rng.poisson(3, (10, 12)).astype(np.float32)
    runtime = Runtime(model)
    found = ablate(runtime, X, [0])
    np.testing.assert_allclose(found.before, runtime.reconstruction_error(X), rtol=1e-4)
    np.testing.assert_allclose(found.x_hat.sum(), runtime.exposed(runtime.decode(found.codes), X).sum(), rtol=1e-5)


@each(change=[{"to": 3.0}, {"add": [1.0, -2.0]}, {"times": 0.0}, {"times": [2.0, -1.0]}])
def test_steering_is_encode_change_decode(make_model, change):
    runtime = Runtime(make_model(n_components=8, code_activation="relu"))
    codes = runtime.encode(X)
    ((how, value),) = change.items()
    old = codes[:, [1, 4]]
    codes[:, [1, 4]] = {"to": value + 0 * old, "add": old + value, "times": old * value}[how] if how else None
    np.testing.assert_allclose(steer(runtime, X, [1, 4], **change), runtime.decode(codes), rtol=1e-4, atol=1e-5)


def test_bad_arguments_are_refused(make_model):
    model = make_model()
    with pytest.raises(ValueError, match=r'\[ablate\] to must be "zero", "mean", one finite number, or 2, one per'):
        ablate(model, X, [0, 1], to="median")
    with pytest.raises(
        ValueError, match=r"\[steer\] add must be one finite number, or 1, one per latent; got \[1, 2\]"
    ):
        steer(model, X, [0], add=[1, 2])
    with pytest.raises(ValueError, match=r"\[steer\] Exactly one of to, add and times must be given; got none"):
        steer(model, X, [0])
    with pytest.raises(ValueError, match=r"got to, add"):
        steer(model, X, [0], to=1, add=1)
    with pytest.raises(ValueError, match=r"\[ablate\] target must be given, as in fit: the model predicts 3"):
        ablate(make_model(n_outputs=3), X, [1])
    assert steer(make_model(n_outputs=3), X, [1], to=1).shape == (40, 3)
    with pytest.raises(ValueError, match=r"\[ablate\] latents must be different ones"):
        ablate(model, X, [1, 1])

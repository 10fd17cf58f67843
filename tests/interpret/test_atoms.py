"""Laws of atoms."""

import numpy as np
import pytest
from tests.covering import each

from dsae.interpret import atoms, normalize_atoms
from dsae.runtime import Runtime
from dsae.store import Model


def test_atoms_of_a_linear_decoder_are_its_columns_wherever_taken(make_model):
    model = make_model()
    columns = model.layers["decoder.0"].to_dense().T
    np.testing.assert_allclose(atoms(model), columns, atol=1e-6)
    np.testing.assert_allclose(atoms(model, base=np.full(5, 2.0)), columns, atol=1e-5)
    np.testing.assert_allclose(atoms(model, step=3.0), 3 * columns, atol=1e-5)


@each(output=["identity", "sigmoid"])
def test_atoms_of_a_deep_decoder_are_its_responses(make_model, output):
    model = make_model(hidden_layer_sizes=(9, 7), output_activation=output)
    runtime = Runtime(model)
    expected = runtime.decode(np.eye(5)) - runtime.decode(np.zeros((1, 5)))
    np.testing.assert_allclose(atoms(runtime), expected, atol=1e-6)


def test_some_latents_with_base_and_steps_of_their_own(make_model):
    model = make_model(hidden_layer_sizes=(9,))
    runtime = Runtime(model)
    base, step = np.arange(5.0), np.linspace(0.1, 1, 5)
    moved = base.copy()
    moved[3] += step[3]
    expected = runtime.decode(moved[None]) - runtime.decode(base[None])
    np.testing.assert_allclose(atoms(model, latents=[3], base=base, step=step), expected, atol=1e-6)
    assert atoms(model, latents=[]).shape == (0, 12)


def test_bad_arguments_are_refused(make_model):
    with pytest.raises(ValueError, match=r"latents must lie in 0\.\.4"):
        atoms(make_model(), latents=[5])
    with pytest.raises(ValueError, match="base must be one number or 5"):
        atoms(make_model(), base=np.zeros(4))
    with pytest.raises(ValueError, match="step must be one number or 5"):
        atoms(make_model(), step=np.zeros((1, 5)))


@each(code=["identity", "relu", "batchtopk", "jumprelu"], kind=[Model, Runtime])
def test_unit_atoms_leave_reconstructions_as_they_are(make_model, rng, code, kind):
    model = make_model(code_activation=code, k=2 if code == "batchtopk" else None, hidden_layer_sizes=())
    given = model if kind is Model else Runtime(model)
    unit = normalize_atoms(given)
    assert type(unit) is kind
    norms = np.linalg.norm(atoms(model), axis=1)
    np.testing.assert_allclose(np.linalg.norm(atoms(unit), axis=1), np.where(norms > 0, 1, 0), rtol=1e-5)
    X = rng.normal(size=(20, model.config.n_features)).astype(np.float32)
    before, after = Runtime(model), unit if kind is Runtime else Runtime(unit)
    np.testing.assert_allclose(after.reconstruct(X), before.reconstruct(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.encode(X), before.encode(X) * norms, rtol=1e-4, atol=1e-5)


def test_unit_atoms_of_topk_are_exact_where_their_norms_were_equal(make_model, rng):
    model = normalize_atoms(make_model(code_activation="topk", k=2))
    X = rng.normal(size=(20, model.config.n_features)).astype(np.float32)
    unit = normalize_atoms(model)
    np.testing.assert_allclose(Runtime(unit).reconstruct(X), Runtime(model).reconstruct(X), rtol=1e-4, atol=1e-5)


@each(changes=[{"hidden_layer_sizes": (9,)}, {"code_activation": "sigmoid"}])
def test_atoms_of_other_models_have_no_norm_of_their_own(make_model, changes):
    with pytest.raises(ValueError, match="normalize_atoms"):
        normalize_atoms(make_model(**changes))

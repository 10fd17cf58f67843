"""Laws of atoms."""

import numpy as np
import pytest

from dsae.interpret import atoms
from dsae.runtime import Runtime


def test_atoms_of_a_linear_decoder_are_its_columns_wherever_taken(make_model):
    model = make_model()
    columns = model.layers["decoder.0"].to_dense().T
    np.testing.assert_allclose(atoms(model), columns, atol=1e-6)
    np.testing.assert_allclose(atoms(model, base=np.full(5, 2.0)), columns, atol=1e-5)
    np.testing.assert_allclose(atoms(model, step=3.0), 3 * columns, atol=1e-5)


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
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

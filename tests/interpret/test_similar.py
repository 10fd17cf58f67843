"""Laws of neighbours by the cosine of atoms."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.interpret import neighbours, similar


def make_atoms(n=200, width=40, density=0.3, seed=0):
    rng = np.random.default_rng(seed)
    atoms = (rng.normal(0, 1, (n, width)) * (rng.random((n, width)) < density)).astype(np.float32)
    atoms[17] = 3 * atoms[4] + 0.02 * rng.normal(0, 1, width)
    atoms[20] = 0
    return atoms


@each(kind=[np.asarray, sp.csr_matrix], dense=[0, 2**29], cells=[500, 2**22], looked_at=[16, 8192])
def test_the_nearest_are_those_of_all_pairs(kind, dense, cells, looked_at, monkeypatch):
    monkeypatch.setattr("dsae.interpret._similar._DENSE_BYTES", dense)
    monkeypatch.setattr("dsae.interpret._similar._CELLS_AT_ONCE", cells)
    monkeypatch.setattr("dsae.interpret._similar._LOOKED_AT", looked_at)
    atoms = make_atoms()
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    unit = atoms / np.where(norms > 0, norms, 1)
    cosines = unit.astype(np.float64) @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    found = similar(kind(atoms), 5)
    assert found.exact
    for latent in range(len(atoms)):
        if latent == 20:
            assert (found.latents[latent] == -1).all()
            assert np.isnan(found.cosines[latent]).all()
            continue
        best = np.sort(cosines[latent])[::-1][:5]
        np.testing.assert_allclose(found.cosines[latent], best, atol=1e-6)
        np.testing.assert_allclose(cosines[latent, found.latents[latent]], best, atol=1e-6)
    assert found.latents[4, 0] == 17
    assert found.cosines[4, 0] > 0.99
    assert not (found.latents == 20).any()


def test_many_equal_atoms_are_neighbours_of_each_other():
    atoms = np.zeros((2000, 5), np.float32)
    atoms[np.arange(2000), np.arange(2000) % 2] = 1
    atoms[7] = [0.5, 1, 0, 0, 0]
    found = similar(atoms, 3)
    np.testing.assert_array_equal(found.latents[[0, 1, 4]], [[2, 4, 6], [3, 5, 9], [0, 2, 6]])
    np.testing.assert_allclose(found.cosines[:6], 1)
    assert (found.latents[7] % 2 == 1).all()


def test_the_scale_of_an_atom_does_not_matter():
    atoms = make_atoms()
    scale = np.exp(np.random.default_rng(1).normal(0, 3, (len(atoms), 1))).astype(np.float32)
    np.testing.assert_array_equal(similar(atoms, 3).latents[:, 0], similar(atoms * scale, 3).latents[:, 0])


def test_random_projections_find_what_is_near():
    rng = np.random.default_rng(0)
    atoms = rng.normal(0, 1, (600, 300)).astype(np.float32)
    atoms[300:] = atoms[:300] + 0.5 * rng.normal(0, 1, (300, 300)).astype(np.float32)  # cosines near 0.89
    exact, found = similar(atoms, 3), similar(atoms, 3, exact=False)
    assert exact.exact
    assert not found.exact
    np.testing.assert_array_equal(exact.latents[:, 0], found.latents[:, 0])
    np.testing.assert_array_equal(exact.cosines[:, 0], found.cosines[:, 0])
    assert similar(make_atoms(), 3, exact=None).exact


def test_fewer_latents_than_asked_for():
    found = similar(np.eye(2), 5)
    assert found.latents.shape == (2, 5)
    assert (found.latents == -1).all()


def test_neighbours_of_a_model(make_model):
    model = make_model(code_activation="relu", n_components=9, live=0.8)
    X = np.random.default_rng(0).normal(0, 1, (200, 12))
    plain, seen = neighbours(model, n=2), neighbours(model, X, n=2, latents=[4, 1])
    assert plain.together is None
    assert plain.against is None
    assert plain.latents.tolist() == list(range(9))
    np.testing.assert_array_equal(seen.cosine.latents, plain.cosine.latents[[4, 1]])
    assert seen.together.latents.shape == (2, 2)
    assert seen.latents.tolist() == [4, 1]
    with pytest.raises(ValueError, match=r"\[neighbours\] latents must lie in 0\.\.8; got 9\.\.9"):
        neighbours(model, latents=[9])

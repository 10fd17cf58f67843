"""Recovery is what its loops over latents and true atoms say."""

from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp

from dsae.metrics import recovery


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    truth = rng.random((60, 5)) * (rng.random((60, 5)) < 0.3)
    found = rng.normal(size=(60, 4)) * (rng.random((60, 4)) < 0.4)
    return found, rng.normal(size=(4, 6)), truth, rng.normal(size=(5, 6))


def by_loops(codes, atoms, true_codes, true_atoms):
    similar = [[abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for b in true_atoms] for a in atoms]
    match = [int(np.argmax(row)) for row in similar]
    f1 = []
    for j, m in enumerate(match):
        on, true = codes[:, j] != 0, true_codes[:, m] != 0
        f1.append(2 * (on & true).sum() / max(on.sum() + true.sum(), 1))
    best = max(
        sum(similar[j][m] for j, m in enumerate(order)) for order in permutations(range(len(true_atoms)), len(atoms))
    )
    return {"f1": np.mean(f1), "mcc": best / len(atoms), "uniqueness": len(set(match)) / len(match)}


def test_it_is_what_the_loops_say(case):
    result = recovery(*case)
    for name, wanted in by_loops(*case).items():
        assert result[name] == pytest.approx(wanted, rel=1e-5)


def test_dense_and_csr_agree_and_stay_as_they_were(case):
    found, atoms, truth, true_atoms = case
    sparse = sp.csr_matrix(found)
    sparse.data[3] = 0.0  # stored, but no firing
    before = sparse.data.copy()
    assert recovery(sparse, atoms, sp.csr_matrix(truth), true_atoms) == recovery(
        sparse.toarray(), atoms, truth, true_atoms
    )
    np.testing.assert_array_equal(sparse.data, before)


def test_the_truth_recovers_itself_in_any_order_sign_and_scale(case):
    *_, truth, atoms = case
    order = np.random.default_rng(1).permutation(5)
    scales = np.array([1, -2, 3, -0.5, 1e-3])
    result = recovery(truth[:, order], atoms[order] * scales[:, None], truth, atoms)
    assert result == pytest.approx(dict.fromkeys(("f1", "precision", "recall", "mcc", "uniqueness"), 1.0))


def test_a_dead_latent_counts_as_zero(case):
    *_, truth, atoms = case
    codes, with_dead = truth.copy(), np.vstack([atoms[:4], np.zeros((1, 6))])
    codes[:, 4] = 0
    result = recovery(codes, with_dead, truth, atoms)
    assert result["f1"] == pytest.approx(0.8)
    assert result["mcc"] == pytest.approx(0.8)


def test_more_latents_than_atoms_are_matched_one_to_one(case):
    *_, truth, atoms = case
    result = recovery(np.hstack([truth, truth]), np.vstack([atoms, atoms]), truth, atoms)
    assert (result["f1"], result["mcc"]) == pytest.approx((1, 1))
    assert result["uniqueness"] == 0.5


def test_what_does_not_correspond_is_refused(case):
    found, atoms, truth, true_atoms = case
    with pytest.raises(ValueError, match=r"\[recovery\] codes must be .* got \(59, 4\)"):
        recovery(found[:-1], atoms, truth, true_atoms)
    with pytest.raises(ValueError, match=r"must have one width; got 5 and 6"):
        recovery(found, atoms[:, :5], truth, true_atoms)

"""Laws of co-firing: the counts, lifts and correlations of all pairs by plain loops."""

import numpy as np
import pytest
from tests.covering import each
from tests.interpret.codes import make_codes

from dsae.interpret import cofiring


@each(kind=["relu", "full"], block=[1500, 2**22], n=[1, 4], frequent=[5, 256])
def test_pairs_equal_a_plain_computation(kind, block, n, frequent, monkeypatch):
    monkeypatch.setattr("dsae.interpret._partners._UPDATES_AT_ONCE", block)
    monkeypatch.setattr("dsae.interpret._partners._CELLS_AT_ONCE", block)
    monkeypatch.setattr("dsae.interpret._partners._FREQUENT", frequent)
    codes = make_codes(kind)
    codes[:, 8] = codes[:, 7] * 2  # a duplicate
    codes[codes[:, 9] != 0, 10] = 0  # an opposite
    on = codes != 0
    count, n_rows, width = on.sum(0), *codes.shape
    joint = on.T.astype(int) @ on
    with np.errstate(all="ignore"):
        phi = np.nan_to_num(np.corrcoef(on.T.astype(float)))
    np.fill_diagonal(phi, 0)
    expected = np.outer(count, count) / n_rows
    often = np.zeros(width, bool)
    often[np.argsort(-count, kind="stable")[:frequent]] = True
    found = cofiring(codes, n, least=3)
    for latent in range(width):
        for pairs, sign, possible in (
            (found.together, 1, joint[latent] >= 3),
            (found.against, -1, often & (expected[latent] >= 3)),
        ):
            score = np.where(possible & (sign * phi[latent] > 1e-12), sign * phi[latent], 0)
            order = np.argsort(-score, kind="stable")[:n]
            order = order[score[order] > 0]
            got = pairs.latents[latent]
            assert (got[len(order) :] == -1).all()
            got = got[: len(order)]
            np.testing.assert_allclose(score[got], score[order], atol=1e-9)
            np.testing.assert_array_equal(pairs.counts[latent, : len(got)], joint[latent, got])
            np.testing.assert_allclose(pairs.association[latent, : len(got)], phi[latent, got], atol=1e-9)
            np.testing.assert_allclose(pairs.lift[latent, : len(got)], joint[latent, got] / expected[latent, got])
    assert found.together.latents[7, 0] == 8
    assert found.together.association[7, 0] == pytest.approx(1)


def test_pairs_that_met_once_are_not_the_nearest():
    codes = np.zeros((1000, 4))
    codes[:100, 0], codes[10:110, 1] = 1, 1
    codes[5, 2] = codes[5, 3] = 1
    found = cofiring(codes, 1, least=1).together
    assert found.latents[0, 0] == 1
    assert found.lift[0, 0] == 9
    assert found.lift[2, 0] == 1000


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"\[cofiring\] n must be a whole number of at least 1; got 0"):
        cofiring(np.ones((2, 2)), 0)

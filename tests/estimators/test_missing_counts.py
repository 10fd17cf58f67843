"""Counts that are not known: left out of likelihoods and totals, and filled in to the depth of their row."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import covering

from dsae import DeepSparseAutoencoder, metrics, ops
from dsae.data import filled

RNG = np.random.default_rng(0)
N_ROWS, WIDTH = 240, 18
DEPTH = RNG.uniform(0.3, 3, N_ROWS)[:, None]
SHARES = np.exp(RNG.normal(size=(N_ROWS, 2)) @ RNG.normal(size=(2, WIDTH)))
COUNTS = RNG.poisson(100 * DEPTH * SHARES / SHARES.sum(1, keepdims=True)).astype("f4")
HOLES = RNG.random(COUNTS.shape) < 0.2
HOLED = np.where(HOLES, np.nan, COUNTS).astype("f4")


def stored(rows):
    """CSR rows with holes among the stored values."""
    at, columns = np.nonzero(np.nan_to_num(rows, nan=1.0))
    return sp.csr_matrix((rows[at, columns], (at, columns)), rows.shape)


def small(loss, **changes):
    how = {"hidden_layer_sizes": (24,), "density": 0.6, "max_iter": 40, "batch_size": 60, "learning_rate_init": 0.01}
    return DeepSparseAutoencoder(3, loss=loss, missing="mask", random_state=0, **how | changes)


def deviance(x, rate):
    return metrics.deviance(x[None], rate[None])


LOSSES = ["poisson", "nb", "multinomial"]


@covering(loss=LOSSES, kind=["dense", "csr"], transform=["auto", "lognormalize"])
def test_holes_are_filled_in_better_than_by_means_of_the_right_depth(loss, kind, transform, monkeypatch):
    monkeypatch.setattr("dsae.ops._rows.DENSE_ABOVE", 2)  # so that CSR batches stay sparse
    rows = HOLED if kind == "dense" else stored(HOLED)
    dsa = small(loss, input_transform=transform).fit(rows)
    whole = dsa.impute(rows)
    whole = whole.toarray() if kind == "csr" else whole
    np.testing.assert_array_equal(whole[~HOLES], COUNTS[~HOLES])
    usual = filled(HOLED, np.nanmean(HOLED, axis=0), by_total=True)
    assert deviance(COUNTS[HOLES], whole[HOLES]) < 0.8 * deviance(COUNTS[HOLES], usual[HOLES])
    assert dsa.score(rows) > 0.3
    assert np.isnan(dsa.reconstruction_error(rows, per_feature=True)).sum() == HOLES.sum()


@covering(loss=LOSSES, shrink=["random", "tempered"], mask=[(0, 0), 0.3])
def test_dense_and_sparse_rows_learn_the_same(loss, shrink, mask, monkeypatch):
    """Where all that is hidden is stored: every way to compute a step leaves out what is not known."""
    monkeypatch.setattr("dsae.ops._rows.DENSE_ABOVE", 2)
    rows = HOLED + 1
    dense, sparse = (small(loss, max_iter=3, mask=mask, shrink=shrink).fit(some) for some in (rows, stored(rows)))
    losses = ([row["loss"] for row in dsa.history_] for dsa in (dense, sparse))
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert sparse.score(stored(rows)) == pytest.approx(sparse.score(rows), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_measured_twice_as_deep_is_filled_with_twice_as_many(loss):
    dsa = small(loss, max_iter=3, input_transform="lognormalize").fit(HOLED)
    for few in (HOLED, stored(HOLED)):
        once, twice = (dsa.runtime_.reconstruct(some) for some in (few, few * np.float32(2)))
        np.testing.assert_allclose(twice, 2 * once, rtol=1e-3)


def test_known_counts_of_a_multinomial_have_their_total():
    rates = small("multinomial", max_iter=2).fit(HOLED).runtime_.reconstruct(HOLED)
    np.testing.assert_allclose(np.where(HOLES, 0, rates).sum(1), np.nansum(HOLED, axis=1), rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_feature_that_is_not_known_of_any_row_of_a_batch_might_as_well_not_be_there(loss):
    """In training: neither its counts nor its outputs change anything of a multinomial; of the others only the total
    that stands for it does.
    """
    z, x = torch.tensor(RNG.normal(size=(7, WIDTH))), torch.tensor(COUNTS[:7]).double()
    known = (torch.arange(WIDTH) % 3 > 0).double().expand(7, WIDTH)
    few = known[0] > 0
    total, extras = x.sum(1, keepdim=True), {"log_dispersion": torch.zeros(WIDTH).double()} if loss == "nb" else {}
    half = ops.torch_loss(loss)
    found = half.mean(z, x, known, exposure=total, **extras)
    part = {name: extra[few] for name, extra in extras.items()}
    own = x[:, few].sum(1, keepdim=True) if loss == "multinomial" else total
    assert found.item() == pytest.approx(half.mean(z[:, few], x[:, few], exposure=own, **part).item(), rel=1e-9)


def test_rows_without_a_known_count_teach_nothing():
    rows = np.concatenate([HOLED, np.full((3, WIDTH), np.nan, "f4")])
    with pytest.warns(UserWarning, match="No value is known of 3 of 243 rows"):
        dsa = small("multinomial", max_iter=2).fit(rows)
    with pytest.warns(UserWarning, match="No value is known of 3 rows"):
        whole = dsa.impute(rows)
    np.testing.assert_allclose(whole[-3:], np.repeat(dsa.runtime_.model.inputs.mean[None], 3, axis=0), rtol=1e-6)


def test_whole_counts_do_not_bring_a_warning_of_fractions():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small("poisson", max_iter=1).fit(HOLED)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_what_stands_for_a_count_has_the_depth_of_its_row(kind):
    rows = np.array([[8, np.nan, 4], [np.nan, 3, 0], [np.nan, np.nan, np.nan], [0, np.nan, 0]], "f4")
    found = filled(kind(rows), np.array([4, 1, 2], "f4"), by_total=True)
    wanted = [[8, 2, 4], [4, 3, 0], [4, 1, 2], [0, 0, 0]]
    np.testing.assert_array_equal(found.toarray() if sp.issparse(found) else found, wanted)


def test_deviance_to_be_explained_is_that_of_known_totals():
    """By the formula, from the shares that features have of the totals of rows in which they are known."""
    whole = metrics.Reconstruction(metrics=["deviance_explained"])
    whole.update(HOLED[:50], COUNTS[:50] + 1)
    whole.update(HOLED[50:], COUNTS[50:] + 1)
    known, totals = ~HOLES, np.nansum(HOLED, axis=1)
    shares = np.nansum(HOLED, axis=0) / (totals @ known)
    rates = totals[:, None] * shares / (known @ shares)[:, None]
    null, left = (deviance(COUNTS[known], some[known]) for some in (rates, COUNTS + 1))
    assert whole.result()["deviance_explained"] == pytest.approx(1 - left / null, rel=1e-6)

"""A step on rows with NaN is one on filled rows, in which what was not known weighs nothing."""

import numpy as np
import scipy.sparse as sp
import torch
from tests.covering import each, pairs

from dsae.config import AutoencoderConfig, TrainConfig
from dsae.data import Batch
from dsae.nn import Autoencoder
from dsae.ops import SparseRows
from dsae.train._corrupt import Corruption

MEAN = np.linspace(1, 2, 12, dtype=np.float32)


def corruption(missing="mask", **config):
    model = Autoencoder(AutoencoderConfig(12, 4, missing=missing), torch.Generator().manual_seed(0))
    model.set_moments(torch.from_numpy(MEAN), torch.ones(12))
    return Corruption.of(model, TrainConfig(mask_rescale=False, **config), 0, np.ones(12, np.float32))


def batch(kind, **more):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((30, 12)) < (0.1 if kind == "csr" else 0.8), rng.random((30, 12)) + 3, 0).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, Batch.of(sp.csr_matrix(X) if kind == "csr" else X, np.arange(100, 130), **more)


def written_out(given):
    """What the network sees, what it should give, and weights, as arrays."""
    like = torch.zeros(1)
    x, aim = (t.dense(like) if isinstance(t, SparseRows) else t for t in (given.x, given.aim))
    sparse = isinstance(given.aim, SparseRows)
    known = given.with_weights(given.aim).weights(like) if sparse else given.known
    return x.numpy(), aim.numpy(), torch.ones_like(aim).numpy() if known is None else known.numpy()


@pairs(kind=["dense", "csr"], mask=[0.0, (0.0, 0.8)], weighted=[False, True])
def test_the_mean_is_seen_and_weighs_nothing(kind, mask, weighted):
    more = {"weight": np.linspace(0.5, 2, 30).astype(np.float32)} if weighted else {}
    X, given = batch(kind, **more)
    seen, aim, known = written_out(corruption(mask=mask).part(given, 3))
    holes = np.isnan(X)
    means = np.broadcast_to(MEAN, X.shape)
    np.testing.assert_allclose(seen[holes], means[holes], rtol=1e-6)
    np.testing.assert_array_equal(known > 0, ~holes)
    np.testing.assert_array_equal(aim[~holes], X[~holes])
    assert np.isfinite(seen).all()
    assert np.isfinite(aim).all()
    changed = ~holes & ~np.isclose(seen, X, rtol=1e-6)
    np.testing.assert_allclose(seen[changed], means[changed], rtol=1e-6)
    assert changed.any() == (mask != 0.0)
    if kind == "csr":
        assert (X[changed] != 0).all(), "what is not stored is never hidden"


@each(kind=["dense", "csr"])
def test_holes_of_a_target_weigh_nothing(kind):
    X, given = batch(kind)
    target = np.roll(X, 1, axis=0)
    told = Batch(given.parts, given.numbers, target=sp.csr_matrix(target) if kind == "csr" else target)
    _, aim, known = written_out(corruption().whole(told))
    np.testing.assert_array_equal(known == 0, np.isnan(target))
    np.testing.assert_array_equal(aim[known > 0], target[known > 0])


@each(kind=["dense", "csr"])
def test_weights_of_values_count_beside_holes(kind):
    X, given = batch(kind)
    weights = np.random.default_rng(1).random(X.shape).astype(np.float32)
    known = weights
    if kind == "csr":
        weights = np.where(X != 0, weights, 1)
        known = given.rows.copy()
        known.data = weights[X != 0]
    told = Batch(given.parts, given.numbers, known=known)
    np.testing.assert_allclose(written_out(corruption().whole(told))[2], np.where(np.isnan(X), 0, weights), atol=1e-6)


def test_whole_rows_are_left_alone():
    X, given = batch("dense")
    whole = Batch.of(np.nan_to_num(X), given.numbers)
    assert corruption().whole(whole).known is None
    assert corruption("error").whole(whole).known is None

"""Likelihoods of counts: what they are, where they start, and that they train through every entrance and exit."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy import stats
from sklearn.metrics import mean_poisson_deviance
from tests.covering import covering, each

import dsae
from dsae import DeepSparseAutoencoder, metrics, nn
from dsae.config import LOSSES, transformed

COUNTS = [name for name, loss in LOSSES.items() if loss.counts]
RNG = np.random.default_rng(0)
N_ROWS, N_FEATURES = 240, 40
TOPICS = RNG.dirichlet(np.full(N_FEATURES, 0.05), 3)
SHARES = RNG.dirichlet([0.2] * 3, N_ROWS) @ TOPICS
TOTALS = RNG.integers(20, 400, N_ROWS)
X = np.stack([RNG.multinomial(n, p) for n, p in zip(TOTALS, SHARES, strict=True)]).astype(np.float32)
SETTINGS = {"n_components": 4, "hidden_layer_sizes": (16,), "density": 0.5, "random_state": 0, "batch_size": 60}
KINDS = [np.asarray, sp.csr_matrix]


def fitted(rows, loss, **changes):
    return DeepSparseAutoencoder(**(SETTINGS | {"loss": loss, "max_iter": 40} | changes)).fit(rows)


def beside(loss, n_rows=6, width=5):
    """Pre-activations, counts, totals, offsets and what the loss trains."""
    z = RNG.normal(size=(n_rows, width))
    counts = RNG.poisson(2.0, (n_rows, width)).astype(float)
    counts[0], counts[1, 0], counts[1, 1] = 0, 70, 0.5  # no count, a large one, a fraction
    totals = counts.sum(1, keepdims=True)
    offset = np.log(np.maximum(totals, 1e-30))
    if LOSSES[loss].couples_outputs:
        offset = offset - np.log(np.exp(z).sum(1, keepdims=True))
    extras = {extra.name: RNG.normal(size=width) for extra in LOSSES[loss].extras}
    return z, counts, totals, offset, extras


@each(loss=COUNTS)
def test_numpy_and_torch_have_one_likelihood_and_its_gradients(loss):
    z, counts, totals, offset, extras = beside(loss)
    record, half = LOSSES[loss], nn.LOSSES[loss]
    total, dz, *by_extras = record.tile(z, counts, offset, *extras.values())
    of = torch.tensor
    found = half.tile(of(z), of(counts), of(offset), *map(of, extras.values()))
    for one, other in zip((total, dz, *by_extras), found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    leaf, trained = of(z).requires_grad_(), {name: of(v).requires_grad_() for name, v in extras.items()}
    whole = half.mean(leaf, of(counts), exposure=of(totals), **trained) * z.size
    assert whole.item() == pytest.approx(total, rel=1e-9)
    gradients = torch.autograd.grad(whole, [leaf, *trained.values()])
    for one, other in zip((dz, *by_extras), gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_losses_are_the_likelihoods_of_scipy():
    z, _, _, _, extras = beside("nb")
    offset = RNG.normal(size=(len(z), 1))
    counts = RNG.poisson(3.0, z.shape).astype(float)
    rate, size = np.exp(z + offset), np.exp(extras["log_dispersion"])
    surprise = -stats.nbinom.logpmf(counts, size, size / (size + rate)).sum()
    assert LOSSES["nb"].tile(z, counts, offset, *extras.values())[0] == pytest.approx(surprise)
    half = LOSSES["poisson"].tile(z, counts, offset)[0]
    assert 2 * half == pytest.approx(counts.size * mean_poisson_deviance(counts.ravel(), rate.ravel()))
    shares = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    totals = counts.sum(1)
    surprise = -sum(stats.multinomial.logpmf(*row) for row in zip(counts, totals, shares, strict=True))
    perfect = -sum(stats.multinomial.logpmf(row, n, row / n) for row, n in zip(counts, totals, strict=True))
    offset = np.log(totals)[:, None] - np.log(np.exp(z).sum(1, keepdims=True))
    assert LOSSES["multinomial"].tile(z, counts, offset)[0] == pytest.approx(surprise - perfect)


@each(loss=COUNTS)
def test_a_perfect_reconstruction_has_deviance_0_and_any_other_more(loss):
    extras = {extra.name: np.zeros(5) for extra in LOSSES[loss].extras}
    counts = RNG.poisson(2.0, (20, 5)) + 1.0
    np.testing.assert_allclose(LOSSES[loss].unit(counts, counts, **extras), 0, atol=1e-12)
    assert (LOSSES[loss].unit(counts, counts * 1.1, **extras) > 0).all()


@each(loss=[name for name in COUNTS if LOSSES[name].link == "exp"])
def test_rates_are_bounded_and_gradients_lead_back(loss):
    counts, totals = torch.ones(1, 3), torch.full((1, 1), 3.0)
    extras = {extra.name: torch.zeros(3) for extra in LOSSES[loss].extras}
    z = torch.full((1, 3), 1e4, requires_grad=True)
    mean = nn.LOSSES[loss].mean(z, counts, exposure=totals, **extras)
    (dz,) = torch.autograd.grad(mean, z)
    assert torch.isfinite(mean)
    assert (dz > 0).all()
    assert nn.ACTIVATIONS["exp"](3)(z).max().item() == pytest.approx(np.exp(15), rel=1e-5)


@covering(
    loss=COUNTS,
    kind=KINDS,
    shrink=["tempered", "rigl", "none"],
    schedule=["joint", "stagewise"],
    early_stopping=[False, True],
    code_activation=["identity", "topk"],
    scale=[False, True],
    transform=["auto", "none", "lognormalize"],
    by="loss",
)
def test_a_loss_of_counts_simply_works(loss, kind, shrink, schedule, early_stopping, code_activation, scale, transform):
    changes = {"shrink": shrink, "schedule": schedule, "early_stopping": early_stopping, "scale": scale}
    changes |= {"density": 1.0} if shrink == "none" else {}
    changes |= {"k": 2} if code_activation == "topk" else {}
    dsa = fitted(kind(X), loss, code_activation=code_activation, input_transform=transform, max_iter=10, **changes)
    rows = [row for row in dsa.history_ if row["stage"] == dsa.history_[-1]["stage"]]
    assert all(np.isfinite(row["loss"]) and row["loss"] >= 0 for row in dsa.history_)
    if schedule == "joint":
        assert rows[-1]["loss"] < rows[0]["loss"]
        assert dsa.score(kind(X)) > 0.05


@each(loss=COUNTS)
def test_rows_and_csr_train_alike(loss, monkeypatch):
    monkeypatch.setattr("dsae.ops._rows.DENSE_ABOVE", 2)  # so that CSR batches stay sparse
    dense, sparse = fitted(X, loss, max_iter=6), fitted(sp.csr_matrix(X), loss, max_iter=6)
    np.testing.assert_allclose(*([row["loss"] for row in dsa.history_] for dsa in (dense, sparse)), rtol=1e-3)


@each(kind=KINDS, loss=COUNTS)
def test_the_folder_has_all_that_the_runtime_needs(tmp_path, loss, kind):
    rows = kind(X)
    dsa = fitted(rows, loss)
    runtime = dsae.load(dsa.save(tmp_path / "model"))
    rebuilt = runtime.reconstruct(rows)
    np.testing.assert_allclose(rebuilt, runtime.decode(runtime.encode(rows)) * X.sum(1, keepdims=True), rtol=1e-4)
    if loss == "multinomial":
        np.testing.assert_allclose(rebuilt.sum(1), TOTALS, rtol=1e-4)
    torch_model = dsa_module(dsa)
    with torch.no_grad():
        np.testing.assert_allclose(runtime.encode(rows), torch_model.encode(torch.tensor(X)), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            runtime.encode(rows), torch_model.to_dense().encode(torch.tensor(X)), rtol=1e-3, atol=1e-4
        )
    precise = dsae.Runtime(runtime.model, dtype=np.float64).reconstruct(rows)
    np.testing.assert_allclose(rebuilt, precise, rtol=1e-3, atol=1e-4)
    assert dsa.score(rows) == pytest.approx(metrics.deviance_explained(X, rebuilt), rel=1e-5)
    found = metrics.evaluate(runtime, rows)
    assert found["deviance"] == pytest.approx(metrics.deviance(X, rebuilt), rel=1e-5)
    assert found["deviance_explained"] > 0.5
    unit = LOSSES[loss].unit(X, rebuilt, **runtime.model.extras)
    np.testing.assert_allclose(runtime.reconstruction_error(rows, per_feature=True), unit, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(dsa.score_samples(rows), -unit.mean(1), rtol=1e-3, atol=1e-4)


def dsa_module(dsa):
    """The torch model that the runtime's arrays make."""
    model = nn.Autoencoder(dsa.runtime_.config)
    model.set_layers(dsa.runtime_.layers)
    return model.eval()


@each(loss=COUNTS)
def test_training_starts_from_the_shares_of_all_rows(loss):
    """Where nothing has been learned, all that is explained are totals: nothing of the deviance."""
    dsa = fitted(X, loss, learning_rate_init=1e-9, max_iter=1)
    shares = X.sum(0) / X.sum()
    output = dsa.inverse_transform(np.zeros((1, 4), np.float32))[0]
    np.testing.assert_allclose(output[shares > 0], shares[shares > 0], rtol=0.3)
    assert abs(dsa.score(X)) < 0.05
    missing = X.copy()
    missing[:, 3] = 0
    never = fitted(missing, loss, learning_rate_init=1e-9, max_iter=1)
    assert 0 < never.inverse_transform(np.zeros((1, 4), np.float32))[0, 3] < shares[shares > 0].min()


def test_a_rare_item_starts_at_its_rate():
    rates = np.float32([1e-4, 0.5, 0.9999])
    start = nn.ACTIVATIONS["sigmoid"](3).start(torch.tensor(rates)).sigmoid()
    np.testing.assert_allclose(start, rates, rtol=1e-3)
    assert torch.isfinite(nn.ACTIVATIONS["sigmoid"](2).start(torch.tensor([0.0, 1.0]))).all()
    np.testing.assert_allclose(nn.ACTIVATIONS["exp"](3).start(torch.tensor(rates)).exp(), rates, rtol=1e-5)


def test_dispersion_is_learned():
    """Counts that vary as their mean have a large one, overdispersed ones a small one."""
    rates = np.full((400, 40), 4.0)
    rates[:, :30] *= RNG.gamma(0.5, 2.0, (400, 30))
    dsa = fitted(RNG.poisson(rates).astype(np.float32), "nb", learning_rate_init=0.03, batch_size=50)
    size = np.exp(dsa.runtime_.model.extras["log_dispersion"])
    # The four latents can take up the rates of four columns: what varies then varies as its mean.
    assert np.median(size[:30]) < 2 < 8 < np.median(size[30:])


@each(name=["none", "log1p", "lognormalize"])
def test_a_transform_is_the_same_everywhere(name):
    rows = np.vstack([X[:5], np.zeros((1, N_FEATURES), np.float32)])
    config = dsae.config.AutoencoderConfig(N_FEATURES, 3, output_activation="exp", input_transform=name, input_total=50)
    model = nn.Autoencoder(config)
    wanted = transformed(rows, name, 50.0)
    assert transformed(rows.astype(float), name, 50.0).dtype == float
    assert wanted.dtype == np.float32
    np.testing.assert_allclose(transformed(sp.csr_matrix(rows), name, 50.0).toarray(), wanted, rtol=1e-6)
    np.testing.assert_allclose(model.transformed(torch.tensor(rows)), wanted, rtol=1e-5)
    sparse = model.transformed(dsae.ops.SparseRows.of(sp.csr_matrix(rows)))
    np.testing.assert_allclose(sparse.dense(torch.zeros(1)), wanted, rtol=1e-5)
    if name == "lognormalize":
        np.testing.assert_allclose(np.expm1(wanted[:5]).sum(1), 50, rtol=1e-5)


def test_lognormalize_brings_rows_to_the_mean_total_of_training():
    dsa = fitted(X, "poisson", max_iter=1, input_transform="lognormalize")
    assert dsa.runtime_.config.input_total == pytest.approx(X.sum(1).mean(), rel=1e-5)
    codes = dsa.transform(X)
    np.testing.assert_allclose(dsa.transform(7 * X), codes, rtol=1e-3, atol=1e-3)
    dsa.set_params(warm_start=True).fit(X[:50])
    assert dsa.runtime_.config.input_total == pytest.approx(X.sum(1).mean(), rel=1e-5)


@each(loss=COUNTS)
def test_learning_in_pieces_goes_on_from_a_folder(tmp_path, loss):
    whole = DeepSparseAutoencoder(loss=loss, input_transform="lognormalize", **SETTINGS).partial_fit(X[:100])
    again = DeepSparseAutoencoder.load(whole.save(tmp_path / "model")).set_params(random_state=0)
    one, other = (dsa.partial_fit(X[100:]) for dsa in (whole, again))
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    assert one.runtime_.config == other.runtime_.config

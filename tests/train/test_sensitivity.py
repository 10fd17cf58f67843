"""Laws of the importance that training gathers."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import make_classification
from tests.covering import each

from dsae import DeepSparseAutoencoder
from dsae.config import AutoencoderConfig
from dsae.data import ArraySource
from dsae.interpret import most_important
from dsae.nn import Autoencoder
from dsae.train import _sensitivity
from dsae.train._sensitivity import Sensitivity


def rows(n_rows=400, seed=0):
    """Columns 0..9 share three causes, 10..18 are noise, 19 is constant but for the last digit of a number."""
    rng = np.random.default_rng(seed)
    related = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 10))
    X = np.hstack([related, rng.normal(size=(n_rows, 9)), np.full((n_rows, 1), 7.0)]).astype(np.float32)
    X[0, 19] = np.nextafter(X[0, 19], np.float32(8))
    return X


X = rows()
pytestmark = pytest.mark.filterwarnings("ignore:.*1 of 20 features are constant")


def fitted(data=X, **changes):
    settings = {"n_components": 3, "hidden_layer_sizes": (16,), "density": 0.3, "scale": True, "max_iter": 30}
    settings |= {"batch_size": 50, "learning_rate_init": 5e-3, "random_state": 0}
    return DeepSparseAutoencoder(**settings | changes).fit(data)


@pytest.mark.parametrize("seed", range(2))
def test_the_relevant_features_of_madelon_come_first(seed):
    data, _ = make_classification(
        n_samples=2000,
        n_features=500,
        n_informative=5,
        n_redundant=15,
        n_clusters_per_class=16,
        class_sep=2.0,
        shuffle=False,
        random_state=seed,
    )
    dsa = DeepSparseAutoencoder(
        n_components=16, hidden_layer_sizes=(256,), density=0.05, scale=True, max_iter=10, random_state=seed
    ).fit(data)
    assert (np.argsort(-dsa.feature_importances_)[:20] < 20).sum() >= 18


@each(
    settings=[
        {},
        {"scale": False},
        {"shrink": "set"},
        {"density": 1.0, "shrink": "none"},
        {"schedule": "stagewise"},
        {"early_stopping": True},
        {"max_iter": 1},
        *({"code_activation": code, "k": 2} for code in ("topk", "batchtopk", "jumprelu")),
    ]
)
def test_importances_are_shares_and_a_constant_counts_nothing(settings):
    importances = fitted(**{"max_iter": 5} | settings).feature_importances_
    assert importances.shape == (20,)
    assert importances.min() >= 0
    assert importances.sum() == pytest.approx(1)
    assert importances[19] == 0


@each(settings=[{}, {"shrink": "magnitude"}, {"density": 1.0, "shrink": "none"}])
def test_what_is_reconstructed_comes_before_noise(settings):
    importances = fitted(**settings).feature_importances_
    assert importances[:10].mean() > 2 * importances[10:19].mean()


def test_the_order_of_the_features_hardly_matters():
    order = np.random.default_rng(1).permutation(20)
    plain, permuted = (
        np.mean([fitted(data, random_state=seed, max_iter=12).feature_importances_ for seed in range(8)], axis=0)
        for data in (X, X[:, order])
    )
    assert np.corrcoef(plain[order], permuted)[0, 1] > 0.8  # another order is another draw of the first weights
    assert np.corrcoef(plain, permuted)[0, 1] < 0.5


def test_units_do_not_matter_where_features_are_scaled():
    unit = 2.0 ** np.random.default_rng(2).integers(-8, 8, 20).astype(np.float32)
    np.testing.assert_allclose(fitted().feature_importances_, fitted(X * unit).feature_importances_, atol=1e-3)


def test_sparse_rows_are_the_same_rows():
    a, b = (fitted(data, max_iter=5).feature_importances_ for data in (X, sp.csr_matrix(X)))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_it_is_saved_and_loaded(tmp_path):
    dsa = fitted()
    loaded = DeepSparseAutoencoder.load(dsa.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.feature_importances_, dsa.feature_importances_)


def test_a_warm_start_goes_on_from_what_was_gathered_and_init_does_not():
    first = fitted(max_iter=5)
    before = first.feature_importances_
    afresh = fitted(max_iter=1, learning_rate_init=1e-9, init=first).feature_importances_
    again = first.set_params(warm_start=True, max_iter=1, learning_rate_init=1e-9).fit(X).feature_importances_
    np.testing.assert_allclose(again, 0.8 * before + 0.2 * afresh, atol=1e-5)


@each(scale=[False, True], density=[0.1, 1.0])
def test_inputs_that_jump_seldom_do_not_outdo_those_that_always_move(scale, density):
    rng = np.random.default_rng(0)
    moving = rng.random((2000, 4)) @ rng.random((4, 20)) + 0.1 * rng.random((2000, 20))
    jumping = (rng.random((2000, 60)) < 0.004) * rng.random((2000, 60))
    dsa = DeepSparseAutoencoder(
        n_components=8,
        hidden_layer_sizes=(128,),
        density=density,
        scale=scale,
        max_iter=25,
        random_state=0,
        shrink="none" if density == 1 else "tempered",
    ).fit(np.hstack([moving, jumping]))
    assert (most_important(dsa.feature_importances_, 20) < 20).all()


@each(output=["identity", "sigmoid"])
def test_it_is_the_usual_move_times_the_column_norm_of_the_jacobian(monkeypatch, output):
    monkeypatch.setattr(_sensitivity, "_LEARNED", 0)
    config = AutoencoderConfig(n_features=6, n_components=4, activation="sigmoid", output_activation=output)
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    data = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    scale = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    model.set_moments(torch.zeros(6), scale)
    observer = Sensitivity(ArraySource(data), scale.numpy(), 100, 0)
    assert observer.importance is None
    for _ in range(60):
        observer.see(model)
    inner = [torch.autograd.functional.jacobian(model, row) for row in torch.from_numpy(data)[:, None]]
    jacobian = torch.stack(inner).reshape(-1, 6, 6) * scale / scale[:, None]
    expected = jacobian.square().sum(dim=1).mean(dim=0).sqrt() * torch.from_numpy(np.abs(data).mean(axis=0)) / scale
    np.testing.assert_allclose(observer.importance, (expected / expected.sum()).numpy(), rtol=0.06)


def test_only_what_the_whole_network_learned_is_watched(monkeypatch):
    seen, see = [], Sensitivity.see
    monkeypatch.setattr(Sensitivity, "see", lambda self, model: seen.append(1) or see(self, model))
    history = fitted(schedule="stagewise", max_iter=10).history_
    assert len(seen) == sum("encoder" not in row["stage"] for row in history) < 10


def test_few_of_wide_rows_are_probed(monkeypatch):
    asked, sample = [], ArraySource.sample
    monkeypatch.setattr("dsae.train._sensitivity._NUMBERS", 25 * 20)
    monkeypatch.setattr(ArraySource, "sample", lambda self, n, rng: asked.append(n) or sample(self, n, rng))
    fitted(max_iter=1)
    assert set(asked) == {25}


def model_of(n_features=20, **settings):
    config = AutoencoderConfig(n_features=n_features, n_components=4, hidden_layer_sizes=(8,), density=0.4, **settings)
    return Autoencoder(config, torch.Generator().manual_seed(0))


@each(n_rows=[300, 3_000, 30_000], n_epochs=[1, 5, 150])
def test_what_is_probed_is_little_beside_what_is_learned(monkeypatch, n_rows, n_epochs):
    probed, behind = [], _sensitivity._behind_first
    monkeypatch.setattr(_sensitivity, "_behind_first", lambda *given: probed.append(len(given[1])) or behind(*given))
    data = np.random.default_rng(0).normal(size=(n_rows, 6)).astype(np.float32)
    observer, model = Sensitivity(ArraySource(data), data.std(0), 100, 0), model_of(6)
    for _ in range(n_epochs):
        observer.see(model)
    most, learned = min(512, n_rows), n_rows * n_epochs
    assert sum(probed) * _sensitivity._LEARNED <= learned
    assert observer.of(model) is not None
    assert most <= sum(probed) <= learned / _sensitivity._LEARNED + most


@each(n_epochs=[1, 2, 7])
def test_what_was_learned_since_counts_as_so_many_epochs_and_is_not_kept(n_epochs):
    observer, model = Sensitivity(ArraySource(X), X.std(0), 50, 0, earlier := np.full(20, 0.05)), model_of()
    for _ in range(n_epochs):
        observer.see(model)
    before = observer.state_dict()
    joined = observer.of(model)
    np.testing.assert_array_equal(joined, observer.of(model))
    assert str(before) == str(observer.state_dict())
    np.testing.assert_allclose(observer.importance, earlier)
    fresh = Sensitivity(ArraySource(X), X.std(0), 50, 0)
    fresh.load_state_dict({name: value for name, value in before.items() if name != "mean"})
    np.testing.assert_allclose(joined, 0.8**n_epochs * earlier + (1 - 0.8**n_epochs) * fresh.of(model), rtol=1e-5)


def test_watching_changes_nothing():
    model = Autoencoder(AutoencoderConfig(n_features=20, n_components=4), torch.Generator().manual_seed(0))
    before = {name: value.detach().clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    state = torch.get_rng_state()
    observer = Sensitivity(ArraySource(X), X.std(0), 50, 0)
    observer.see(model)
    observer.of(model)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in [*model.named_parameters(), *model.named_buffers()])

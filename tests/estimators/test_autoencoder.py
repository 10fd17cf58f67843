import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.covering import each
from tests.estimators.small import X, small

import dsae
from dsae import DeepSparseAutoencoder
from dsae.config import CODE_ACTIVATIONS
from dsae.nn import SparseLinear, target_nnz
from dsae.runtime import Runtime
from dsae.topology import Layer


@cache
def fitted(max_iter=15):
    """What several tests compare with, and none changes."""
    return small(max_iter=max_iter).fit(X)


def test_the_readme_of_the_class():
    dsa = small()
    codes = dsa.fit_transform(X)
    assert codes.shape == (150, 4)
    assert codes.dtype == np.float32
    assert dsa.inverse_transform(codes).shape == X.shape
    error = ((X - dsa.inverse_transform(codes)) ** 2).sum() / ((X - X.mean(0)) ** 2).sum()
    assert dsa.score(X) == pytest.approx(1 - error, abs=1e-5)
    assert dsa.score(X) > 0.4
    assert dsa.n_features_in_ == 16
    assert dsa.n_iter_ == len(dsa.history_) == 15
    assert dsa.nnz_ == sum(target_nnz(dsa.runtime_.config).values())
    assert dsa.density_ == pytest.approx(0.3, abs=0.005)
    assert dsa.feature_importances_.sum() == pytest.approx(1)
    assert list(dsa.get_feature_names_out()) == [f"deepsparseautoencoder{i}" for i in range(4)]


@each(same=[sp.csr_matrix(X), sp.csc_matrix(X), sp.coo_array(X), X.astype(np.float64), pd.DataFrame(X), X.tolist()])
def test_every_kind_of_input_is_the_same_data(same):
    dsa = small().fit(same)
    np.testing.assert_allclose(dsa.transform(same), fitted().transform(X), rtol=1e-3, atol=1e-4)


@each(n_columns=[5000])
def test_a_sparse_matrix_is_never_densified_whole(n_columns, monkeypatch):
    wide = sp.random(300, n_columns, 0.01, format="csr", dtype=np.float32, random_state=0)
    seen = []
    original = sp.csr_matrix.toarray
    monkeypatch.setattr(sp.csr_matrix, "toarray", lambda self, *a, **k: seen.append(self.shape[0]) or original(self))
    small(max_iter=1, density=0.01, shrink="random").fit(wide).transform(wide)
    assert max(seen, default=0) <= 32


@each(code=CODE_ACTIVATIONS)
def test_every_code_activation_trains(code):
    k = 2 if code in ("topk", "batchtopk", "jumprelu") else None
    dsa = small(code_activation=code, k=k, max_iter=20).fit(X)
    assert dsa.score(X) > 0.2
    if code in ("topk", "batchtopk"):
        assert (dsa.transform(X) != 0).sum(1).mean() <= 2.5


def test_bce_with_a_sigmoid_output():
    unit = X / X.max()
    dsa = small(loss="bce", output_activation="sigmoid").fit(unit)
    assert dsa.score(unit) > 0.3
    back = dsa.inverse_transform(dsa.transform(unit))
    assert back.min() >= 0
    assert back.max() <= 1


def test_scaling_gives_every_feature_its_say():
    uneven = X * np.logspace(-3, 3, 16, dtype=np.float32)
    weights = 1 / uneven.var(axis=0)

    def weighted_error(dsa):
        return (((uneven - dsa.inverse_transform(dsa.transform(uneven))) ** 2).mean(0) * weights).mean()

    assert weighted_error(small(scale=True).fit(uneven)) < weighted_error(small().fit(uneven))


def test_pipeline_clone_grid_search_pickle():
    y = X[:, 0] > X[:, 0].mean()
    pipeline = make_pipeline(StandardScaler(), small(max_iter=3), LogisticRegression())
    search = GridSearchCV(pipeline, {"deepsparseautoencoder__density": [0.2, 0.5]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.5
    dsa = search.best_estimator_[1]
    assert clone(dsa).get_params() == dsa.get_params()
    again = pickle.loads(pickle.dumps(dsa))
    np.testing.assert_array_equal(again.transform(X), dsa.transform(X))


def test_a_random_state_repeats_bit_for_bit():
    codes = [small(random_state=seed).fit(X).transform(X) for seed in (0, 1)]
    np.testing.assert_array_equal(codes[0], fitted().transform(X))
    assert not np.array_equal(*codes)


def test_density_by_layer():
    dsa = small(density={"encoder.0": 0.1, "decoder.1": 0.25}).fit(X)
    densities = {name: layer.topology.density for name, layer in dsa.runtime_.layers.items()}
    assert densities == pytest.approx({"encoder.0": 0.1, "encoder.1": 1, "decoder.0": 1, "decoder.1": 0.25}, abs=0.005)


def test_density_one_is_the_ordinary_autoencoder():
    dsa = small(density=1.0, shrink="none").fit(X)
    assert dsa.nnz_ == 2 * (16 * 12 + 12 * 4)


def test_save_and_load(tmp_path):
    named = pd.DataFrame(X, columns=[f"gene {i}" for i in range(16)])
    dsa = small(code_activation="batchtopk", k=2).fit(named)
    dsa.save(tmp_path / "model")
    again = DeepSparseAutoencoder.load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(named), dsa.transform(named))
    np.testing.assert_array_equal(dsae.load(tmp_path / "model").encode(X), dsa.transform(named))
    assert list(again.feature_names_in_) == list(named.columns)
    assert again.get_params() == dsa.get_params()
    assert again.n_iter_ == 15
    assert again.set_params(warm_start=True, max_iter=2).fit(named).n_iter_ == 17


@each(kind=["estimator", "runtime", "folder", "weights"])
def test_init_starts_from_a_model(kind, tmp_path):
    first = fitted(40)
    pairs = [(layer.to_dense(), layer.bias) for layer in first.runtime_.layers.values()]
    init = {"estimator": first, "runtime": first.runtime_, "folder": tmp_path / "model", "weights": pairs}[kind]
    first.save(tmp_path / "model")
    settings = {"max_iter": 1, "learning_rate_init": 1e-6}
    again = small(init=init, **settings).fit(X)
    assert again.score(X) == pytest.approx(first.score(X), abs=1e-3)
    assert again.nnz_ == first.nnz_


def test_init_from_dense_weights_keeps_the_largest_where_the_method_starts_sparse():
    dense = small(density=1.0, shrink="none").fit(X)
    dsa = small(init=dense, shrink="random", max_iter=1, learning_rate_init=1e-9).fit(X)
    layer, full = dsa.runtime_.layers["encoder.0"], dense.runtime_.layers["encoder.0"].to_dense()
    kept = np.sort(np.abs(layer.values))
    np.testing.assert_allclose(kept, np.sort(np.abs(full).ravel())[-kept.size :], atol=1e-5)


def test_warm_start_goes_on():
    dsa = small(warm_start=True, max_iter=3).fit(X)
    before = dsa.score(X)
    dsa.fit(X)
    assert dsa.n_iter_ == 6
    assert [row["epoch"] for row in dsa.history_] == [1, 2, 3, 4, 5, 6]
    assert dsa.score(X) > before


@each(
    schedule=["joint", "stagewise"],
    extra=[{}, {"early_stopping": True}, {"l1": 0.05}, {"l2": 1e-4}, {"contractive": 0.1}],
)
def test_settings_go_together(schedule, extra):
    dsa = small(schedule=schedule, max_iter=12, **extra).fit(X)
    assert dsa.density_ <= 0.303
    assert dsa.score(X) > 0.2


def test_the_contractive_penalty_flattens_the_code():
    def norm(dsa):
        codes = dsa.transform(X)[:, :, None]
        W = dsa.runtime_.layers["encoder.0"].to_dense()
        return np.linalg.norm(codes * (1 - codes) * W, axis=(1, 2)).mean()

    settings = {"code_activation": "sigmoid", "hidden_layer_sizes": (), "max_iter": 25}
    assert norm(small(contractive=20.0, **settings).fit(X)) < 0.5 * norm(small(**settings).fit(X))


def test_target_rate_makes_a_sigmoid_code_sparse():
    dsa = small(code_activation="sigmoid", target_rate=0.1, max_iter=80).fit(X)
    assert dsa.transform(X).mean() == pytest.approx(0.1, abs=0.06)


def test_a_layer_of_the_user_s_own_trains_in_any_torch_module():
    import torch

    module = torch.nn.Sequential(SparseLinear(16, 8, density=0.3), torch.nn.ReLU(), SparseLinear(8, 16, density=0.3))
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    x = torch.from_numpy(X)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (module(x) - x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


METHODS = ["random", "gradient", "saliency", "magnitude", "tempered", "set", "rigl", "granet"]


@each({"shrink, early_stopping": [(shrink, i % 2 == 0) for i, shrink in enumerate(METHODS)]})
def test_l1_goes_with_every_method(shrink, early_stopping):
    dsa = small(shrink=shrink, l1=1e-6, max_iter=8, early_stopping=early_stopping).fit(X)
    assert dsa.density_ == pytest.approx(0.3, abs=0.08)
    assert all((layer.values != 0).all() for layer in dsa.runtime_.layers.values())


def test_strong_l1_with_early_stopping_stores_no_zeros():
    dsa = small(density=1.0, shrink="none", l1=2.0, early_stopping=True, n_iter_no_change=2).fit(X)
    assert dsa.density_ < 1
    assert all((layer.values != 0).all() for layer in dsa.runtime_.layers.values())


@each(schedule=["joint", "stagewise"])
def test_random_state_decides_everything(schedule):
    import torch

    codes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        codes.append(small(schedule=schedule, max_iter=5).fit(X).transform(X))
    np.testing.assert_array_equal(*codes)


def test_early_stopping_counts_the_target_rate():
    settings = {"code_activation": "sigmoid", "target_rate": 0.1, "max_iter": 80, "early_stopping": True}
    assert small(**settings).fit(X).transform(X).mean() == pytest.approx(0.1, abs=0.08)


def test_stagewise_ends_with_a_sparse_code():
    settings = {"code_activation": "sigmoid", "max_iter": 60, "schedule": "stagewise"}
    sparse = small(**settings).fit(X).transform(X).mean()
    assert sparse < 0.7 * small(**settings, target_rate=0.4).fit(X).transform(X).mean()


def test_l2_keeps_weights_small():
    def norm(dsa):
        return sum((layer.values**2).sum() for layer in dsa.runtime_.layers.values())

    assert norm(small(l2=0.01, max_iter=40).fit(X)) < 0.8 * norm(fitted(40))


def test_validation_rows_are_not_trained_on(monkeypatch):
    from dsae.data import ArraySource

    seen = []
    original = ArraySource.batches

    def spy(self, *args, **kwargs):
        for batch in original(self, *args, **kwargs):
            seen.append((len(self), batch.rows.copy()))
            yield batch

    monkeypatch.setattr(ArraySource, "batches", spy)
    small(early_stopping=True, max_iter=2, validation_fraction=0.2).fit(X)
    trained = [{row.tobytes() for row in batch} for size, batch in seen if size == 120]
    judged = {row.tobytes() for size, batch in seen if size == 30 for row in batch}
    assert len(judged) == 30
    assert not judged & set().union(*trained)
    assert trained[0] != trained[4], "every epoch has an order of its own"


def test_numbers_of_numpy_are_numbers(tmp_path):
    dsa = small(max_iter=np.int64(2), learning_rate_init=np.float32(0.01), batch_size=np.int32(50)).fit(X)
    assert DeepSparseAutoencoder.load(dsa.save(tmp_path / "m")).n_iter_ == 2


def test_init_from_a_model_with_another_code():
    first = small(code_activation="jumprelu", k=2, max_iter=2).fit(X)
    assert small(init=first, max_iter=5).fit(X).score(X) > 0


@each(shrink=["tempered", "saliency", "random", "set", "rigl", "granet"])
def test_a_larger_density_than_before_is_reached_too(shrink):
    first = small(density=0.1, max_iter=2).fit(X)
    assert small(init=first, density=0.5, shrink=shrink).fit(X).density_ == pytest.approx(0.5, abs=0.005)


def test_warm_start_counts_its_own_epochs():
    first = small(max_iter=2).fit(X)
    assert small(init=first, warm_start=True, max_iter=3).fit(X).n_iter_ == 3


def test_a_constant_column_is_not_blown_up_by_scaling():
    sparse = sp.csr_matrix(np.column_stack([X, np.full(len(X), 123.456, np.float32)]))
    with pytest.warns(UserWarning, match="1 of 17 features are constant"):
        dsa = small(scale=True).fit(sparse)
    assert max(np.abs(layer.values).max() for layer in dsa.runtime_.layers.values()) < 100


def test_saving_follows_a_link_and_is_readable_by_others(tmp_path):
    dsa = small(max_iter=1).fit(X)
    dsa.save(tmp_path / "run1")
    (tmp_path / "latest").symlink_to(tmp_path / "run1")
    dsa.save(tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"run1", "latest"}
    assert len({path.stat().st_mode for path in (tmp_path / "run1").iterdir()}) == 1


@each(unit=[1e-8, 1e-4, 1e-2, 1e2, 1e6])
def test_the_unit_of_the_data_does_not_matter(unit):
    score = small().fit(X * np.float32(unit)).score(X * np.float32(unit))
    assert score == pytest.approx(fitted().score(X), abs=0.02)


@each({"n_features, rate": [(16, 3e-3), (4096, 3e-3), (4097, 1.5e-3)]})
def test_wide_rows_are_learned_in_smaller_steps_unless_told_otherwise(n_features, rate):
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    X = np.random.default_rng(0).random((20, n_features), dtype=np.float32)
    assert dsa.fit(X).runtime_.model.training["learning_rate_init"] == rate
    assert dsa.set_params(learning_rate_init=0.01).fit(X).runtime_.model.training["learning_rate_init"] == 0.01


@each(n_rows=[1, 5], perfect=[False, True])
def test_score_of_equal_rows_is_that_of_r2_score(n_rows, perfect):
    X = np.random.default_rng(0).random((40, 6)).astype(np.float32)
    dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(), density=1.0, shrink="none", max_iter=1, random_state=0).fit(X)
    row = dsa.inverse_transform(np.zeros((1, 3)))
    X = np.repeat(row if perfect else row + 1, n_rows, axis=0)
    if perfect:
        topology, values, bias = dsa.runtime_.layers["decoder.0"]
        layers = {**dsa.runtime_.layers, "decoder.0": Layer(topology, 0 * values, bias)}
        dsa.runtime_ = Runtime(replace(dsa.runtime_.model, layers=layers))
    if n_rows == 1:
        with pytest.warns(UndefinedMetricWarning, match="less than two"):
            assert np.isnan(dsa.score(X))
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(r2_score(X, X))
    else:
        assert dsa.score(X) == r2_score(X, X if perfect else X + 1, multioutput="variance_weighted")

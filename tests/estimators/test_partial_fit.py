"""More rows, call by call: what was learned stays, and so does how to go on."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each
from tests.folders import put, stored

from dsae import DeepSparseAutoencoder, load, store
from dsae.config import CODE_ACTIVATIONS, SHRINK
from dsae.data import open_rows
from dsae.nn import target_nnz
from dsae.shrink import METHODS, Clock, OpenEnded, open_ended_method
from dsae.store import state_from_bytes, state_to_bytes


def rows(n_rows=400, n_features=16, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(9).normal(size=(3, n_features))
    X = rng.normal(size=(n_rows, 3)) @ basis + 0.05 * rng.normal(size=(n_rows, n_features))
    return np.maximum(X, 0).astype(np.float32)


X = rows()


def small(**changes):
    settings = {"n_components": 4, "hidden_layer_sizes": (12,), "density": 0.3, "batch_size": 8}
    return DeepSparseAutoencoder(**settings | {"learning_rate_init": 0.005, "random_state": 0} | changes)


def fed(dsa, *, n_calls=4, data=X, again=lambda dsa: dsa):
    """``n_calls`` pieces of the data, and what ``again`` does to the model between two calls."""
    for part in range(n_calls):
        dsa = again(dsa).partial_fit(data[part * len(X) // n_calls : (part + 1) * len(X) // n_calls])
    return dsa


def same(one, other):
    for layer, twin in zip(one.runtime_.layers.values(), other.runtime_.layers.values(), strict=True):
        for array, again in zip((layer.topology.indices, *layer[1:]), (twin.topology.indices, *twin[1:]), strict=True):
            np.testing.assert_array_equal(array, again)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    np.testing.assert_array_equal(one.feature_importances_, other.feature_importances_)


EVERY = [
    *({"shrink": shrink} for shrink in SHRINK if shrink != "none"),
    {"shrink": "none", "density": 1.0},
    *({"code_activation": code} for code in CODE_ACTIVATIONS if code not in ("topk", "batchtopk", "jumprelu")),
    *({"code_activation": code, "k": 2} for code in ("topk", "batchtopk", "jumprelu")),
    {"l1": 0.1, "contractive": 0.01, "scale": True},
    {"code_activation": "sigmoid", "target_rate": 0.2, "output_activation": "relu"},
]


@each(settings=EVERY)
def test_saved_and_loaded_between_calls_is_never_saved(tmp_path, settings):
    def again(dsa):
        if not hasattr(dsa, "runtime_"):
            return dsa
        loaded = DeepSparseAutoencoder.load(dsa.save(tmp_path / "model"))
        return loaded.set_params(random_state=dsa.random_state)

    whole, pieces = fed(small(**settings)), fed(small(**settings), again=again)
    same(whole, pieces)
    if "l1" not in settings:
        assert {n: layer.topology.nnz for n, layer in whole.runtime_.layers.items()} == target_nnz(
            whole.runtime_.config
        )


def test_pickled_between_calls_too():
    same(fed(small()), fed(small(), again=lambda dsa: pickle.loads(pickle.dumps(dsa))))


def test_the_optimisers_state_counts(tmp_path):
    """Without it Adam starts over, and the weights differ."""

    def forget(dsa):
        if hasattr(dsa, "runtime_"):
            load(dsa.save(tmp_path / "model")).save(tmp_path / "model")
            return DeepSparseAutoencoder.load(tmp_path / "model").set_params(random_state=0)
        return dsa

    whole, without = fed(small()), fed(small(), again=forget)
    with pytest.raises(AssertionError):
        same(whole, without)


@each(shrink=["tempered", "set"])
def test_it_learns_about_as_well_as_fit(shrink):
    data = rows(1500)
    once = small(shrink=shrink, max_iter=4, batch_size=16).fit(data).score(data)
    dsa = small(shrink=shrink, batch_size=16)
    for _ in range(4):
        for part in np.split(data, 6):
            dsa.partial_fit(part)
    assert dsa.score(data) > once - 0.05
    assert dsa.n_iter_ == 24
    assert dsa.runtime_.model.importance is not None


def test_sparse_rows_and_frames():
    dense = fed(small())
    same_rows = fed(small(), data=sp.csr_matrix(X))
    np.testing.assert_allclose(dense.transform(X), same_rows.transform(X), rtol=1e-2, atol=1e-2)
    named = pd.DataFrame(X, columns=[f"gene {i}" for i in range(16)])
    dsa = small().partial_fit(named)
    assert list(dsa.feature_names_in_) == list(named.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        dsa.partial_fit(named.rename(columns={"gene 3": "other"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert list(dsa.partial_fit(X).feature_names_in_) == list(named.columns)


def test_one_row_at_a_time():
    dsa = small()
    for row in X[:20]:
        dsa.partial_fit(row[None])
    assert np.isfinite(dsa.transform(X)).all()
    assert dsa.n_iter_ == 20


def test_history_goes_on_and_is_json():
    dsa = fed(small(batch_size=2))
    assert [row["epoch"] for row in dsa.history_] == [1, 2, 3, 4]
    seconds = [row["seconds"] for row in dsa.history_]
    assert seconds == sorted(seconds)
    assert json.loads(json.dumps(dsa.history_)) == dsa.history_
    assert {row["learning_rate"] for row in dsa.history_[2:]} == {0.005}


def test_a_model_that_was_fitted_goes_on():
    dsa = small(max_iter=15).fit(X)
    before = dsa.score(X)
    assert fed(dsa).score(X) > before - 0.02
    assert dsa.n_iter_ == 19


def test_fit_starts_over_and_warm_start_continues():
    dsa = fed(small(max_iter=1))
    assert dsa.fit(X).n_iter_ == 1
    assert dsa.runtime_.model.learning is None
    assert fed(small(max_iter=1, warm_start=True)).fit(X).n_iter_ == 5


def test_other_shrinkers_start_over_and_adam_continues():
    dsa = fed(small())
    steps = {step["step"] for step in dsa.runtime_.model.learning["learner"]["optimizer"]["state"].values()}
    dsa.set_params(shrink="set", l1=0.1, learning_rate_init=1e-3).partial_fit(X)
    assert {step["step"] for step in dsa.runtime_.model.learning["learner"]["optimizer"]["state"].values()} == {
        step + 50 for step in steps
    }


def test_what_shrinkers_know_stays_between_calls():
    weight = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    init = [(weight, [-100, 0, 0, 0]), (weight.T, np.zeros(16))]
    settings = {"hidden_layer_sizes": (), "density": 1.0, "shrink": "none", "code_activation": "topk", "k": 2}
    (revive,) = fed(small(init=init, **settings)).runtime_.model.learning["shrinkers"].values()
    assert revive["idle"][0] == len(X)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match=r"\[partial_fit\] The model must have the layers .* or train a new model"):
        small().partial_fit(X).set_params(hidden_layer_sizes=(9,)).partial_fit(X)
    with pytest.raises(ValueError, match="X has 5 features, but DeepSparseAutoencoder is expecting 16"):
        small().partial_fit(X).partial_fit(X[:, :5])


def test_a_call_that_fails_leaves_the_model_as_it_was():
    dsa = fed(small())
    codes = dsa.transform(X)
    with pytest.raises(FloatingPointError):
        dsa.set_params(learning_rate_init=1e30).partial_fit(X)
    np.testing.assert_array_equal(dsa.transform(X), codes)


def test_only_who_goes_on_learning_pays_for_it(tmp_path):
    dsa = fed(small())
    stored(dsa.save(tmp_path / "model"), "learning.safetensors")
    assert store.read(tmp_path / "model").learning is None
    assert not list(load(tmp_path / "model").save(tmp_path / "model").glob("learning*"))
    assert not list(small(max_iter=1).fit(X).save(tmp_path / "fit").glob("learning*"))


def test_what_is_damaged_is_refused_by_name(tmp_path):
    folder = fed(small(code_activation="topk", k=2), n_calls=2).save(tmp_path / "model")
    name = "learning.safetensors"
    content = stored(folder, name).read_bytes()
    state = state_from_bytes(content, folder)
    broken = [{k: v for k, v in state.items() if k != key} for key in ("seed", "learner", "model", "observer")]
    broken += [state | {"seed": -1}, state | {"learner": {}}, state | {"shrinkers": {}}]
    for changed in broken:
        put(folder, name, state_to_bytes(changed))
        with pytest.raises(ValueError, match=r"^\[(partial_fit|load)\] "):
            DeepSparseAutoencoder.load(folder).partial_fit(X)
    put(folder, name, content[:-3])
    with pytest.raises(ValueError, match=r"^\[load\] .*learning-.*\.safetensors is truncated or corrupt"):
        DeepSparseAutoencoder.load(folder)
    stored(folder, name).unlink()
    with pytest.raises(ValueError, match=r"^\[load\] .*learning-.* is missing"):
        DeepSparseAutoencoder.load(folder)
    assert np.isfinite(load(folder).encode(X)).all(), "inference does not read it"


def test_ever_fewer_edges_are_exchanged_but_never_none():
    schedule = OpenEnded()
    assert [step for step in range(1, 500) if schedule.due(Clock(step, 0, 9))] == [100, 200, 300, 400]
    shares = [schedule.exchanged(Clock(100 * n, 0, 9), 1000) for n in (1, 4, 100, 10_000)]
    assert shares == [300, 150, 30, 3]


@each(name=METHODS)
def test_every_method_has_a_form_without_an_end(name):
    assert open_ended_method(name).drop is METHODS[name].drop
    assert open_ended_method(name).schedule.static == (name == "random")


def test_automatic_widths_stay_those_of_the_first_rows():
    X = np.random.default_rng(0).random((3000, 5000), dtype=np.float32)
    dsa = DeepSparseAutoencoder(4, density=0.01, random_state=0).partial_fit(X[:200]).partial_fit(X[200:])
    assert dsa.runtime_.config.hidden_layer_sizes == (8,)
    again = dsa.set_params(warm_start=True, max_iter=1).fit(X)
    assert again.runtime_.config.hidden_layer_sizes == (8,)


def test_a_source_counts_as_its_rows(tmp_path):
    X = np.random.default_rng(0).random((300, 20), dtype=np.float32)
    np.save(tmp_path / "x.npy", X)
    dsa = DeepSparseAutoencoder(4, hidden_layer_sizes=(16,), density=0.3, random_state=0)
    dsa.partial_fit(open_rows(tmp_path / "x.npy")).partial_fit(open_rows(tmp_path / "x.npy"))
    assert dsa.n_iter_ == 2
    assert dsa.n_features_in_ == 20

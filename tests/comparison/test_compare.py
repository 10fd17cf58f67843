"""Laws of the comparison: what is equal for all, and what each rival is."""

import copy
import dataclasses
import io
import json
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from rich.console import Console
from tests.covering import each

from dsae import metrics
from dsae.comparison import DENSE, LINEAR, NARROW, SPARSE, compare
from dsae.comparison._baselines import DenseEncoder, LinearModel, narrow_widths
from dsae.config import CODE_ACTIVATIONS, AutoencoderConfig
from dsae.data import ArraySource
from dsae.estimators import DeepSparseAutoencoder
from dsae.runtime import Runtime

SETTINGS = {"n_components": 4, "hidden_layer_sizes": (24,), "density": 0.2, "max_iter": 3, "verbose": 0}


def data(n=90, n_features=20):
    rng = np.random.default_rng(0)
    return (rng.random((n, 4)) @ rng.random((4, n_features)) / 4).astype(np.float32)


@pytest.fixture(scope="module")
def comparison():
    return compare(data(), random_state=0, **SETTINGS)


def parameters(n_features, hidden, code, decoder):
    widths = (n_features, *hidden, code, *decoder, n_features)
    return sum(a * b + b for a, b in pairwise(widths))


@each(
    share=[0.05, 0.2, 0.7, 1.0],
    hidden=[(200,), (300, 100), (100, 300, 50)],
    decoder=[None, (), (80,)],
    floor=[None, 1],
)
def test_narrow_widths_are_the_least_that_reach_the_parameters(hidden, decoder, share, floor):
    config = AutoencoderConfig(100, 10, hidden, decoder)
    full = parameters(100, hidden, 10, config.decoder_widths[1:-1])
    target = int(share * full)
    widths = narrow_widths(config, target, floor=floor)
    assert parameters(100, *widths) >= target
    narrower = narrow_widths(config, target - max(hidden) * 4, floor=floor)
    assert parameters(100, *narrower) <= parameters(100, *widths)
    assert len(widths[0]) == len(hidden)
    if share == 1.0:
        assert widths == (hidden, 10, config.decoder_widths[1:-1])


def test_narrow_widths_shrink_by_one_factor_above_the_floor():
    config = AutoencoderConfig(1000, 4, (800, 400))
    (first, second), code, decoder = narrow_widths(config, parameters(1000, (400, 200), 4, (200, 400)))
    assert (first, second, code, decoder) == (400, 200, 4, (200, 400))


def test_a_layer_is_no_thinner_than_the_code_where_that_fits():
    config = AutoencoderConfig(100, 20, (300, 30))
    hidden, _, decoder = narrow_widths(config, parameters(100, (40, 20), 20, (20, 40)))
    assert hidden == (40, 20) == decoder[::-1]
    plain, _, _ = narrow_widths(config, parameters(100, (40, 20), 20, (20, 40)), floor=1)
    assert min(plain) < 20


def test_the_floor_gives_way_where_it_does_not_fit():
    config = AutoencoderConfig(100, 20, (50, 30))
    hidden, _, _ = narrow_widths(config, 1000)
    assert max(hidden) < 20
    assert narrow_widths(config, 1) == ((1, 1), 20, (1, 1))


def test_a_layer_thinner_than_the_code_never_grows():
    assert narrow_widths(AutoencoderConfig(100, 20, (10,)), 10**6) == ((10,), 20, (10,))


def test_without_hidden_layers_the_code_shrinks():
    config = AutoencoderConfig(100, 50)
    assert narrow_widths(config, parameters(100, (), 7, ())) == ((), 7, ())


def test_rivals_are_what_they_are_called(comparison):
    assert [row.name for row in comparison.rows] == [SPARSE, DENSE, NARROW, LINEAR]
    own, dense, narrow, linear = comparison.rows
    assert own.density == pytest.approx(0.2, abs=0.01)
    assert dense.density == narrow.density == 1
    assert dense.widths == own.widths
    assert len(narrow.widths) == len(own.widths)
    assert own.parameters <= narrow.parameters <= 1.3 * own.parameters
    assert narrow.widths[2] == linear.widths[1] == own.widths[2]
    assert linear.parameters == 4 * 20 + 20


def test_figures_are_the_models_own(comparison):
    for row in comparison.rows:
        model = comparison.models[row.name]
        expected = metrics.evaluate(model.reconstruct, comparison.X_test, metrics=("mse", "fvu", "cosine"))
        assert {key: getattr(row, key) for key in expected} == pytest.approx(expected, rel=1e-6)
        assert row.encode_us_per_row > 0
        assert row.encode_us_single_row > 0
        assert row.fit_seconds > 0
    assert comparison[SPARSE].bytes_in_memory == metrics.bytes_in_memory(comparison.models[SPARSE].layers)


def test_a_row_survives_copies_and_knows_its_names(comparison):
    row = pickle.loads(pickle.dumps(copy.deepcopy(comparison[SPARSE])))
    assert row == comparison[SPARSE]
    assert row.fvu == row.values["fvu"]
    with pytest.raises(AttributeError, match="no attribute 'fvuu'"):
        row.fvuu  # noqa: B018


def test_open_settings_of_a_twin_are_chosen_as_for_any_model_of_its_widths(comparison):
    """The learning rate above all: `compare` hands on "auto", not what it became for the sparse model."""
    for name in (DENSE, NARROW):
        config, model = comparison.models[name].config, comparison.models[name].model
        alone = DeepSparseAutoencoder(
            config.n_components,
            hidden_layer_sizes=config.hidden_layer_sizes,
            density=1.0,
            shrink="none",
            max_iter=1,
        ).fit(data())
        assert model.training["learning_rate_init"] == alone.runtime_.model.training["learning_rate_init"]


def test_training_is_the_same_for_all(comparison):
    histories = [comparison.models[name].model.history for name in (SPARSE, DENSE, NARROW)]
    assert [len(history) for history in histories] == [3, 3, 3]
    trainings = [comparison.models[name].model.training for name in (SPARSE, DENSE, NARROW)]
    for key in ("max_iter", "batch_size", "learning_rate_init", "loss"):
        assert len({training[key] for training in trainings}) == 1
    assert trainings[1]["shrink"] == trainings[2]["shrink"] == "none"


def test_a_seed_repeats_split_and_models(comparison):
    again = compare(data(), random_state=0, **SETTINGS)
    np.testing.assert_array_equal(again.X_test, comparison.X_test)
    for one, other in zip(again.rows, comparison.rows, strict=True):
        assert one.mse == pytest.approx(other.mse, rel=1e-6)
    assert not np.array_equal(compare(data(), random_state=1, **SETTINGS).X_test, comparison.X_test)


@each(random_state=[None, 3, np.random.RandomState(0)])
def test_all_models_have_one_seed(random_state):
    settings = {**SETTINGS, "density": 1.0, "shrink": "none"}
    own, dense, narrow, _ = compare(data(), random_state=random_state, **settings).rows
    assert own.mse == pytest.approx(dense.mse, rel=1e-6) == pytest.approx(narrow.mse, rel=1e-6)


def test_rows_held_out_have_the_numbers_that_they_had(comparison):
    np.testing.assert_array_equal(data()[comparison.ids], comparison.X_test)


def test_given_test_rows_are_used_and_not_trained_on():
    X = data()
    result = compare(X[:60], X[60:], random_state=0, **SETTINGS)
    np.testing.assert_array_equal(result.X_test, X[60:])


@each(split=["by the seed", "given"])
def test_labels_and_ids_of_the_test_rows_reach_the_report(split, tmp_path):
    X = data()
    labels = np.array([f"kind {i % 7}" for i in range(90)])
    ids = np.array([f"doc-{i}" for i in range(90)], object)
    source, test = ArraySource(X, labels=labels, ids=ids), ArraySource(X[60:], labels=labels[60:], ids=ids[60:])
    result = compare(source, test if split == "given" else None, random_state=0, **SETTINGS)
    kind_of = {row.tobytes(): label for row, label in zip(X, labels, strict=True)}
    assert [kind_of[row.tobytes()] for row in result.X_test] == result.labels.tolist()
    html = result.to_html(tmp_path / "r.html").read_text()
    assert "Error by label" in html
    assert "kind 3" in html
    assert [X[int(name[4:])].tobytes() for name in result.ids] == [row.tobytes() for row in result.X_test]
    assert "<h3>doc-" in html


def test_test_rows_have_the_columns_of_the_others():
    names = [f"c{j}" for j in range(20)]
    with pytest.raises(ValueError, match=r"\[compare\] X column 1 must be 'c0', as in training; got 'c19'"):
        compare(ArraySource(data(), names), ArraySource(data(), names[::-1]), **SETTINGS)
    with pytest.raises(ValueError, match=r"\[compare\] X must have 20 columns, as many as X; got shape"):
        compare(data(), data()[:, 1:], **SETTINGS)


@each(kind=["csr", "frame"])
@pytest.mark.filterwarnings("ignore:.*1 of 20 features are constant")
def test_other_kinds_of_rows(kind):
    pandas = pytest.importorskip("pandas")
    X = np.where(data() > 0.25, data(), 0)
    X = sp.csr_matrix(X) if kind == "csr" else pandas.DataFrame(X, columns=[f"c{j}" for j in range(20)])
    result = compare(X, random_state=0, **SETTINGS)
    assert sp.issparse(result.X_test) == (kind == "csr")
    assert (result.models[SPARSE].model.feature_names is None) == (kind == "csr")
    assert all(math.isfinite(row.fvu) for row in result.rows)


def test_cross_entropy_is_measured_where_it_was_the_loss(comparison):
    assert comparison[SPARSE].bce is None
    result = compare(data(), random_state=0, loss="bce", output_activation="sigmoid", **SETTINGS)
    assert all(row.bce > 0 for row in result.rows)


def test_topk_without_hidden_layers_fits_into_a_narrower_code():
    settings = {**SETTINGS, "hidden_layer_sizes": (), "n_components": 30, "code_activation": "topk", "k": 20}
    result = compare(data(), random_state=0, **settings)
    assert result[NARROW].widths[1] < 20
    assert any("narrower code" in note for note in result.notes)
    assert any("PCA cannot" in note for note in result.notes)


def test_ratios_and_outputs(comparison, tmp_path):
    ratios = comparison.ratios
    assert set(ratios) == {DENSE, NARROW, LINEAR}
    assert ratios[DENSE]["parameters"] == comparison[SPARSE].parameters / comparison[DENSE].parameters
    given = json.loads(comparison.to_json())
    assert [row["name"] for row in given["rows"]] == [row.name for row in comparison.rows]
    console = Console(file=io.StringIO(), width=120)
    console.print(comparison.to_table())
    assert NARROW in console.file.getvalue()
    page = comparison.to_html(tmp_path / "report.html").read_text()
    assert NARROW in page


def test_json_has_no_infinities(comparison):
    row = comparison[SPARSE]
    row = dataclasses.replace(row, values=row.values | {"fvu": math.inf})
    given = json.loads(dataclasses.replace(comparison, rows=[row]).to_json())
    assert given["rows"][0]["fvu"] is None


def test_a_rival_with_nothing_has_no_ratio(comparison):
    linear = comparison[LINEAR]
    linear = dataclasses.replace(linear, values=linear.values | {"squared_error_per_row": 0.0})
    rows = [comparison[SPARSE], linear]
    assert dataclasses.replace(comparison, rows=rows).ratios[LINEAR]["squared_error_per_row"] is None


def test_it_says_what_it_does_unless_told_not_to(capsys):
    compare(data(), random_state=0, **{**SETTINGS, "verbose": 1})
    assert capsys.readouterr().err.count("fitting") == 4
    compare(data(), random_state=0, **SETTINGS)
    assert capsys.readouterr().err == ""


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="n_component"):
        compare(data(), n_component=4, verbose=0)
    with pytest.raises(ValueError, match=r"\[compare\] X must have 20 columns"):
        compare(data(), data()[:, :5], **SETTINGS)
    with pytest.raises(TypeError, match=r"several modalities. Use dsae.comparison.compare_joint"):
        compare({"image": data()}, verbose=0)
    with pytest.raises(ValueError, match=r"\[compare\] X must be finite"):
        compare(np.full((9, 3), np.nan), **SETTINGS)


@each(scale=[False, True])
@each(kind=[np.asarray, sp.csr_matrix])
def test_pca_is_the_best_linear_code(kind, scale):
    X = (np.random.default_rng(0).normal(0, 1, (60, 8)) * np.arange(1, 9) + 3).astype(np.float32)
    model = LinearModel.fit(kind(X), 3, scale=scale)
    by = X.std(axis=0) if scale else 1
    U, S, Vt = np.linalg.svd((X - X.mean(axis=0)) / by, full_matrices=False)
    expected = (U[:, :3] * S[:3] @ Vt[:3]) * by + X.mean(axis=0)
    np.testing.assert_allclose(model.reconstruct(kind(X)), expected, atol=2e-3)


def test_pca_is_no_wider_than_its_data():
    assert LinearModel.fit(data(10, 6), 30).components.shape == (6, 6)
    assert LinearModel.fit(sp.csr_matrix(data(10, 6)), 30).components.shape == (5, 6)


@each(activation=CODE_ACTIVATIONS, kind=[np.asarray, sp.csr_matrix])
def test_the_dense_encoder_equals_the_runtime(make_model, activation, kind):
    k = 3 if activation in ("topk", "batchtopk", "jumprelu") else None
    runtime = Runtime(make_model(live=1.1, hidden_layer_sizes=(7,), code_activation=activation, k=k))
    X = np.random.default_rng(0).normal(0, 1, (9, 12)).astype(np.float32)
    encoder = DenseEncoder(runtime)
    np.testing.assert_allclose(encoder.encode(kind(X)), runtime.encode(X), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(kind(X[:1])), runtime.encode(X[:1]), atol=1e-5)

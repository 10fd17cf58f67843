"""The report as a whole: plain data in, one safe and self-contained page out."""

import itertools
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each, pairs
from tests.html import Page, without_scripts

from dsae import metrics
from dsae.config import CODE_ACTIVATIONS, AutoencoderConfig
from dsae.data import ArraySource
from dsae.pages import render as render_page
from dsae.report import collect, render, write_report
from dsae.runtime import Runtime
from dsae.store import Model
from dsae.topology import Layer, Topology

NASTY = "<script>alert('x')</script>\"&"


def history(n=5, stage="joint", **extra):
    return [
        {"stage": stage, "epoch": i + 1, "loss": 1 / (i + 1), "density": 0.5, "densities": {"encoder.0": 0.5}}
        | {"learning_rate": 0.001, "seconds": float(i), "samples_per_second": 1e4}
        | extra
        for i in range(n)
    ]


def rows(n=40, n_features=12):
    return np.random.default_rng(0).normal(0, 1, (n, n_features)).astype(np.float32)


def comparison(model):
    row = {"widths": (12, 5, 12), "density": 0.4, "squared_error_per_row": 1.5, "fvu": 0.2, "bce": None}
    given = {
        "rows": [{"name": "DSA", **row}, {"name": "dense twin", **row, "fvu": None}],
        "ratios": {"dense twin": {"squared_error_per_row": 1.25, "bytes_on_disk": 0.1, "fit_seconds": None}},
        "notes": ["measured on a calm day"],
    }
    models = {"DSA": Runtime(model), "dense twin": Runtime(model)}
    return SimpleNamespace(models=models, to_dict=lambda: given)


OWN = Page(render_page("base.html.j2", title="", scripts=("charts", "report"))).scripts


def page_of(model, X, **options):
    data = collect(model, X, **options)
    json.dumps(data, allow_nan=False)
    html = render(data)
    page = Page(html)
    assert page.scripts == OWN
    assert all(source.startswith(("data:image/png;base64,", "data:,", "#")) for source in page.sources)
    assert "url(" not in html
    assert not re.search(r'="[^"]*\b(nan|inf)\b', without_scripts(html), re.IGNORECASE)
    assert len(html) < 5e6
    return html, page


@each({"activation, kind": list(zip(CODE_ACTIVATIONS, itertools.cycle([np.asarray, sp.csr_matrix]), strict=False))})
def test_every_kind_of_code_and_rows(make_model, activation, kind):
    k = 2 if activation in ("topk", "batchtopk", "jumprelu") else None
    model = make_model(hidden_layer_sizes=(8,), code_activation=activation, k=k, model={"history": history()})
    html, _ = page_of(model, kind(rows()))
    assert "Training" in html


def test_figures_are_the_evaluation_sets(make_model):
    model, X = make_model(), rows(3000)
    data = collect(model, X)
    runtime = Runtime(model)
    assert data["metrics"]["fvu"] == pytest.approx(metrics.fvu(X, runtime.reconstruct(X)))
    assert data["metrics"]["mean_l0"] == pytest.approx(metrics.mean_l0(runtime.encode(X)))
    errors = metrics.row_squared_errors(X, runtime.reconstruct(X))
    assert [row["row"] for row in data["worst"]] == np.argsort(-errors)[:6].tolist()
    assert data["worst"][0]["error"] == pytest.approx(errors.max(), rel=1e-5)
    assert sum(feature["value"] for feature in data["errors"]["features"]) == pytest.approx(1)


def test_cross_entropy_is_collected_where_it_was_the_loss(make_model):
    model = make_model(output_activation="sigmoid", model={"training": {"loss": "bce"}})
    assert collect(model, np.abs(np.tanh(rows())))["metrics"]["bce"] > 0


def test_sections_appear_when_there_is_something_to_show(make_model):
    model = make_model()
    plain, _ = page_of(model, rows())
    assert 'id="training"' not in plain
    assert 'id="comparison"' not in plain
    assert 'id="images"' not in plain
    full = make_model(model={"history": history(validation_loss=0.1)})
    html, page = page_of(full, rows(), comparison=comparison(full), image_shape=(3, 4))
    for section in ("training", "comparison", "images", "weights", "codes", "atoms", "inputs", "errors", "worst"):
        assert f'<section id="{section}">' in html
        assert f"#{section}" in page.sources
    text = " ".join(page.text)
    assert "measured on a calm day" in text
    assert "validation error" in html
    assert "1.25" in text


def test_labels_have_a_table_of_their_errors(make_model):
    model, X = make_model(), rows()
    labels = [f"{NASTY}{i % 35}" for i in range(40)]
    html, page = page_of(model, X, labels=labels)
    assert '<section id="labels">' in html
    assert "30 of 35" in " ".join(page.text)
    assert sum(text.startswith(NASTY) for text in page.text) == 30
    assert '<section id="labels">' not in page_of(model, X)[0]
    travelling = collect(model, ArraySource(X, labels=np.array(labels)))
    assert travelling["labels"] == collect(model, X, labels=labels)["labels"]
    worst = travelling["labels"]["rows"][0]
    mine = X[[label == worst["label"] for label in labels]]
    assert worst["mse"] == pytest.approx(metrics.mse(mine, Runtime(model).reconstruct(mine)), rel=1e-5)


def test_names_cannot_break_out(make_model):
    training = {"shrink": NASTY, NASTY: 1}
    model = make_model(model={"history": history(3) + history(3, stage=NASTY), "training": training})
    given = comparison(model)
    given.to_dict()["notes"].append(NASTY)
    given.to_dict()["rows"][1]["name"] = NASTY
    given.to_dict()["ratios"][NASTY] = {"squared_error_per_row": 2.0}
    given.models[NASTY] = given.models.pop("dense twin")
    html, page = page_of(model, rows(), comparison=given, feature_names=[f"{NASTY}{j}" for j in range(12)])
    assert html.count("<script") == len(OWN)
    assert sum(NASTY in text for text in page.text) > 20
    page_of(model, rows(), comparison=given, image_shape=(3, 4))


def test_feature_names_come_from_the_model_unless_given(make_model):
    model = make_model(model={"feature_names": [f"gene{j}" for j in range(12)]})
    assert "gene3" in page_of(model, rows())[0]
    html, _ = page_of(model, rows(), feature_names=[f"word{j}" for j in range(12)])
    assert "word3" in html
    assert "gene3" not in html
    with pytest.raises(ValueError, match="feature_names must name 12 features; got 2"):
        collect(model, rows(), feature_names=["a", "b"])


DEGENERATE = {"one row": rows(1), "zeros": np.zeros((3, 12)), "constant": np.ones((50, 12))}


@pairs(kind=DEGENERATE, live=[0.0, 0.4, 1.1], shape=[None, (3, 4)])
def test_degenerate_rows_and_weights(make_model, kind, live, shape):
    X = DEGENERATE[kind]
    model = make_model(live=live, n_components=1, model={"history": history(1)})
    page_of(model, X, image_shape=shape, comparison=comparison(model))


def test_huge_codes(make_model):
    page_of(make_model(), 1e25 * rows())


def test_a_perfect_model():
    layers = {
        name: Layer(Topology.from_mask(np.eye(12)), np.ones(12, np.float32), np.zeros(12, np.float32))
        for name in ("encoder.0", "decoder.0")
    }
    html, _ = page_of(Model(AutoencoderConfig(n_features=12, n_components=12), layers), rows())
    assert "100 %" in html


def test_many_features_many_latents_and_many_epochs_stay_small():
    rng = np.random.default_rng(0)
    n_features, width = 200_000, 3000
    config = AutoencoderConfig(n_features=n_features, n_components=width, code_activation="relu")
    layers = {}
    for name, (n_out, n_in) in config.layer_shapes.items():
        flat = np.unique(rng.integers(0, n_out * n_in, 40_000))
        topology = Topology.from_edges((n_out, n_in), flat // n_in, flat % n_in)
        values = rng.normal(0, 1, topology.nnz).astype(np.float32)
        layers[name] = Layer(topology, values, np.zeros(n_out, np.float32))
    X = sp.random(30, n_features, 0.001, format="csr", dtype=np.float32, random_state=0)
    html, _ = page_of(Model(config, layers, history=history(3000)), X)
    assert len(html) < 1e6
    html, _ = page_of(Model(config, layers), X, image_shape=(400, 500))
    assert len(html) < 3e6


def test_incomplete_history_is_shown_as_far_as_it_goes(make_model):
    page_of(make_model(model={"history": [{"epoch": 1}, {"epoch": 2, "loss": float("nan")}]}), rows())
    page_of(make_model(model={"history": [{"note": "no epoch"}]}), rows())


@each(
    {
        "row, fault": [
            ([1], "it must be a mapping; got list"),
            ({"epoch": "2"}, "epoch must be a finite number; got '2'"),
            ({"epoch": None}, "epoch must be a finite number; got None"),
            ({"epoch": float("inf")}, "epoch must be a finite number; got inf"),
            ({"loss": "low"}, "loss must be a number; got 'low'"),
            ({"loss": [1]}, r"loss must be a number; got \[1\]"),
            ({"density": True}, "density must be a number; got True"),
            ({"seconds": "3"}, "seconds must be a number; got '3'"),
            ({"validation_loss": 10**400}, "validation_loss must be a number; got 1000"),
            ({"densities": 0.5}, "densities must be a mapping; got float"),
            ({"densities": {"encoder.0": "half"}}, "the density of encoder.0 must be a number; got 'half'"),
        ]
    }
)
def test_a_damaged_history_is_named(make_model, row, fault):
    damaged = make_model(model={"history": [*history(1), row if isinstance(row, list) else history(1)[0] | row]})
    with pytest.raises(ValueError, match=rf"config\.json\) is damaged in row 2: {fault}.* Mend the row, or empty"):
        collect(damaged, rows())


def test_write_report_writes_the_page(make_model, tmp_path):
    path = write_report(tmp_path / "report.html", make_model(), rows())
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(OSError, match=r"\[write_report\] .* cannot be written"):
        write_report(tmp_path / "no" / "report.html", make_model(), rows())


def test_bad_rows_are_refused(make_model):
    with pytest.raises(ValueError, match=r"\[write_report\] X must have 12 columns"):
        collect(make_model(), rows(4, 11))


def test_the_page_says_where_importances_come_from(make_model):
    importance = np.arange(12, dtype=np.float32)
    html, _ = page_of(make_model(model={"importance": importance}), rows(), image_shape=False)
    assert "answered to it in training" in html
    assert "absolute weights" in page_of(make_model(), rows(), image_shape=False)[0]


def rescaled(model, factors):
    """The same function of relu codes: codes times ``factors``, atoms divided by them."""
    (into, first), (out, last) = model.layers.items()
    encoder = Layer(first.topology, first.values * factors[first.topology.rows], first.bias * factors)
    decoder = Layer(last.topology, last.values / factors[last.topology.cols], last.bias)
    return Model(model.config, {into: encoder, out: decoder})


@each(shape=[None, (3, 4)])
def test_the_scale_of_a_code_changes_nothing_that_is_shown_of_its_latents(make_model, shape):
    model = make_model(n_components=40, hidden_layer_sizes=(), code_activation="relu")
    factors = 2.0 ** np.random.default_rng(0).integers(-7, 8, 40)  # exact in float32
    one, other = (collect(of, rows(200), image_shape=shape) for of in (model, rescaled(model, np.float32(factors))))
    assert one["atoms"] == other["atoms"]
    assert [latent["latent"] for latent in one["codes"]["latents"]] == [
        latent["latent"] for latent in other["codes"]["latents"]
    ]
    codes, energy = Runtime(model).encode(rows(200)).astype(float), []
    for latent, atom in enumerate(model.layers["decoder.0"].to_dense().T):
        energy.append(np.square(codes[:, latent]).mean() * np.square(atom).sum() * (codes[:, latent].std() > 0))
    order = np.argsort(-np.array(energy))[:24]
    assert [card["latent"] for card in one["atoms"]] == [latent for latent in order if energy[latent] > 0]


def test_latents_of_a_deep_decoder_are_ordered_by_what_they_do_to_a_typical_row(make_model):
    model = make_model(n_components=6, hidden_layer_sizes=(8,), code_activation="relu")
    codes = Runtime(model).encode(rows(100)).astype(float)
    base = codes.mean(axis=0, keepdims=True)
    moved = base + np.diag(np.sqrt(np.square(codes).mean(axis=0)))
    change = np.square(Runtime(model).decode(moved) - Runtime(model).decode(base)).sum(axis=1)
    wanted = [latent for latent in np.argsort(-change, kind="stable") if codes[:, latent].std() > 0]
    assert [card["latent"] for card in collect(model, rows(100))["atoms"]] == wanted


def test_rows_in_which_a_latent_is_off_are_no_examples_of_it(make_model):
    model = make_model(n_components=30, hidden_layer_sizes=(), code_activation="topk", k=1)
    fires = Runtime(model).encode(rows(20)) != 0
    cards = collect(model, rows(20))["atoms"]
    assert any(len(card["rows"]) < 9 for card in cards)
    assert all(fires[card["rows"], card["latent"]].all() for card in cards)


def test_rows_are_called_by_their_ids(make_model):
    ids = np.array([f"doc-{i}" for i in range(39)] + [None], object)
    html, page = page_of(make_model(), ArraySource(rows(), ids=ids), image_shape=(3, 4))
    assert re.search(r'title="row doc-\d+"', html)
    data = collect(make_model(), ArraySource(rows(), ids=ids))
    assert {row["called"] for row in data["worst"]} <= {*ids[:39], "Row 39"}
    assert {name for card in data["atoms"] for name in card["called"]} <= {*ids[:39], "39"}
    assert sum(text.startswith("doc-") for text in page.text) >= 5


def test_unused_inputs_are_those_without_edges(make_model):
    model = make_model(live=0.15, model={"importance": np.zeros(12, np.float32)})
    used = np.unique(model.layers["encoder.0"].topology.indices).size
    assert 0 < used < 12
    assert collect(model, rows())["inputs"]["unused"] == 12 - used

"""Reports as a reader sees them."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.browser.conftest import NARROW, WIDE, lightness, overflow, page_in
from tests.covering import each

from dsae import MultimodalAutoencoder
from dsae.features import TableRows
from dsae.pages import number, percent
from dsae.report import collect, render, write_joint_report
from dsae.runtime import Runtime

NASTY = "</script><img src=x onerror='window.broken = 1'>\"&"


def history():
    return [
        {"stage": f"stage {NASTY}"[: 5 + 5 * (i > 3)], "epoch": i + 1, "loss": 1 / (i + 1), "validation_loss": 0.5}
        | {"density": 0.5, "densities": {"encoder.0": 0.5, NASTY: 0.4}, "seconds": 2.0, "samples_per_second": 1e4}
        for i in range(8)
    ]


@pytest.fixture(scope="module")
def data(make_model):
    """A report with every section, of pictures and of columns."""
    X = np.random.default_rng(0).normal(0, 1, (80, 12)).astype(np.float32)
    model = make_model(
        n_components=30, hidden_layer_sizes=(8,), model={"history": history(), "training": {NASTY: NASTY}}
    )
    row = {"density": 0.4, "squared_error_per_row": 1.5, "fvu": 0.2, "widths": (12, 5, 12)}
    rows = [{"name": "DSA", **row}, {"name": NASTY, **row, "fvu": 0.1}]
    ratios = {"dense twin": {"squared_error_per_row": 1.25, "bytes_on_disk": 0.1}}
    given = {"rows": rows, "ratios": ratios, "notes": [NASTY]}
    compared = SimpleNamespace(models={NASTY: Runtime(model)}, to_dict=lambda: given)
    options = {"comparison": compared, "labels": [f"{NASTY}{i % 5}" for i in range(80)]}
    names = [f"{NASTY}{j}" for j in range(12)]
    return {
        "columns": collect(model, X, feature_names=names, **options),
        "pictures": collect(model, X, image_shape=(3, 4), **options),
    }


@pytest.fixture(scope="module")
def reports(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for kind, given in data.items():
        (folder / f"{kind}.html").write_text(render(given), "utf-8")
    return folder


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    size = np.random.default_rng(0).random((40, 1))
    X = {
        "table": pd.DataFrame({NASTY: size[:, 0], "kind": [["red", NASTY][i % 2] for i in range(40)]}),
        "picture": size * np.outer(*[np.linspace(0, 1, 8)] * 2).ravel(),
    }
    encoders = {"table": TableRows(), "picture": None}
    mm = MultimodalAutoencoder(encoders, n_components=2, density=0.5, max_iter=2, random_state=0).fit(X)
    path = tmp_path_factory.mktemp("joint") / "report.html"
    return write_joint_report(path, mm.runtime_, mm.runtime_.source("report", X), coherence={"table": {NASTY: 0.5}})


@each(kind=["columns", "pictures", "joint"])
@each({"size, dark": [(WIDE, False), (NARROW, True)]})
def test_every_figure_is_drawn_in_every_window(opened, reports, joint, kind, size, dark):
    page = opened(joint if kind == "joint" else reports / f"{kind}.html", size=size, dark=dark)
    assert page.locator("[data-chart]").count() >= 1
    assert page.locator("[data-chart]:not(:has(svg))").count() == 0
    assert overflow(page) <= 0
    assert (lightness(page, "background-color") < 0.3) == dark
    assert (lightness(page, "color") > 0.7) == dark
    assert page.evaluate("window.broken") is None
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert page.evaluate(broken) == 0


def numbers(text):
    """The numbers in a text, as it shows them."""
    return [float(found.replace(",", "")) for found in re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)]


def test_numbers_are_those_of_python(opened, reports, data):
    page, shown = opened(reports / "columns.html"), data["columns"]
    tiles = dict(zip(*(page.locator(f".tile {part}").all_inner_texts() for part in "ib"), strict=True))
    assert tiles["Weights left"] == percent(shown["model"]["density"])
    assert tiles["Variance explained"] == percent(1 - shown["metrics"]["fvu"])
    assert tiles["Active latents per row"] == number(shown["metrics"]["mean_l0"])
    for section, values in (
        ("#labels", [[row["n_samples"], row["mse"], row["fvu"]] for row in shown["labels"]["rows"]]),
        ("#worst", [[f["value"], f["reconstruction"], f["share"]] for row in shown["worst"] for f in row["features"]]),
    ):
        cells = page.locator(f"{section} tr:has(td)").evaluate_all(
            "rows => rows.map(row => [...row.cells].slice(1).map(cell => cell.innerText))"
        )
        got = np.array([[numbers(cell)[0] / (100 if "%" in cell else 1) for cell in row] for row in cells])
        np.testing.assert_allclose(got, np.array(values, float), rtol=5.1e-3)
    bars = page.locator("#atoms .bars > :nth-child(3n)").all_inner_texts()
    wanted = [feature["value"] for card in shown["atoms"] for feature in card["features"]]
    np.testing.assert_allclose([numbers(text)[0] for text in bars], wanted, rtol=5.1e-3, atol=1e-5)


def test_charts_have_the_heights_of_the_numbers(opened, reports, data):
    page, shown = opened(reports / "columns.html"), data["columns"]
    for latent, chart in zip(shown["codes"]["latents"], page.locator("#codes .grid [data-chart]").all(), strict=True):
        heights = chart.locator("rect").evaluate_all("all => all.map(e => parseFloat(e.getAttribute('height')))")
        counts = np.array([count for count in latent["counts"] if count])
        np.testing.assert_allclose(np.array(heights) / max(heights), counts / counts.max(), atol=0.05)


def test_names_are_text_wherever_they_stand(opened, reports, joint):
    for path, least in ((reports / "columns.html", 200), (reports / "pictures.html", 8), (joint, 10)):
        page = opened(path)
        assert page.evaluate("window.broken") is None
        assert page.locator("img[src=x]").count() == 0
        assert page.content().count("onerror") >= least
        assert page.locator("body").inner_text().count("<img src=x onerror=") >= least


def test_links_lead_to_sections_and_stand_in_the_hash(opened, reports):
    page = opened(reports / "columns.html", "#worst")
    at = "e => Math.round(e.getBoundingClientRect().top)"
    assert page.locator("#worst").evaluate(at) < WIDE[1] - 100
    page.locator("nav a", has_text="What the latents stand for").click()
    assert page.evaluate("location.hash") == "#atoms"
    assert abs(page.locator("#atoms").evaluate(at)) < 50


def test_pictures_are_named_by_their_rows(opened, reports, data):
    page = opened(reports / "pictures.html")
    for card, box in zip(data["pictures"]["atoms"], page.locator("#atoms .box").all(), strict=True):
        assert box.locator(".thumbs img").evaluate_all("all => all.map(e => e.title)") == [
            f"row {name}" for name in card["called"]
        ]


@pytest.mark.parametrize("name", ["columns", "pictures"])
def test_a_page_without_scripts_still_has_its_text_and_pictures(browser, reports, name):
    with page_in(browser, java_script_enabled=False) as page:
        page.goto((reports / f"{name}.html").as_uri())
        assert "Charts are drawn by a script inside this page" in page.locator("noscript").first.inner_text()
        assert page.locator("#worst .box").count() == 6

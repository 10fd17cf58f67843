"""What the page's script is given to draw."""

import json

from tests.covering import each

from dsae.pages import number, percent
from dsae.report._figures import charts, loss_lines
from dsae.report._page import _placed
from dsae.report._table import comparison


def data(**history):
    epochs = {"epochs": [1, 2, 3], "stages": [{"name": "joint", "x": 1}], "density": [1.0, 0.5, 0.5], "densities": {}}
    latents = [{"latent": 7, "counts": [0, 3, 1], "zero": 0.5}]
    return {
        "history": epochs | {"loss": [3.0, 2.0, 1.0], "validation_loss": [None] * 3} | history,
        "codes": {"bars": [0.5, 0.1], "latents": latents},
        "errors": {"counts": [3, 1], "low": 0.5, "p99": 2.0},
        "model": {"widths": [9, 4, 9], "layers": [{"density": 0.5}, {"density": 1.0}], "code": 1},
    }


def test_charts_are_numbers_and_texts():
    made = charts(data())
    assert json.loads(json.dumps(made, allow_nan=False)) == json.loads(json.dumps(made))
    assert made["latents"][0]["counts"] == [0, 3, 1]
    assert made["network"] == {"widths": [9, 4, 9], "densities": [0.5, 1.0], "code": 1}
    assert charts({**data(), "history": None})["training"] == []


@each({"loss, log": [([3.0, 2.0, 1.0], False), ([100.0, 2.0, 1.0], True), ([100.0, 2.0, 0.0], False)]})
def test_errors_over_a_wide_range_have_a_logarithmic_axis(loss, log):
    error, density = charts(data(loss=loss))["training"]
    assert error["log"] is log
    assert ("logarithmic" in error["title"]) is log
    assert (density["form"], density["fromZero"]) == ("percent", True)


def test_only_what_is_known_is_drawn():
    error, _ = charts(data())["training"]
    assert [line["name"] for line in error["series"]] == ["training error"]
    error, density = charts(data(validation_loss=[None, 2.5, 1.5], densities={"a": [1, 1, 1], "b": [1, 0, 0]}))[
        "training"
    ]
    assert [line["name"] for line in error["series"]] == ["training error", "validation error"]
    assert [line["name"] for line in density["series"]] == ["all layers", "a", "b"]
    assert len(charts(data(loss=[None] * 3, density=[None] * 3))["training"]) == 0
    assert charts(data())["training"][0]["marks"] == []
    assert len(charts(data(stages=[{"name": "a", "x": 1}, {"name": "b", "x": 2}]))["training"][0]["marks"]) == 2


def test_every_modality_has_a_line():
    rows = [{"epoch": i, "losses": {"image": 1 / i, "text": 2 / i}} for i in (1, 2)] + [{"note": "no losses"}]
    lines = loss_lines(rows)["series"]
    assert [(line["name"], line["x"], line["y"]) for line in lines] == [
        ("image", [1, 2], [1.0, 0.5]),
        ("text", [1, 2], [2.0, 1.0]),
    ]
    assert loss_lines([{"epoch": 1}]) is None


@each(
    {
        "values, signed, top, shown": [
            ([2.0, -1.0], True, None, [(50, 50), (25, 25)]),
            ([2.0, 1.0], False, None, [(0, 100), (0, 50)]),
            ([1.0], False, 2.0, [(0, 50)]),
            ([None, 0.0], False, None, [(0, 0), (0, 0)]),
        ]
    }
)
def test_bars_share_one_scale_and_signs_part_at_the_middle(values, signed, top, shown):
    placed = _placed([{"name": "a", "value": value} for value in values], signed, top)
    assert [(float(left), float(width)) for _, left, width in placed] == shown


def test_the_best_cells_and_the_ratios_of_a_comparison():
    rows = [{"name": "DSA", "fvu": 0.2, "density": 0.1}, {"name": "PCA", "fvu": 0.1, "density": None}]
    made = comparison({"rows": rows, "ratios": {"PCA": {"squared_error_per_row": 2.0}}, "notes": []})
    fvu = [cell["text"] in (number(0.2), percent(0.2)) for cell in made["rows"][0]["cells"]].index(True)
    assert [row["cells"][fvu]["best"] for row in made["rows"]] == [False, True]
    assert [row["own"] for row in made["rows"]] == [True, False]
    assert made["tiles"] == [("Squared error", "2 \N{MULTIPLICATION SIGN}", "the error of PCA")]
    assert comparison(None) is None


def test_missing_cells_are_dashes():
    rows = [{"name": "DSA", "fvu": 0.2}, {"name": "PCA", "fvu": None}]
    (cell,) = comparison({"rows": rows})["rows"][1]["cells"]
    assert cell == {"text": "\N{EN DASH}", "best": False}

"""The shared script: numbers as Python writes them, and charts that show what they are given."""

import numpy as np
import pytest
from tests.browser.conftest import page_in
from tests.covering import each

from dsae import pages


@pytest.fixture(scope="module")
def blank(browser, tmp_path_factory):
    """A page with the shared script and nothing else."""
    path = tmp_path_factory.mktemp("blank") / "page.html"
    path.write_text(pages.render("base.html.j2", title="charts", scripts=("charts", "report")), "utf-8")
    with page_in(browser) as page:
        page.goto(path.as_uri())
        yield page


def drawn(page, kind, given):
    """The chart's element, mounted anew."""
    page.evaluate(
        """([kind, given]) => {
          var old = document.getElementById("drawn"); if (old) old.remove();
          var box = document.createElement("div"); box.id = "drawn"; document.body.append(box);
          if (given.form) given.form = dsae[given.form];
          dsae.mount(dsae.h(dsae[kind], given), box);
        }""",
        [kind, given],
    )
    return page.locator("#drawn")


def attributes(found, *names):
    script = "(all, names) => all.map(e => names.map(n => parseFloat(e.getAttribute(n))))"
    return np.array(found.evaluate_all(script, list(names)))


NUMBERS = [
    0,
    0.0,
    1,
    -3,
    7.5,
    999.4,
    1000.0,
    1234567,
    12345.6,
    -0.5,
    0.012345,
    1e-4,
    9.99e-5,
    1e-9,
    -2.5e-7,
    3.0,
    1e6,
    26.25,
    0.5625,
    -1000.5,
    2.5e-5,
    1.25e-7,
    None,
]


@each(form=["number", "percent", "size", "factor"])
def test_numbers_are_written_as_python_writes_them(blank, form):
    of = getattr(pages, form)
    values = [value for value in NUMBERS if form == "number" or value is None or 0 <= value < 9]
    values += [5, 1234, 2.5e6, 3e9] if form == "size" else []
    assert blank.evaluate("([form, values]) => values.map(dsae[form])", [form, values]) == [
        of(value) for value in values
    ]


@each({"low, high": [(0, 1), (-3, 8), (0.00012, 0.00019), (1e6, 5e7), (-1e-9, 1e-9)]})
def test_ticks_are_few_round_and_inside(blank, low, high):
    ticks = blank.evaluate("([low, high]) => dsae.ticks(low, high)", [low, high])
    assert 3 <= len(ticks) <= 12
    assert low - 1e-12 <= ticks[0]
    assert ticks[-1] <= high * (1 + 1e-9) + 1e-12
    if high - low > 1e-6:
        assert len(set(np.round(np.diff(ticks) / (ticks[1] - ticks[0]), 6))) == 1
    assert blank.evaluate("dsae.ticks(3, 3)") == [3]


@each({"low, high": [(0.01, 100), (2, 60), (3, 4), (0.5, 0.5)]})
def test_log_ticks_are_inside(blank, low, high):
    ticks = blank.evaluate("([low, high]) => dsae.logTicks(low, high)", [low, high])
    assert ticks
    assert all(low <= tick <= high for tick in ticks)


@each(log=[False, True])
@each(y=[[1.0, 2.0, 100.0], [5.0, 5.0, 5.0], [1.0, None, 2.0]])
def test_lines_stay_on_the_chart_and_follow_their_values(blank, log, y):
    chart = drawn(blank, "Lines", {"series": [{"name": "a", "x": [1, 2, 3], "y": y, "style": "c1"}], "log": log})
    text = chart.locator("polyline").get_attribute("points")
    points = np.array([[float(v) for v in pair.split(",")] for pair in text.split()])
    known = [value for value in y if value is not None]
    assert len(points) == len(known)
    assert (points >= 0).all()
    assert (points <= (560, 250)).all()
    assert (np.sign(np.diff(points[:, 1])) == -np.sign(np.diff(known))).all()  # upwards is a smaller y


def test_one_point_is_a_dot_and_none_is_no_chart(blank):
    line = {"name": "a", "x": [1], "style": "c1"}
    assert drawn(blank, "Lines", {"series": [{**line, "y": [2.0]}]}).locator("circle").count() == 1
    assert drawn(blank, "Lines", {"series": [{**line, "y": [None]}]}).inner_html() == ""
    assert drawn(blank, "Lines", {"series": []}).inner_html() == ""


@each(plain=[True, False])
def test_bars_of_a_histogram_are_as_high_as_their_counts(blank, plain):
    counts = [4, 0, 1, 2]
    chart = drawn(blank, "Histogram", {"counts": counts, "plain": plain, "low": 0, "high": 4, "zero": 0.5})
    bars = attributes(chart.locator("rect"), "x", "height")
    assert len(bars) == 3
    np.testing.assert_allclose(bars[:, 1] / bars[0, 1], [1, 0.25, 0.5], atol=0.01)
    assert (np.diff(bars[:, 0]) > 0).all()
    assert chart.locator("line.mark").count() == 1
    assert drawn(blank, "Histogram", {"counts": [1], "plain": plain, "zero": 1.5}).locator("line.mark").count() == 0
    assert drawn(blank, "Histogram", {"counts": [0, 0], "plain": plain}).locator("rect").count() == 0


def test_the_hourglass_shows_every_layer(blank):
    chart = drawn(blank, "Hourglass", {"widths": [9, 4, 2, 9], "densities": [0.5, 1.0, 0.01], "code": 2})
    assert chart.locator("rect").count() == 4
    assert chart.locator("polygon").count() == 3
    assert chart.locator("rect.code").count() == 1
    fill = attributes(chart.locator("polygon"), "fill-opacity")[:, 0]
    assert fill[2] < fill[0] < fill[1]


def test_bars_share_one_scale_and_signs_part_at_the_middle(blank):
    items = [{"name": "a", "value": 2.0}, {"name": "b", "value": -1.0}, {"name": "c", "value": None}]
    bars = drawn(blank, "Bars", {"items": items, "signed": True}).locator(".track i")
    styles = bars.evaluate_all("all => all.map(e => [e.style.left, e.style.width].map(parseFloat))")
    np.testing.assert_allclose(styles, [[50, 50], [25, 25], [50, 0]])
    halved = drawn(blank, "Bars", {"items": items[:1], "top": 4.0}).locator(".track i")
    assert halved.evaluate("e => parseFloat(e.style.width)") == 50


def test_names_in_charts_are_text(blank):
    nasty = "</script><img src=x onerror='window.broken = 1'>"
    series = [{"name": nasty, "x": [1, 2], "y": [1, 2], "style": "c1"}]
    lines = {"series": series, "legend": True, "title": nasty, "xLabel": nasty, "marks": [{"x": 1.5, "name": nasty}]}
    for kind, given in (("Lines", lines), ("Bars", {"items": [{"name": nasty, "value": 1}]})):
        chart = drawn(blank, kind, given)
        assert chart.locator("img").count() == 0
        assert nasty in chart.text_content()
    assert blank.evaluate("window.broken") is None

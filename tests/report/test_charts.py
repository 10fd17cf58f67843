"""Charts and numbers."""

import re

import numpy as np
from tests.covering import each

from dsae.report import _svg
from dsae.report._sections import bars
from dsae.report._text import factor, number, percent, size, tag


@each({"low, high": [(0, 1), (-3, 8), (0.00012, 0.00019), (1e6, 5e7), (-1e-9, 1e-9)]})
def test_ticks_are_few_round_and_inside(low, high):
    ticks = _svg.ticks(low, high)
    assert 3 <= len(ticks) <= 12
    assert low - 1e-12 <= ticks[0]
    assert ticks[-1] <= high * (1 + 1e-9) + 1e-12
    if high - low > 1e-6:
        assert len(set(np.round(np.diff(ticks) / (ticks[1] - ticks[0]), 6))) == 1


def test_one_value_has_one_tick():
    assert _svg.ticks(3, 3) == [3]


@each({"low, high": [(0.01, 100), (2, 60), (3, 4), (0.5, 0.5)]})
def test_log_ticks_are_inside(low, high):
    ticks = _svg.log_ticks(low, high)
    assert ticks
    assert all(low <= tick <= high for tick in ticks)


@each(log=[False, True])
@each(y=[[1.0, 2.0, 100.0], [5.0, 5.0, 5.0], [1.0, None, 2.0]])
def test_lines_stay_on_the_chart(log, y):
    svg = _svg.line_chart([{"name": "a", "x": [1, 2, 3], "y": y, "style": "c1"}], x_label="epoch", log=log)
    points = re.search(r'points="([^"]*)"', svg).group(1)
    pairs = np.array([[float(v) for v in pair.split(",")] for pair in points.split()])
    assert len(pairs) == sum(v is not None for v in y)
    assert (pairs >= 0).all()
    assert (pairs[:, 0] <= 560).all()
    assert (pairs[:, 1] <= 250).all()


def test_one_point_is_a_dot_and_none_is_no_chart():
    line = {"name": "a", "x": [1], "style": "c1"}
    assert "<circle" in _svg.line_chart([{**line, "y": [2.0]}], x_label="epoch")
    assert _svg.line_chart([{**line, "y": [None]}], x_label="epoch") == ""
    assert _svg.line_chart([], x_label="epoch") == ""


def test_histogram_has_a_bar_per_filled_bin():
    assert _svg.histogram([0, 3, 1]).count("<rect") == 2
    assert _svg.histogram([0, 0]).count("<rect") == 0
    assert "dash" not in _svg.histogram([1], zero=0.5)
    assert _svg.histogram([1], zero=0.5).count('class="mark"') == 1
    assert _svg.histogram([1], zero=1.5).count('class="mark"') == 0


def test_hourglass_shows_every_layer():
    svg = _svg.hourglass([9, 4, 2, 9], [0.5, 1.0, 0.01], 2)
    assert svg.count("<rect") == 4
    assert svg.count("<polygon") == 3
    assert svg.count("unit code") == 1


def test_bars_share_one_scale_and_signs_part_at_the_middle():
    html = bars([{"name": "a", "value": 2.0}, {"name": "b", "value": -1.0}], signed=True)
    assert "left:50.0%;width:50.0%" in html
    assert "left:25.0%;width:25.0%" in html
    assert "width:50.0%" in bars([{"name": "a", "value": 1.0}], top=2.0)
    assert "width:0.0%" in bars([{"name": "a", "value": None}])


@each(
    {
        "value, text": [
            (0, "0"),
            (0.0, "0"),
            (1e-9, "1.0e-09"),
            (12345.6, "12,346"),
            (float("nan"), "\N{EN DASH}"),
            (-0.5, "-0.5"),
        ]
    }
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_units_and_factors():
    assert (percent(0.05), percent(None)) == ("5 %", "\N{EN DASH}")
    assert (size(5), size(2.5e6), size(3e9), size(None)) == ("5 B", "2.5 MB", "3 GB", "\N{EN DASH}")
    assert factor(0.5) == factor(2.0) == "2 \N{MULTIPLICATION SIGN}"
    assert factor(None) == factor(float("inf")) == "\N{EN DASH}"


def test_attributes_are_escaped():
    assert tag("p", "x", class_='"><script>') == '<p class="&quot;&gt;&lt;script&gt;">x</p>'

"""What watches pages can see what it watches for."""

import time

import pytest
from tests.browser.conftest import NARROW, lightness, overflow, page_in, watched
from tests.covering import each


@pytest.fixture
def written(tmp_path):
    def write(body, head=""):
        (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{head}<body>{body}", "utf-8")
        return tmp_path / "page.html"

    return write


@each(
    {
        "body": [
            "<script>throw Error('broken')</script>",
            "<script>console.error('broken')</script>",
            "<img src=none.png>",
            "<script>fetch('http://127.0.0.1:9/x').catch(() => 0)</script>",
        ]
    }
)
def test_faults_of_a_page_are_seen(browser, written, body):
    with page_in(browser) as page:
        page, faults = watched(page)
        page.goto(written(body).as_uri())
        end = time.monotonic() + 300
        while not faults and time.monotonic() < end:
            page.wait_for_timeout(10)
    assert faults


def test_a_page_that_is_too_wide_and_a_dark_one_are_seen(opened, written):
    page = opened(
        written("<div style='width:500px'>wide", "<style>body{background:#111;color:#eee}</style>"), size=NARROW
    )
    assert overflow(page) > 50
    assert lightness(page, "background-color") < 0.1
    assert lightness(page, "color") > 0.9

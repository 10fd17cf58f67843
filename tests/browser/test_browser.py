"""What watches pages can see what it watches for."""

import pytest
from tests.browser.conftest import NARROW, is_local, lightness, overflow
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
    context = browser.new_context()
    page, faults = context.new_page(), []
    page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: faults.append(asked.url) if not is_local(asked.url) else None)
    page.on("requestfailed", lambda asked: faults.append(asked.url))
    page.goto(written(body).as_uri())
    page.wait_for_timeout(100)
    context.close()
    assert faults


def test_a_page_that_is_too_wide_and_a_dark_one_are_seen(opened, written):
    page = opened(
        written("<div style='width:500px'>wide", "<style>body{background:#111;color:#eee}</style>"), size=NARROW
    )
    assert overflow(page) > 50
    assert lightness(page, "background-color") < 0.1
    assert lightness(page, "color") > 0.9

"""Pages: everything inside, nothing runs but their own scripts, and whatever is shown is text."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from tests.covering import each

from dsae.pages import explorer_page, factor, number, percent, render, size

NASTY = "</script><img src=x onerror=alert(1)><!-- \"'&\u2028\ud800"
PARTS = files("dsae.pages")


class Page(HTMLParser):
    """Elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs) if tag == "script" else None
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside is not None:
            self.scripts[-1] = self.scripts[-1][0], self.scripts[-1][1] + data


def policy_of(text):
    return next(attrs["content"] for _, attrs in Page(text).tags if attrs.get("http-equiv"))


@each(
    {
        "make, beside": [
            (lambda: explorer_page("x"), True),
            (lambda: explorer_page("x", {"index": "QUJD"}), False),
            (lambda: render("base.html.j2", title="x", scripts=("charts",), data={"a": 1}), False),
        ]
    }
)
def test_the_policy_names_every_script_that_runs_and_nothing_else(make, beside):
    text = make()
    run = [script for attrs, script in Page(text).scripts if "type" not in attrs]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in run]
    policy = policy_of(text)
    assert len(hashes) > 2
    assert re.search(r"script-src ([^;]*)", policy)[1].split() == ["'self'"] * beside + hashes
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe-eval|https?:|\*", policy)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    hashed = f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    of_explorer = "render" not in make.__code__.co_names
    assert re.search(r"style-src ([^;]*)", policy)[1] == (hashed if of_explorer else "'unsafe-inline'")


def test_a_page_without_scripts_runs_none():
    assert "script-src 'none';" in policy_of(render("base.html.j2", title="x"))


def test_a_page_loads_nothing():
    sources = [attrs[key] for _, attrs in Page(explorer_page("x")).tags for key in ("src", "href") if key in attrs]
    assert sources == ["data:,"]


def test_what_is_shown_is_text():
    loader = {"own": "{% extends 'base.html.j2' %}{% block body %}<p title=\"{{ name }}\">{{ name }}</p>{% endblock %}"}
    text = render("own", title=NASTY, scripts=("charts",), data={NASTY: [NASTY]}, loader=loader, name=NASTY)
    page = Page(text)
    assert "img" not in [tag for tag, _ in page.tags]
    told = next(script for attrs, script in page.scripts if attrs.get("id") == "data")
    assert json.loads(told) == {NASTY: [NASTY]}
    assert html.escape(NASTY, quote=False)[:30] in text
    text.encode("utf-8")  # a lone surrogate in a name must not keep a page from being written


def test_shards_stand_in_the_page_and_do_not_run():
    page = Page(explorer_page("x", {"index": "QUJD", "latents/0": "RA=="}))
    held = {attrs["data-shard"]: (attrs["type"], script) for attrs, script in page.scripts if "data-shard" in attrs}
    assert held == {"index": ("text/plain", "QUJD"), "latents/0": ("text/plain", "RA==")}


@each(
    {
        "options, message": [
            ({"data": {"a": float("nan")}}, "data must be numbers"),
            ({"data": {1, 2}}, "data must be numbers"),
            ({"shards": {"index": "<b>"}}, "index holds other characters"),
        ]
    }
)
def test_what_json_has_not_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        render("base.html.j2", title="x", **options)


def test_what_is_vendored_is_what_was_bundled_and_names_its_licence():
    told, name = PARTS.joinpath("vendor", "preact-htm.sha256").read_text().split()
    assert hashlib.sha256(PARTS.joinpath("vendor", name).read_bytes()).hexdigest() == told
    licence = PARTS.joinpath("vendor", "LICENSE").read_text()
    assert "Jason Miller" in licence
    assert "Apache License" in licence


def test_scripts_ask_nothing_of_a_network_and_compile_no_text():
    """The policy would stop them; better that none tries."""
    folder = PARTS.joinpath("static")
    scripts = [*folder.iterdir(), *folder.joinpath("explorer").iterdir()]
    texts = {file.name: file.read_text(encoding="utf-8") for file in scripts if file.name.endswith(".js")}
    assert len(texts) > 10
    wrong = re.compile(
        r"\bfetch\(|XMLHttpRequest|\beval\(|new Function|innerHTML|dangerouslySet|https?://|\bimport\b\s*[({]"
    )
    assert {name: wrong.findall(text) for name, text in texts.items() if wrong.search(text)} == {}


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

"""Pages as a browser shows them, opened from files; any error in them and any request to elsewhere fails the test."""

import contextlib
import os
import shutil

import pytest
from tests.browser import explorers

WIDE, NARROW = (1400, 1000), (390, 844)
PATIENCE = 300_000  # milliseconds: other processes may have the cores


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window. DSAE_BROWSER=required makes a machine without one fail instead of skip."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        message = "There is no chromium on the PATH to open pages in; apt-get install chromium."
        if os.environ.get("DSAE_BROWSER") == "required":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    # A container's root has no sandbox.
    flags = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=flags, timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def kept(browser):
    """Pages that stay open with their faults: one that goes from file to file, and one for each explorer."""
    found = {}

    def get(key):
        if key not in found:  # in windows of their own: what lies behind another is drawn once a second
            page = stack.enter_context(page_in(browser, reduced_motion="reduce", accept_downloads=True))
            found[key] = watched(page)
        return found[key]

    with contextlib.ExitStack() as stack:
        yield get


@pytest.fixture
def opened(kept):
    """Open a file, ``opened(path, hash="", size=WIDE, dark=False)``, and watch it until the test ends."""
    page, faults = kept(None)

    def open_page(path, hash="", size=WIDE, dark=False):
        _shaped(page, size, dark)
        page.goto("about:blank")  # another address of the same file would be no other page
        page.goto(path.resolve().as_uri() + hash)
        return page

    yield open_page
    assert _taken(faults) == []


@pytest.fixture
def page_of(kept):
    """The page of an explorer, opened once for all tests: ``page_of(explored, hash, size, dark)``; watched as well."""
    used = []

    def show(explored, hash="latents", size=WIDE, dark=False):
        page, faults = kept(explored.page)
        used.append(faults)
        _shaped(page, size, dark)
        if page.url == "about:blank":
            page.goto(f"{explored.page.resolve().as_uri()}#{hash}")
        page.evaluate("document.activeElement.blur()")
        explorers.go(page, hash)
        return page

    yield show
    assert [fault for faults in used for fault in _taken(faults)] == []


@contextlib.contextmanager
def page_in(browser, **how):
    """A page in a window of its own, that waits for as long as it takes."""
    context = browser.new_context(**how)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def _shaped(page, size, dark):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme="dark" if dark else "light")


def _taken(faults):
    found = list(faults)
    faults.clear()
    return found


def watched(page):
    faults = []
    page.on("console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: faults.append(asked.url) if not is_local(asked.url) else None)
    page.on("requestfailed", lambda asked: faults.extend(_broken(asked)))
    return page, faults


def _made(name):
    @pytest.fixture(scope="session", name=name)
    def explored(make_model, tmp_path_factory):
        return getattr(explorers, name)(make_model, tmp_path_factory.mktemp(name) / "explorer")

    return explored


told, seen, deep, both = map(_made, ("told", "seen", "deep", "both"))


def _broken(asked):
    """A request that failed, but for one that a page gave up because it was left."""
    return [] if asked.failure == "net::ERR_ABORTED" else [f"failed: {asked.url}"]


def is_local(url):
    return url.startswith(("file:///", "data:", "blob:", "about:"))


def overflow(page):
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def lightness(page, of):
    """Of the page's ``background-color`` or ``color``, 0 for black and 1 for white."""
    text = page.evaluate("name => getComputedStyle(document.body).getPropertyValue(name)", of)
    return sum(map(int, text[text.index("(") + 1 : -1].split(",")[:3])) / 765

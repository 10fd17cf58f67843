"""How long explorers take to open, search and jump: python -m experiments.opening FOLDER...

Each explorer is opened `ROUNDS` times in headless chromium, with an empty cache. Printed are wall-clock seconds and the
bytes loaded until the list of latents is shown.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from playwright.sync_api import Browser, Page, sync_playwright

ROUNDS = 5
_LIST = "document.querySelector('.long .line')"


def main() -> None:
    """Print a line for each folder."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("There is no chromium on the PATH to open pages in; apt-get install chromium.")
    with sync_playwright() as playwright:
        flags = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        for folder in sys.argv[1:]:
            print(_told(browser, Path(folder)), flush=True)
        browser.close()


def _told(browser: Browser, folder: Path) -> str:
    rounds = [_round(browser, folder) for _ in range(ROUNDS)]
    parts = []
    for what in ("open", "search", "jump"):
        taken = [one[what] for one in rounds]
        parts.append(f"{what} {min(taken):.2f} to {max(taken):.2f} s (median {statistics.median(taken):.2f})")
    return f"{folder}: {', '.join(parts)}; {rounds[0]['loaded'] / 1e3:.0f} kB loaded when the list is there"


def _round(browser: Browser, folder: Path) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page, loaded = context.new_page(), set()
    page.on("request", lambda asked: loaded.add(asked.url.partition("#")[0]))
    found = {"open": _seconds(page, lambda: page.goto((folder / "index.html").resolve().as_uri()), _LIST)}
    found["loaded"] = sum(_size(url) for url in loaded)
    _until(page, "window.dsae && dsae.Latent && dsae.features.base")  # what comes after the list
    n = page.evaluate("dsae.index.n_latents")
    word = page.evaluate("dsae.feature(dsae.columns.top[0])")
    searched = f"dsae.state.params.q && dsae.get('search') && {_LIST}"
    found["search"] = _seconds(page, lambda: page.fill("#search", word), searched)
    _until(page, "location.hash.includes('q=')")
    latent = (7919 * len(loaded)) % n
    jumped = f"document.querySelector(\"main[data-latent='{latent}'] [data-part=writes]\")"
    found["jump"] = _seconds(page, lambda: page.evaluate(f"location.hash = 'latent={latent}'"), jumped)
    context.close()
    return found


def _seconds(page: Page, act: Callable[[], object], there: str) -> float:
    begun = time.perf_counter()
    act()
    _until(page, there)
    return time.perf_counter() - begun


def _until(page: Page, there: str) -> None:
    """Ask again and again: `wait_for_function` evaluates a string in the page, which the page's policy forbids."""
    end = time.perf_counter() + 60
    while not page.evaluate(f"Boolean({there})"):
        if time.perf_counter() > end:
            raise TimeoutError(f"{page.url} did not come to {there} within a minute.")
        time.sleep(0.002)


def _size(url: str) -> int:
    parsed = urlparse(url)
    return os.path.getsize(unquote(parsed.path)) if parsed.scheme == "file" else 0


if __name__ == "__main__":
    main()

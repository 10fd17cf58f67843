"""Pictures of pages for the guide and the README: `make screenshots` after `make demo explore-demo`.

Pages are opened in Debian's chromium, in a window of a desk and in one of a telephone. Look at them before they go in.
"""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

_OUT = Path(__file__).parents[1] / "docs" / "img"
_WIDE, _NARROW = (1400, 1000), (390, 844)
_COLOURS = 128  # a tenth of the bytes, and no difference to be seen
_SHOTS = (
    ("report_top", "demo/report.html", "", _WIDE, False),
    ("report_latents", "demo/report.html", "#atoms", _WIDE, False),
    ("explorer_latents", "explore-demo/texts/index.html", "#latents", _WIDE, True),
    ("explorer_latent", "explore-demo/digits/index.html", "#latent=7", _WIDE, False),
    ("explorer_text", "explore-demo/texts/index.html", "#latent=588", _WIDE, False),
    ("explorer_several", "explore-demo/several/index.html", "#row=17", _WIDE, False),
    ("explorer_map", "explore-demo/digits/index.html", "#map&of=rows", _WIDE, False),
    ("explorer_narrow", "explore-demo/digits/index.html", "#latent=7", _NARROW, True),
)


def main() -> None:
    """Write every picture whose page there is."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("There is no chromium on the PATH to open pages in; apt-get install chromium.")
    with sync_playwright() as playwright:
        # A container's root has no sandbox.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        for name, page, hash, size, dark in _SHOTS:
            if Path(page).is_file():
                _write(_OUT / f"{name}.png", _shot(browser, Path(page), hash, size, dark))
                print(name)
        browser.close()


def _shot(browser: Browser, path: Path, hash: str, size: tuple[int, int], dark: bool) -> bytes:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", device_scale_factor=1
    )
    page.goto(path.resolve().as_uri() + hash)
    page.wait_for_timeout(1500)  # shards arrive one after another
    picture = page.screenshot()
    page.close()
    return picture


def _write(path: Path, picture: bytes) -> None:
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()

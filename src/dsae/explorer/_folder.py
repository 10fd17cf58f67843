"""The folder of an explorer, or its one file, written beside what it replaces."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dsae.explorer._shards import call, encoded

LARGEST_SINGLE = 20_000_000
"""Bytes of a single file: what browsers open at once, and mail programs still take."""

_MARK = b'<meta name="generator" content="dsae explorer">'
_HEAD = 4096  # bytes of a page in which the mark stands


class Target:
    """Where the shards of an explorer go; a folder appears when all of them are there.

    Parameters
    ----------
    folder : str or Path
        An explorer there is replaced, anything else refused.
    single : bool
        Whether the shards stand inside the page.

    Raises
    ------
    ValueError
        If something that is not an explorer is in the way.
    """

    def __init__(self, folder: str | Path, single: bool) -> None:
        self.path, self.single = Path(folder), single
        place = Path(os.path.abspath(folder))
        if place in (Path.cwd(), *Path.cwd().parents):
            raise ValueError(
                f"[explore] {folder} must be a folder of its own, which is replaced as a whole; name another."
            )
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir()) and not _is_explorer(self.path)):
            raise ValueError(f"[explore] {self.path} must be a new folder or an explorer; it holds something else.")
        self._size = 0
        self.shards: dict[str, str] = {}
        self._partial = place.with_name(f".{place.name}.partial-{os.getpid()}")
        self._earlier = place.with_name(f".{place.name}.earlier-{os.getpid()}")

    def __enter__(self) -> Target:
        try:
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise OSError(
                f"[explore] {self.path} cannot be written: {error.strerror}. Choose a writable folder."
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self.path.exists():
                os.replace(self.path, self._earlier)
            os.replace(self._partial, self.path)
            shutil.rmtree(self._earlier, ignore_errors=True)
        else:
            shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Add a shard.

        Raises
        ------
        ValueError
            If a single file would become too large.
        """
        if not self.single:
            file = self._partial.joinpath("data", *f"{name}.js".split("/"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(call(name, content), "ascii")
            return
        text = encoded(content)
        self._size += len(text)
        self.shards[name] = text
        if self._size > LARGEST_SINGLE:
            raise ValueError(
                f"[explore] A single file must stay below {LARGEST_SINGLE // 10**6} MB; this one is larger. Leave "
                f"single out (on the command line --single): the folder {self.path} opens by double click, too."
            )

    def script(self, name: str, text: str) -> None:
        """Write a script of the page beside the shards."""
        file = self._partial / "data" / f"{name}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def page(self, html: str) -> None:
        """Write the page."""
        (self._partial / "index.html").write_text(html, encoding="utf-8")


def _is_explorer(path: Path) -> bool:
    """Whether nothing is in a folder but what `Target` writes: a page with the mark of its template, and scripts."""
    page, data = path / "index.html", path / "data"
    if not page.is_file() or not {entry.name for entry in path.iterdir()} <= {"index.html", "data"}:
        return False
    with page.open("rb") as file:
        if _MARK not in file.read(_HEAD):
            return False
    return all(entry.is_dir() or entry.suffix == ".js" for entry in data.rglob("*")) if data.exists() else True

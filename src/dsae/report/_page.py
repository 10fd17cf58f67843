"""Templates of this package on the pages of `dsae.pages`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from dsae import pages
from dsae.report._png import data_uri

_SUFFIX = ".html.j2"


def page(name: str, title: str, **values: Any) -> str:
    """A page, or a fragment of one, by the template ``name``; the script draws charts from the numbers in it."""
    return pages.render(
        name + _SUFFIX,
        title=title,
        scripts=("charts", "report"),
        loader=_templates(),
        png=lambda picture: data_uri(picture["pixels"], picture["palette"]),
        placed=_placed,
        number=pages.number,
        percent=pages.percent,
        **values,
    )


@cache
def _templates() -> dict[str, str]:
    return dict(_read(files("dsae.report").joinpath("templates"), ""))


def _read(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _read(item, f"{path}{item.name}/")
        elif item.name.endswith(_SUFFIX):
            yield path + item.name, item.read_text(encoding="utf-8")


def _placed(items: Sequence[dict[str, Any]], signed: bool, top: float | None) -> Iterator[tuple[Any, str, str]]:
    """Each item with where its bar begins and how long it is, in per cent."""
    top = top or max((abs(item["value"] or 0) for item in items), default=0) or 1
    for item in items:
        value = item["value"] or 0
        width = abs(value) / top * (50 if signed else 100)
        left = 50 - width if signed and value < 0 else 50 if signed else 0
        yield item, f"{left:.1f}", f"{width:.1f}"

"""Templates filled with text, and all that a page needs put inside it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from dsae.pages import _text

# What a page may do. Scripts and style inside it are named by their hashes, so that none that a name or a text brought
# along runs. Nothing may be asked of a network.
CSP = (
    "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data: blob:; "
    "media-src data: blob:; base-uri 'none'; form-action 'none'"
)
_FIRST = ("vendor/preact-htm", "text")
_START = ("charts", "canvas", "explorer/data", "explorer/state", "explorer/parts", "explorer/latents")
_VIEWS = ("decode", "latent", "row", "compare", "map", "health")


def render(
    template: str,
    *,
    title: str,
    scripts: Sequence[str] = (),
    data: Any = None,
    shards: Mapping[str, str] | None = None,
    loader: Mapping[str, str] | None = None,
    beside: bool = False,
    styled: bool = True,
    **values: Any,
) -> str:
    """A page as one HTML text.

    Parameters
    ----------
    template : str
        Name of a file in ``pages/templates``, or a key of ``loader``.
    title : str
        Of the window.
    scripts : sequence of str
        Names of scripts in ``pages/static``, in the order in which they run.
    data : object, optional
        Numbers, strings, lists and dicts for JSON, which the scripts find as ``dsae.data``. Not finite numbers must
        be None.
    shards : mapping of str to str, optional
        Shards that stand inside the page instead of beside it: base64 of gzip by name.
    loader : mapping of str to str, optional
        Further templates by name, which may extend those of this package.
    beside : bool
        Whether scripts that lie beside the page may run, too: shards are such.
    styled : bool
        Whether elements of the template have a style of their own. Scripts may set one in either case.
    **values : object
        For the template.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If ``data`` holds what JSON has not, or a shard is not base64.
    """
    texts = [_script(name) for name in (*_FIRST, *scripts)] if scripts else []
    # A folder is its own origin also under file://.
    allowed = ["'self'"] if beside else []
    allowed += [_hashed(text) for text in texts]
    style = _flush(_read("static/style.css"))
    policy = CSP.format(scripts=" ".join(allowed) or "'none'", styles="'unsafe-inline'" if styled else _hashed(style))
    page = _environment(tuple((loader or {}).items())).get_template(template)
    made = page.render(
        title=title,
        policy=policy,
        style=Markup(style),
        scripts=[Markup(text) for text in texts],
        data=None if data is None else _json(data),
        shards={name: _base64(name, text) for name, text in (shards or {}).items()},
        **values,
    )
    return made.encode("utf-8", "replace").decode("utf-8")  # a name may hold half a character


def explorer_page(title: str, shards: Mapping[str, str] | None = None, *, apart: bool = False) -> str:
    """The page of an explorer, whose data lie beside it in ``data/`` (`docs/design/explorer.md`) or stand inside it.

    Parameters
    ----------
    title : str
    shards : mapping of str to str, optional
        All of the data as base64 of gzip by name (``index``, ``latents/0``); by default they are loaded from files.
    apart : bool
        Whether the page holds the scripts of its start alone, and loads `explorer_views` as ``data/views.js``.
    """
    views = () if apart else tuple(f"explorer/{name}" for name in _VIEWS)
    scripts = (*_START, *views, "explorer/app")
    beside = shards is None
    return render("explorer.html.j2", title=title, scripts=scripts, shards=shards, beside=beside, styled=False)


def explorer_views() -> str:
    """The scripts that a start page of its own does without, to be written to ``data/views.js``."""
    return "".join(_script(f"explorer/{name}") for name in _VIEWS)


@cache
def _environment(more: tuple[tuple[str, str], ...]) -> Environment:
    given = dict(more)
    environment = Environment(
        loader=FunctionLoader(lambda name: given.get(name) or _read(f"templates/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    forms = {name: getattr(_text, name) for name in ("number", "percent", "size", "factor")}
    environment.filters.update(forms)
    return environment


@cache
def _read(name: str) -> str:
    return files("dsae.pages").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _script(name: str) -> str:
    text = _read(f"{name}.js" if name.startswith("vendor/") else f"static/{name}.js")
    # Either would end the script element, or hide its end.
    if "</script" in text or "<!--" in text:
        raise ValueError(
            f"[render] {name}.js cannot stand inside a page: it holds '</script' or '<!--'. Split the text."
        )
    return _flush(text)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _flush(text: str) -> str:
    """Without indentation, a tenth of what a page of scripts weighs."""
    return re.sub(r"\n +", "\n", text)


def _json(data: Any) -> Markup:
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"[render] data must be numbers, strings, lists and dicts that JSON has; got {error}. Write None for what "
            "is not finite."
        ) from None
    return Markup(text.replace("<", "\\u003c"))  # no "</script>" inside a string


def _base64(name: str, text: str) -> Markup:
    if not set(text) <= _ALPHABET:
        raise ValueError(f"[render] A shard must be base64; {name} holds other characters.")
    return Markup(text)


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")

"""Numbers as a reader wants them, and HTML that no name can break."""

from __future__ import annotations

import math
from html import escape
from typing import Any


def number(value: Any) -> str:
    """Three significant digits, thousands set apart, a dash for nothing.

    Examples
    --------
    >>> number(1234567), number(0.012345), number(None), number(3.0)
    ('1,234,567', '0.0123', '–', '3')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.1e}"


def percent(share: float | None) -> str:
    """A share of 1 in per cent."""
    return "–" if share is None else f"{100 * share:.3g} %"


def size(n_bytes: float | None) -> str:
    """Bytes in the unit that suits them.

    Examples
    --------
    >>> size(999), size(123456)
    ('999 B', '123 kB')
    """
    if n_bytes is None:
        return "–"
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= power:
            return f"{n_bytes / power:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def times(ratio: float | None, more: str, less: str) -> str:
    """A ratio as a factor above 1 and the word for its direction.

    Examples
    --------
    >>> times(4.0, "larger", "smaller"), times(0.25, "larger", "smaller")
    ('4 × larger', '4 × smaller')
    """
    if not ratio or not math.isfinite(ratio):
        return "–"
    return f"{ratio:.3g} × {more}" if ratio >= 1 else f"{1 / ratio:.3g} × {less}"


def tag(name: str, *children: str, **attributes: Any) -> str:
    """An element; children are HTML, attributes are escaped (``style_`` and ``class_`` lose their underscore)."""
    given = "".join(f' {key.rstrip("_")}="{escape(str(value))}"' for key, value in attributes.items())
    return f"<{name}{given}>{''.join(children)}</{name}>"

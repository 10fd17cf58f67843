"""Numbers as text, as `text.js` writes them."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

DASH, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def number(value: Any) -> str:
    """Three significant digits with thousands separators; a dash for no value.

    Examples
    --------
    >>> number(1234567), number(0.012345), number(None), number(3.0)
    ('1,234,567', '0.0123', '\N{EN DASH}', '3')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 1000:
        return f"{Decimal(value).to_integral_value(ROUND_HALF_UP):,}"
    return f"{_to(3, value):.3g}" if value == 0 or abs(value) >= 1e-4 else f"{_to(2, value):.1e}"


def _to(digits: int, value: float) -> float:
    """Rounded as browsers do: halves, which formats of Python make even, away from zero."""
    return float(Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(value))


def percent(share: float | None) -> str:
    """A share of 1 in per cent."""
    return DASH if share is None or not math.isfinite(share) else f"{number(100 * share)} %"


def size(n_bytes: float | None) -> str:
    """Bytes in a suitable unit.

    Examples
    --------
    >>> size(999), size(123456)
    ('999 B', '123 kB')
    """
    if n_bytes is None:
        return DASH
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= power:
            return f"{_to(3, n_bytes / power):.3g} {unit}"
    return f"{math.floor(n_bytes + 0.5)} B"


def factor(ratio: float | None) -> str:
    """A ratio as a factor of at least 1: its inverse if it is below 1.

    Examples
    --------
    >>> factor(4.0), factor(0.25)
    ('4 \N{MULTIPLICATION SIGN}', '4 \N{MULTIPLICATION SIGN}')
    """
    if not ratio or not math.isfinite(ratio):
        return DASH
    return f"{number(max(ratio, 1 / ratio))} {TIMES}"

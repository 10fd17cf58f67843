"""Charts as inline SVG; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from dsae.report._text import number

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34  # pixels, for labels of the axes


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover ``[low, high]``.

    Examples
    --------
    >>> ticks(0, 9)
    [0, 2, 4, 6, 8]
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(math.log(m * power / raw)))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in ``[low, high]``, or 1-2-5 steps where there are fewer than two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**p for p in powers if low <= 10.0**p <= high]
    if len(tens) > 1:
        return tens
    return [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high] or [low]


def line_chart(
    series: Sequence[dict[str, Any]],
    *,
    x_label: str,
    log: bool = False,
    from_zero: bool = False,
    marks: Sequence[dict[str, Any]] = (),
    form: Callable[[float], str] = number,
    size: tuple[int, int] = (560, 250),
) -> str:
    """Lines over a common axis.

    Parameters
    ----------
    series : sequence of dict
        ``name``, ``x``, ``y`` (None where there is nothing) and ``style``, a class of the page's style sheet.
    x_label : str
    log : bool
        Whether y is on a logarithmic scale; values must then be positive.
    from_zero : bool
    marks : sequence of dict
        Vertical lines: ``x`` and ``name``.
    form : callable
        From a number to its label.
    size : tuple of int
    """
    points = [(x, y) for s in series for x, y in zip(s["x"], s["y"], strict=True) if y is not None]
    if not points:
        return ""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    low, high = (min(0.0, *ys) if from_zero else min(ys)), max(ys)
    low, high = _room(low, high, log)
    place = _scale(min(xs), max(xs), _LEFT, size[0] - _RIGHT), _scale(low, high, size[1] - _BOTTOM, _TOP, log)
    parts = _axes(place, (min(xs), max(xs)), log_ticks(low, high) if log else ticks(low, high), form, size, x_label)
    for i, mark in enumerate(marks):
        x, late = place[0](mark["x"]), place[0](mark["x"]) > 0.7 * size[0]
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{size[1] - _BOTTOM}"/>')
        place_text = f'class="tick end" x="{x - 4:.1f}"' if late else f'class="tick" x="{x + 4:.1f}"'
        parts.append(f'<text {place_text} y="{_TOP + 9 + 14 * (i % 4)}">{escape(mark["name"])}</text>')
    for s in series:
        at = [(place[0](x), place[1](y)) for x, y in zip(s["x"], s["y"], strict=True) if y is not None]
        if len(at) == 1:
            parts.append(f'<circle class="dot {s["style"]}" cx="{at[0][0]:.1f}" cy="{at[0][1]:.1f}" r="3.5"/>')
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            parts.append(f'<polyline class="line {s["style"]}" points="{path}"/>')
    return _svg(parts, size)


def _room(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        return low / 1.1, high * 1.1
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    return (low if low == 0 else low - margin), high + margin


def _scale(low: float, high: float, start: float, end: float, log: bool = False) -> Callable[[float], float]:
    of = math.log if log else float
    span = (of(high) - of(low)) or 1.0
    shift = 0.5 if high == low else 0.0
    return lambda value: start + (end - start) * ((of(value) - of(low)) / span + shift)


def _axes(place, x_range, y_ticks, form, size, x_label) -> list[str]:
    bottom, right = size[1] - _BOTTOM, size[0] - _RIGHT
    parts = []
    for value in y_ticks:
        y = place[1](value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 6}" y="{y + 3.5:.1f}">{escape(form(value))}</text>')
    for value in ticks(*x_range, count=6):
        if value == int(value):
            text = f'<text class="tick mid" x="{place[0](value):.1f}" y="{bottom + 15}">{int(value)}</text>'
            parts.append(text)
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="tick end" x="{right}" y="{size[1] - 4}">{escape(x_label)}</text>')
    return parts


def histogram(counts: Sequence[float], size: tuple[int, int] = (132, 46), zero: float | None = None) -> str:
    """Bars from left to right without axes; ``zero`` in 0..1 marks where the value 0 lies."""
    top = max(counts, default=0) or 1
    width = size[0] / max(len(counts), 1)
    parts = [
        f'<rect class="bar" x="{i * width:.2f}" y="{size[1] * (1 - c / top):.2f}" '
        f'width="{max(width - 0.6, 0.4):.2f}" height="{size[1] * c / top:.2f}"/>'
        for i, c in enumerate(counts)
        if c > 0
    ]
    if zero is not None and 0 <= zero <= 1:
        x = zero * size[0]
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{size[1]}"/>')
    parts.append(f'<line class="axis" x1="0" x2="{size[0]}" y1="{size[1]}" y2="{size[1]}"/>')
    return _svg(parts, size)


def hourglass(widths: Sequence[int], densities: Sequence[float], code: int) -> str:
    """The network from input to output: a bar per layer of units, a band per layer of weights, fainter when sparser."""
    size = (560, 190)
    step = (size[0] - 70) / max(len(widths) - 1, 1)
    heights = [18 + 112 * math.log(w + 1) / math.log(max(widths) + 1) for w in widths]
    parts = []
    for i, density in enumerate(densities):
        x0, x1 = 35 + i * step, 35 + (i + 1) * step
        h0, h1 = heights[i] / 2, heights[i + 1] / 2
        band = f"{x0:.1f},{80 - h0:.1f} {x1:.1f},{80 - h1:.1f} {x1:.1f},{80 + h1:.1f} {x0:.1f},{80 + h0:.1f}"
        parts.append(f'<polygon class="band" points="{band}" fill-opacity="{0.08 + 0.6 * density**0.5:.3f}"/>')
        parts.append(f'<text class="tick mid" x="{(x0 + x1) / 2:.1f}" y="184">{_percent(density)}</text>')
    for i, (width, height) in enumerate(zip(widths, heights, strict=True)):
        x, style = 35 + i * step, "unit code" if i == code else "unit"
        parts.append(
            f'<rect class="{style}" x="{x - 4:.1f}" y="{80 - height / 2:.1f}" width="8" height="{height:.1f}" rx="3"/>'
        )
        parts.append(f'<text class="width mid" x="{x:.1f}" y="163">{width}</text>')
    return _svg(parts, size)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _svg(parts: Sequence[str], size: tuple[int, int]) -> str:
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img">{"".join(parts)}</svg>'

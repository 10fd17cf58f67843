"""Validators whose errors name the setting, what was expected and what was given."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import pairwise
from numbers import Real
from typing import Any


def one_of(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse a ``value`` that is not among ``choices``, naming all of them and the nearest."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.{did_you_mean(value, choices)}")


def choice(default: str, choices: Iterable[str] | Callable[[], Iterable[str]]) -> Any:
    """A field of a configuration that takes one of ``choices``; a function is called at every check."""
    return dataclasses.field(default=default, metadata={"choices": choices})


def choices_of(config: Any) -> dict[str, tuple[str, ...]]:
    """The allowed values of each `choice` field of a configuration, by name."""
    given: dict[str, Any] = {f.name: f.metadata.get("choices") for f in dataclasses.fields(config)}
    asked: dict[str, Any] = {name: c() if callable(c) else c for name, c in given.items() if c is not None}
    return {name: tuple(choices) for name, choices in asked.items()}


def check_choices(config: Any) -> None:
    """Refuse a configuration with a `choice` field that has none of its allowed values."""
    for name, choices in choices_of(config).items():
        one_of(name, getattr(config, name), choices)


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names in a sentence: ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def did_you_mean(given: Any, known: Iterable[str]) -> str:
    """`` Did you mean 'relu'?`` if one of ``known`` is similar, else an empty string."""
    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(given).lower(), by_lower_case, 1)
    return f" Did you mean {by_lower_case[near[0]]!r}?" if near else ""


def true_or_false(name: str, value: Any) -> None:
    """Refuse anything but True and False: the string ``"no"`` would count as true."""
    if isinstance(value, str) or value not in (True, False):
        raise ValueError(f"{name} must be True or False; got {value!r}.")


def whole_number(name: str, value: Any, below: int) -> int:
    """``value``, which must be a whole number in ``0..below - 1``, read from an untrusted file."""
    if type(value) is not int or not 0 <= value < below:  # True is an int, too
        raise ValueError(f"{name} must be a whole number in 0..{below - 1}; got {value!r}.")
    return value


def in_range(
    name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Refuse a number outside ``[low, high]``, open at either end with ``open_low`` and ``open_high``."""
    usable = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    number = float(value) if usable else math.nan
    if not (low < number if open_low else low <= number) or not (number < high if open_high else number <= high):
        left = "(" if open_low else "["
        right = "inf)" if high == math.inf else f"{high:g}{')' if open_high else ']'}"
        raise ValueError(f"{name} must be a number in {left}{low:g}, {right}; got {value!r}.")


BLOCK_SIZES = (1, 4, 8)  # what the kernels are compiled for


def valid_block_size(value: Any) -> int:
    """``value``, which must be the size of a block that the kernels know."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value not in BLOCK_SIZES:
        raise ValueError(f"block_size must be one of {listed(map(str, BLOCK_SIZES))}; got {value!r}.")
    return int(value)


def positive_int(name: str, value: Any) -> None:
    """Refuse anything but a whole number of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")


def rising_widths(name: str, value: Any) -> tuple[int, ...]:
    """``value``, which must be widths of which each is above the one before; None is none."""
    if value is None:
        return ()
    widths = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for width in widths:
        positive_int(f"every width in {name}", width)
    if any(width >= wider for width, wider in pairwise(widths)):
        raise ValueError(f"{name} must hold widths that rise, such as (64, 192, 512); got {value!r}.")
    return tuple(int(width) for width in widths)


def known_keys(what: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Refuse unknown keys, suggesting the nearest known one."""
    for key in given:
        if key not in allowed:
            hint = did_you_mean(key, allowed) or f" Known: {', '.join(allowed)}."
            raise ValueError(f"{what} has no setting {key!r}.{hint}")

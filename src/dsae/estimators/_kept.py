"""Parameters of an estimator as its folder keeps them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from dsae.config import did_you_mean

GIVEN = "given"
"""Where a model folder keeps them among what it tells of training."""

# Where a fit reads and writes, and who takes part, is for the one who runs it to say, not for the folder of a model.
_NOT_KEPT = ("init", "checkpoint", "distributed")


def kept(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they were given, as JSON can hold them.

    Left out are ``init``, ``checkpoint`` and ``distributed``, and objects that are no numbers, texts, sequences or
    mappings of these, such as a random generator.

    Examples
    --------
    >>> kept({"mask": (0, 0), "k": np.int64(3), "random_state": np.random.RandomState(0), "init": "folder"})
    {'mask': [0, 0], 'k': 3}
    """
    found = {}
    for name, value in parameters.items():
        if name not in _NOT_KEPT:
            try:
                found[name] = _plain(value)
            except TypeError:
                continue
    return found


def given_back(kind: type, content: Any) -> dict[str, Any]:
    """The parameters of an estimator that `kept` has made; sequences are tuples.

    Raises
    ------
    ValueError
        If there are others.
    """
    known = [name for name in inspect.signature(kind.__init__).parameters if name != "self" and name not in _NOT_KEPT]
    if not isinstance(content, dict):
        raise ValueError(f"The parameters of a {kind.__name__} must be a mapping; got {type(content).__name__}.")
    for name in content:
        if name not in known:
            raise ValueError(f"{kind.__name__} has no parameter {name!r} to be kept.{did_you_mean(name, known)}")
    return {name: _tuples(value) for name, value in content.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    raise TypeError(f"{type(value).__name__} is not kept")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

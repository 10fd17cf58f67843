"""What rows have beside them: a target and weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsae.data._check import named
from dsae.data._errors import called
from dsae.data._rows import check_rows
from dsae.data._share import StreamShare
from dsae.data._source import ArraySource, Source
from dsae.data._stream import StreamSource


def with_beside(verb: str, source: Source, target: Any = None, weight: Any = None) -> Source:
    """A source whose rows have a target and weights.

    Parameters
    ----------
    verb : str
        Named in messages.
    source : Source
        Of `as_source`.
    target : array-like or scipy sparse, shape (n_samples, n_outputs), optional
        What is to be predicted from the rows, in place of the rows themselves.
    weight : array-like, shape (n_samples,), optional
        How much each row counts; at least 0, and not all 0.

    Raises
    ------
    ValueError
        If they are not as many as the rows, or not what they should be.
    TypeError
        If they are given beside a source of the user's own, whose rows need not have numbers that last.
    """
    if target is None and weight is None:
        return source
    if not isinstance(source, (ArraySource, StreamSource, StreamShare)):
        raise TypeError(
            f"[{verb}] Rows in memory or in files can be given a target and sample_weight; got {named(source)}. Let "
            "its batches be dsae.data.Batch, which holds both."
        )
    n = len(source)
    if target is not None:
        with called("target"):
            target = check_rows(verb, target, training=True, missing=None)  # NaN is refused with any setting
        if target.shape[0] != n:
            raise ValueError(
                f"[{verb}] target must have {n} rows, one for each row of X; got shape {target.shape}. Give both in "
                "the same order."
            )
    if weight is not None:
        weight = _checked_weight(verb, weight, n)
    return source.beside(target, weight)


def _checked_weight(verb: str, weight: Any, n: int) -> np.ndarray:
    try:
        found = np.ascontiguousarray(weight, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"[{verb}] sample_weight must hold numbers; got {type(weight).__name__}.") from None
    if found.shape != (n,):
        raise ValueError(
            f"[{verb}] sample_weight must have {n} numbers, one for each row of X; got shape {found.shape}."
        )
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError(f"[{verb}] sample_weight must hold finite numbers of at least 0; got {found.min()}.")
    if not found.any():
        raise ValueError(f"[{verb}] sample_weight must be above 0 for some row; got zeros alone.")
    return found

"""What passes over a source tell beside its own moments: those of its rows as they enter a network, and empty rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dsae.config import transformed
from dsae.data._batch import Batch, Rows
from dsae.data._put import filled, unknown
from dsae.data._share import StreamShare
from dsae.data._source import Source
from dsae.data._statistics import Statistics

_ROWS, _VALUES = 1024, 1 << 24  # at a time; any such numbers do


def entering_moments(
    source: Source, transform: str, total: float, by_total: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every feature after the input transform, float32; one pass, unless it is none.

    Parameters
    ----------
    source : Source
    transform : str
        A name in `dsae.config.TRANSFORMS`.
    total : float
        See `dsae.config.transformed`.
    by_total : bool
        Of what stands for values not known, see `dsae.data.filled`.
    """
    if transform == "none":
        return source.moments()
    found, mean = Statistics(source.n_features), source.moments()[0]
    for rows in _pieces(source):
        # As training has it: the mean stands for what is not known.
        found.update(Batch.of(transformed(filled(rows, mean, by_total), transform, total)))
    return (source.merged(found) if isinstance(source, StreamShare) else found).moments()


def count_empty(source: Source) -> int:
    """Rows that hold nothing but zeros, as far as something is known of them; one pass."""
    n = sum(int(((totals_of(rows) == 0) & (_n_unknown(rows) < rows.shape[1])).sum()) for rows in _pieces(source))
    return sum(source.gather(n)) if isinstance(source, StreamShare) else n


def _n_unknown(rows: Rows) -> np.ndarray:
    return np.bincount(unknown(rows)[0], minlength=rows.shape[0])


def totals_of(rows: Rows) -> np.ndarray:
    """Sum of the magnitudes of every row, as far as they are known, float64."""
    whole: Any = filled(rows, np.zeros(rows.shape[1], np.float32))
    return np.asarray(abs(whole).sum(axis=1, dtype=np.float64)).ravel()


def _pieces(source: Source) -> Iterator[Rows]:
    at_once = max(1, min(_ROWS, _VALUES // max(1, source.n_features)))
    return (batch.rows for batch in source.batches(at_once) if batch.n_rows)

"""Passes over the rows: two that gather statistics of latents and features, the first also errors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import Batch, ids_of
from dsae.explorer._given import Labels
from dsae.explorer._view import View
from dsae.interpret import Details, Summary, firing

_HELD = 1 << 25  # non-zeros of codes that are kept from the first pass for the others: 256 MiB
_CODES_AT_ONCE = 8192  # rows of codes alone

Told = Callable[[int, int], None]


@dataclass
class Chunk:
    """Some rows, and their codes.

    Attributes
    ----------
    start : int
        Number of the first row.
    batch : Batch or None
        None where only codes are known.
    codes : csr_matrix
        What is not zero.
    """

    start: int
    batch: Batch | None
    codes: Any

    @property
    def n(self) -> int:
        """How many rows."""
        return self.codes.shape[0]


class Stream:
    """Rows with their codes, as often as they are asked for; codes are kept where there is room.

    Parameters
    ----------
    view : View
    source : Source or None
    codes : iterable of csr_matrix, source of codes, or None
        Instead of rows: a source whose rows are codes.
    """

    def __init__(self, view: View, source: Any, codes: Any) -> None:
        self.view, self.source, self._of_codes = view, source, codes
        self._held: list[sp.csr_matrix] | None = [] if source is not None else None
        self._complete = False

    def __len__(self) -> int:
        return len(self.source if self.source is not None else self._of_codes)

    def chunks(self, wanted: Callable[[int, int], bool] | None = None) -> Iterator[Chunk]:
        """All rows in order.

        Parameters
        ----------
        wanted : callable, optional
            ``wanted(start, stop)`` says whether rows must be encoded; others are left out.
        """
        start = 0
        if self.source is None:
            for batch in self._of_codes.batches(_CODES_AT_ONCE):
                codes = firing(batch.rows if isinstance(batch, Batch) else batch)
                if codes.shape[0] and (wanted is None or wanted(start, start + codes.shape[0])):
                    yield Chunk(start, None, codes)
                start += codes.shape[0]
            return
        for i, batch in enumerate(self.source.batches(self.view.at_once)):
            if not batch.n_rows:
                continue
            stop = start + batch.n_rows
            if wanted is None or wanted(start, stop):
                yield Chunk(start, batch, self._coded(i, batch))
            start = stop
        self._complete = True

    def _coded(self, i: int, batch: Any) -> sp.csr_matrix:
        if self._held is not None and i < len(self._held):
            return self._held[i]
        codes = self.view.codes(batch)
        if self._held is not None and not self._complete:
            self._held.append(codes)
            if sum(held.nnz for held in self._held) > _HELD:
                self._held = None
        return codes


@dataclass
class Measured:
    """What the passes found.

    Attributes
    ----------
    summary : Summary
    details : Details
    n_rows : int
    mean, variance : ndarray of float64, shape (n_features,)
        Of the values that are known; NaN without rows.
    low, high : ndarray of float64, shape (n_features,)
    feature_errors, feature_squares : ndarray of float64, shape (n_features,)
        Mean over the values that are known of their errors, as `Runtime.reconstruction_error` has them, and of the
        squared differences.
    row_errors : ndarray of float32, shape (n_rows,)
        Mean error over the values that are known in a row.
    labels : Labels
    label_of : ndarray of int, shape (n_rows,), or None
    ids : list of str, or None
    fingerprint : str or None
        SHA-256 of the values, in order.
    """

    summary: Summary
    details: Any = None
    n_rows: int = 0
    mean: Any = None
    variance: Any = None
    low: Any = None
    high: Any = None
    feature_errors: Any = None
    feature_squares: Any = None
    row_errors: Any = None
    labels: Labels = field(default_factory=Labels)
    label_of: Any = None
    ids: Any = None
    fingerprint: str | None = None

    @property
    def fvu(self) -> float | None:
        """Unexplained share of the variance."""
        if self.mean is None:
            return None
        total = np.nansum(self.variance)
        return float(np.nansum(self.feature_squares) / total) if total > 0 else None


def measured(stream: Stream, labels: Any, ids: Any, n_examples: int, seed: int, told: Told) -> Measured:
    """Two passes over the rows.

    Parameters
    ----------
    stream : Stream
    labels, ids : sequence or None
        Of all rows; None takes those that come with them.
    n_examples : int
    seed : int
    told : callable
        Called with how many rows are done, and of how many.

    Returns
    -------
    Measured
    """
    view = stream.view
    found = Measured(Summary(view.n_latents, n_examples=n_examples, threshold=view.threshold), labels=Labels(labels))
    errors = _Errors(view) if stream.source is not None else None
    numbers: list[np.ndarray] = []
    names: list[Any] = []
    total = 2 * len(stream)
    for chunk in stream.chunks():
        batch = chunk.batch
        given = found.labels.of(chunk.start, chunk.n, None if batch is None else batch.labels)
        if given is not None:
            numbers.append(given.astype(np.int16))
        told_labels = None if given is None else np.where(given < 0, np.nan, given)
        found.summary.update(chunk.codes, np.arange(chunk.start, chunk.start + chunk.n), told_labels)
        if batch is not None and errors is not None:
            errors.update(batch, chunk.codes)
            if ids is None and batch.ids is not None:
                names.extend(str(one) for one in batch.ids)
        found.n_rows += chunk.n
        told(chunk.start + chunk.n, total)
    if not found.n_rows:
        raise ValueError("[explore] X must hold a row; it holds none.")
    if errors is not None:
        errors.result(found)
    found.label_of = np.concatenate(numbers) if numbers else None
    found.ids = ids if ids is not None else names or None
    found.details = Details(found.summary, seed=seed)
    for chunk in stream.chunks():
        found.details.update(chunk.codes, np.arange(chunk.start, chunk.start + chunk.n))
        told(found.n_rows + chunk.start + chunk.n, total)
    return found


def ids_given(X: Any, source: Any, ids: Any) -> Any:
    """Those given, or those that rows in memory have."""
    if ids is not None or source is None or not hasattr(source, "rows") or isinstance(source.rows, dict):
        return ids
    return ids_of(X, source)


class _Errors:
    """Moments of the features and errors of reconstruction, and what the values are."""

    def __init__(self, view: View) -> None:
        self._view, n = view, view.n_features
        self._sums, self._squares, self._errors, self._missed = (np.zeros(n) for _ in range(4))
        self._known = np.zeros(n, np.int64)
        self._low, self._high = np.full(n, np.inf), np.full(n, -np.inf)
        self._rows: list[np.ndarray] = []
        self._digests = [hashlib.sha256() for _ in range(3)]

    def update(self, batch: Any, codes: sp.csr_matrix) -> None:
        rows, known = self._view.rows(batch)
        self._hash(rows)
        x = np.asarray(rows.toarray() if sp.issparse(rows) else rows, np.float64)
        rebuilt = self._view.decode(codes, rows, known)
        there = np.broadcast_to(known, x.shape)
        x = np.where(there, x, 0.0)
        errors = self._view.errors(x, there, rebuilt)
        squared = errors if self._view.squared else np.where(there, np.square(x - rebuilt), 0.0)
        self._known += there.sum(axis=0)
        self._sums += x.sum(axis=0)
        self._squares += np.square(x).sum(axis=0)
        self._errors += errors.sum(axis=0)
        self._missed += squared.sum(axis=0)
        np.minimum(self._low, np.where(there, x, np.inf).min(axis=0), out=self._low)
        np.maximum(self._high, np.where(there, x, -np.inf).max(axis=0), out=self._high)
        n_known = np.maximum(there.sum(axis=1), 1)
        self._rows.append((errors.sum(axis=1) / n_known).astype(np.float32))

    def _hash(self, rows: Any) -> None:
        if sp.issparse(rows):
            pieces = (rows.data, rows.indices.astype(np.int64), np.diff(rows.indptr).astype(np.int64))
        else:
            pieces = (np.ascontiguousarray(rows, np.float32),)
        for digest, piece in zip(self._digests, pieces, strict=False):
            digest.update(np.ascontiguousarray(piece).tobytes())

    def result(self, found: Measured) -> None:
        n = np.where(self._known > 0, self._known, np.nan)
        found.mean = self._sums / n
        found.variance = np.maximum(self._squares / n - np.square(found.mean), 0.0)
        found.feature_errors, found.feature_squares = self._errors / n, self._missed / n
        found.low, found.high = (np.where(self._known > 0, v, np.nan) for v in (self._low, self._high))
        found.row_errors = np.concatenate(self._rows)
        whole = hashlib.sha256(b"".join(digest.digest() for digest in self._digests))
        found.fingerprint = whole.hexdigest()

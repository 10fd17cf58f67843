"""Rows that are stored: which, and what of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import Batch, stacked
from dsae.explorer._collect import Measured, Stream
from dsae.explorer._effects import effects
from dsae.explorer._folder import Target
from dsae.explorer._latents import READS as _READS
from dsae.explorer._latents import best_of
from dsae.explorer._media import Media
from dsae.explorer._shards import lists
from dsae.explorer._view import View
from dsae.interpret import sampled

PER_SHARD = 128
_WORST = 12
_CHECKED = 512  # rows on which what is said is tried
# Latents of a row that are listed: what a reader looks through; of few rows more, so that codes without zeros can be
# decoded in the page.
_MOST_ON, _WHOLE_ON, _ENTRIES = 64, 128, 1_000_000
_MOST_X, _WIDE, _FEW_X = 256, 1024, 64  # values of a row; of dense wide rows fewer, which say little one by one
_ALL_X = 500_000  # values of all rows, from which on they are cut
# The same where the page decodes through layers: it knows errors without several latents only of whole rows. The rows
# of texts that have more words than 1024 are few; 2,000,000 values are 8 MB.
_MOST_DEEP, _ALL_DEEP = 1024, 2_000_000
_SHOWN = 16
_PARTS = 3  # inputs of each latent of a row
_TEXT_BYTES = 8_000_000  # of all texts, which gzip and base64 bring to about two thirds
_SHORTEST_TEXT = 200


def chosen_rows(found: Measured, n: int, seed: int) -> np.ndarray:
    """Numbers of the rows to store, ascending: all, or examples, a random quarter and the worst.

    Parameters
    ----------
    found : Measured
    n : int
        At most.
    seed : int

    Returns
    -------
    ndarray of int64
    """
    total = found.n_rows
    if total <= n:
        return np.arange(total)
    drawn = np.flatnonzero(sampled(np.arange(total), total, max(1, n // 4), seed))[: max(1, n // 2)]
    kept = [worst_rows(found), drawn]
    kept.extend(by_rank(found))
    order, first = np.unique(np.concatenate(kept), return_index=True)
    return np.sort(order[np.argsort(first, kind="stable")[:n]])


def worst_rows(found: Measured) -> np.ndarray:
    """Rows with the largest errors, the largest first."""
    if found.row_errors is None:
        return np.zeros(0, np.int64)
    return np.argsort(-found.row_errors, kind="stable")[:_WORST]


def by_rank(found: Measured) -> list[np.ndarray]:
    """Strongest rows of all latents, the first of each before the second of any; then those of the quantiles."""
    ranked = []
    for examples in (found.summary.strongest, found.details.quantiles):
        for rank in range(examples.rows.shape[1]):
            rows = examples.rows[:, rank]
            ranked.append(rows[rows >= 0])
    return ranked


class StoredRows:
    """Writes the shards of rows, those of sounds beside them.

    Parameters
    ----------
    view : View
    target : Target
    found : Measured
    rows : ndarray of int64
        Which to store, ascending.
    norms : ndarray of float64, shape (n_latents,)
        Of the atoms.
    spread : ndarray of float64, shape (n_features,)
        Variances, by which features are compared.
    texts : sequence of str, optional
    media : Media
    whole : bool
        Whether the page has use for whole rows.
    """

    def __init__(
        self,
        view: View,
        target: Target,
        found: Measured,
        rows: np.ndarray,
        norms: np.ndarray,
        spread: np.ndarray,
        texts: Any,
        media: Media,
        *,
        whole: bool,
    ) -> None:
        self._view, self._target, self._found, self._rows = view, target, found, rows
        self._norms, self._spread, self._texts, self._media = norms, np.sqrt(spread), texts, media
        self._longest, self._whole = self._text_limit(), whole
        self._most_on = max(_MOST_ON, min(_WHOLE_ON, _ENTRIES // max(1, rows.size)))
        self.ids: list[str] = []
        self.n_cut = 0
        self.gap = 0.0
        self.codes: list[sp.csr_matrix] = []
        self._checked: list[tuple[Any, Any]] = []
        self._shard = 0

    def checked(self) -> tuple[Any, sp.csr_matrix]:
        """Some rows of which everything is known, or None, and their codes."""
        if not self._checked:
            return None, sp.csr_matrix(sp.vstack(self.codes, format="csr"))[:_CHECKED]
        rows, codes = zip(*self._checked, strict=True)
        return stacked(rows), stacked(codes)

    @property
    def longest(self) -> int | None:
        """Characters after which texts are cut."""
        return self._longest

    def write(self, stream: Stream, told: Callable[[int, int], None]) -> None:
        """Read the rows once more and write those chosen."""
        waiting: list[tuple[Any, sp.csr_matrix]] = []
        n_waiting = 0

        def wanted(start: int, stop: int) -> bool:
            return bool(np.searchsorted(self._rows, stop) > np.searchsorted(self._rows, start))

        for chunk in stream.chunks(wanted):
            here = self._rows[(self._rows >= chunk.start) & (self._rows < chunk.start + chunk.n)] - chunk.start
            batch = None if chunk.batch is None else chunk.batch[here]
            waiting.append((batch, chunk.codes[here]))
            n_waiting += here.size
            while n_waiting >= PER_SHARD:
                waiting = self._flush(waiting, PER_SHARD)
                n_waiting -= PER_SHARD
            told(chunk.start + chunk.n, len(stream))
        if n_waiting:
            self._flush(waiting, n_waiting)
        self._media.finish()

    def _flush(self, waiting: list[tuple[Any, sp.csr_matrix]], n: int) -> list[tuple[Any, sp.csr_matrix]]:
        codes: Any = sp.vstack([codes for _, codes in waiting], format="csr")
        batches = [batch for batch, _ in waiting]
        batch = None if batches[0] is None else Batch.stack([with_presence(one, batches) for one in batches])
        self._write(batch if batch is None else batch[:n], codes[:n])
        rest = codes[n:]
        return [(None if batch is None else batch[n:], rest)] if rest.shape[0] else []

    def _write(self, batch: Any, codes: Any) -> None:
        first, n = self._shard * PER_SHARD, codes.shape[0]
        numbers = self._rows[first : first + n]
        content: dict[str, Any] = {"first": first, "n": n, "row": numbers} | self._named(numbers)
        content["n_on"] = self._view.n_on(codes)
        if self._view.threshold:
            content["n_code"] = np.diff(codes.indptr)
        self.codes.append(codes)
        if batch is None:
            content["code"] = self._code(codes)
        else:
            content |= self._measured(batch, codes, first)
        self._target.write(f"rows/{self._shard}", content)
        self._shard += 1

    def _measured(self, batch: Any, codes: Any, first: int) -> dict[str, Any]:
        view = self._view
        rows, known = view.rows(batch)
        rebuilt = view.decode(codes, rows, known).astype(np.float64)
        x = np.asarray(rows.toarray() if sp.issparse(rows) else rows, np.float64)
        known = np.broadcast_to(known, x.shape)
        if sum(some.shape[0] for _, some in self._checked) < _CHECKED and (whole := known.all(axis=1)).any():
            self._checked.append((rows[whole], codes[whole]))
        errors, n_known = view.errors(x, known, rebuilt), known.sum(axis=1)
        told = effects(view, codes, self._strongest(codes), rows, x, known, rebuilt)
        order = told.order
        self.gap = max(self.gap, told.gap)
        content: dict[str, Any] = {
            "code": self._code(codes, order)
            | {"drop": told.drop, "off": told.off}
            | self._parts(codes, order, rows, known),
            "start": told.start,
            "error": errors.sum(axis=1) / np.maximum(n_known, 1),
            "n_known": n_known,
            "shown": self._shown(x, known, rebuilt, errors),
        } | self._values(rows, x, known)
        totals = view.totals(rows, known)
        if totals is not None:
            content["total"] = totals
        if view.joint:
            lacking = view.present(batch)
            there = [lacking.get(name, np.ones(batch.n_rows, bool)) for name in view.models]
            content["present"] = np.stack(there, axis=1).astype(np.uint8)
        pictures = self._media.pictures(x, rebuilt, known)
        if pictures:
            content["pictures"] = pictures
        self._media.sounds(first, x, rebuilt, known)
        return content

    def _named(self, numbers: np.ndarray) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._found.ids is not None:
            found["id"] = [str(self._found.ids[row]) for row in numbers]
            self.ids += found["id"]
        found |= self._labelled(numbers)
        if self._texts is not None:
            texts = [self._texts[int(row)] for row in numbers]
            whole = [None if text is None else str(text) for text in texts]
            found["text"] = [None if text is None else text[: self._longest] for text in whole]
            found["length"] = np.array([0 if text is None else len(text) for text in whole])
            self.n_cut += sum(text is not None and len(text) > self._longest for text in whole)  # type: ignore[operator]
        return found

    def _labelled(self, numbers: np.ndarray) -> dict[str, Any]:
        if self._found.label_of is None:
            return {}
        labels = self._found.label_of[numbers].astype(np.int64)
        return {"label": np.where(labels < 0, len(self._found.labels.names()), labels)}

    def known(self) -> dict[str, Any]:
        """Of every stored row what the map of rows is coloured by."""
        errors = self._found.row_errors
        return self._labelled(self._rows) | ({} if errors is None else {"error": errors[self._rows]})

    def _strongest(self, codes: sp.csr_matrix) -> list[np.ndarray]:
        """Places in ``codes.data`` of each row's latents by |z| |D|, the strongest first, as many as are listed."""
        size = np.abs(codes.data.astype(np.float64)) * self._norms[codes.indices]
        found = []
        for start, stop in zip(codes.indptr, codes.indptr[1:], strict=False):
            found.append(start + np.argsort(-size[start:stop], kind="stable")[: self._most_on])
        return found

    def _code(self, codes: sp.csr_matrix, order: list[np.ndarray] | None = None) -> dict[str, Any]:
        order = self._strongest(codes) if order is None else order
        places = np.concatenate([*order, np.zeros(0, np.int64)]).astype(np.int64)
        entries = {"latent": codes.indices[places], "value": codes.data[places]}
        return lists([len(some) for some in order], **entries)

    def _parts(self, codes: Any, order: list[np.ndarray], rows: Any, known: np.ndarray) -> dict[str, Any]:
        """What the strongest inputs give to each latent that is on, where its reads are too many to be listed."""
        view = self._view
        if not view.exact_reads or not known.all() or view.encoder.nnz <= _READS * view.n_latents:
            return {}
        places = np.concatenate([*order, np.zeros(0, np.int64)]).astype(np.int64)
        of = np.repeat(np.arange(codes.shape[0]), [some.size for some in order])
        weights = view.encoder[codes.indices[places]]
        at = np.repeat(of, np.diff(weights.indptr)), weights.indices
        products = weights.data * (rows[at] if isinstance(rows, np.ndarray) else np.asarray(rows[at]).ravel())
        table = sp.csr_matrix((products, weights.indices, weights.indptr), shape=weights.shape)
        entries, features = best_of(table, _PARTS)
        values = np.asarray(table[entries, features]).ravel() if entries.size else np.zeros(0)
        return {"parts": lists(np.bincount(entries, minlength=places.size), feature=features, value=values)}

    def _values(self, rows: Any, x: np.ndarray, known: np.ndarray) -> dict[str, Any]:
        sparse, n = sp.issparse(rows), x.shape[0]
        few = _FEW_X if not sparse and x.shape[1] > _WIDE else _MOST_DEEP if sparse and self._whole else _MOST_X
        most = max(few, (_ALL_DEEP if self._whole else _ALL_X) // max(1, self._rows.size))
        features, values, counts, n_x = [], [], [], []
        for i in range(n):
            there = np.flatnonzero(np.where(known[i], x[i] != 0, True))
            if not known[i].any():
                there = there[:0]
            n_x.append(there.size)
            if there.size > most:
                size = np.abs(np.where(known[i, there], x[i, there], 0)) / self._spread[there]
                there = np.sort(there[np.argsort(-size, kind="stable")[:most]])
            features.append(there)
            values.append(np.where(known[i, there], x[i, there], np.nan))
            counts.append(there.size)
        entries = {"feature": np.concatenate(features), "value": np.concatenate(values)}
        return {"x": lists(counts, **entries), "n_x": np.array(n_x)}

    def _shown(self, x: np.ndarray, known: np.ndarray, rebuilt: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
        size = np.abs(np.where(known, x, 0)) / self._spread
        width = x.shape[1]
        joined = np.unique(np.concatenate([rows * width + at for rows, at in (best(errors), best(size))]))
        rows, at = joined // width, joined % width
        there = known[rows, at]
        rows, at = rows[there], at[there]
        order = np.lexsort((at, -errors[rows, at], rows))
        places = rows[order], at[order]
        counts = np.bincount(rows, minlength=x.shape[0])
        return lists(counts, feature=places[1], x=x[places], rebuilt=rebuilt[places])

    def _text_limit(self) -> int:
        if self._texts is None:
            return 0
        some = self._rows[:: max(1, self._rows.size // 2000)]
        lengths = np.sort([len(str(self._texts[int(row)] or "")) for row in some])
        per_row = _TEXT_BYTES / max(1, self._rows.size)
        if lengths.mean() <= per_row:
            return int(max(lengths[-1], _SHORTEST_TEXT)) * 100  # none need be cut
        # The largest limit with which the sum of the cut lengths keeps to the budget.
        limits = np.unique(np.concatenate([lengths, [_SHORTEST_TEXT]]))
        fits = [limit for limit in limits if np.minimum(lengths, limit).mean() <= per_row]
        return int(max([_SHORTEST_TEXT, *fits]))


def best(values: np.ndarray, n: int = _SHOWN) -> tuple[np.ndarray, np.ndarray]:
    """Places of the ``n`` largest values above 0 of each row; ties go to the lower place.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        Not negative.
    n : int

    Returns
    -------
    rows, columns : ndarray of int64
    """
    # The n-th largest of the maxima of pieces is a bound for the n-th largest of all: one pass, and few to sort.
    size = max(1, values.shape[1] // (4 * n))
    pieces = np.maximum.reduceat(values, np.arange(0, values.shape[1], size), axis=1)
    bound = np.zeros((values.shape[0], 1))
    if pieces.shape[1] > n:
        bound = np.partition(pieces, pieces.shape[1] - n, axis=1)[:, pieces.shape[1] - n, None]
    rows, columns = np.nonzero((values >= bound) & (values > 0))
    order = np.lexsort((columns, -values[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    kept = np.arange(rows.size) - np.searchsorted(rows, rows) < n
    return rows[kept], columns[kept]


def with_presence(batch: Any, batches: list[Any]) -> Any:
    """A batch that says of each modality which rows have it, if any of these batches does."""
    names = dict.fromkeys(name for one in batches for name in one.present or {})
    if not names or set(names) == set(batch.present or {}):
        return batch
    has = {name: (batch.present or {}).get(name, np.ones(batch.n_rows, bool)) for name in names}
    ids, labels = batch.ids, batch.labels
    return Batch(batch.parts, batch.numbers, has, ids, labels)

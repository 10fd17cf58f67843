"""Shards of latents, the columns of the table of all of them, and what follows from their atoms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.explorer._collect import Measured
from dsae.explorer._folder import Target
from dsae.explorer._media import Media
from dsae.explorer._shards import lists
from dsae.explorer._view import View, dense
from dsae.interpret import Similar, norms_of, relevance, similar

PER_SHARD = 256
N_BINS = 64
_WEIGHTS = (1.0, 0.5, 0.0)  # of relevance: large, in standard deviations, distinctive
_WRITES = 12
READS = 40
"""Inputs of a latent that are listed."""
_LABELS, _SIMILAR, _TOGETHER, _AGAINST = 12, 8, 8, 4
_TOP = 3
_LEAST_ROWS = 5  # of a label in which a latent fires: fewer are chance
_FOUND = 8  # latents of a feature
_WHOLE_ATOMS = 500_000  # weights of a decoder that is stored whole: some 3 MB


class Atoms:
    """What latents write, and how near they are to each other.

    Parameters
    ----------
    view : View
    found : Measured

    Attributes
    ----------
    rows : csr_matrix or ndarray, shape (n_latents, n_features)
    norms, energy : ndarray of float64, shape (n_latents,)
    similar : Similar
    spread, base : ndarray of float64, shape (n_features,)
        By what features are compared in rows and in what latents read, and in what they write.
    """

    def __init__(self, view: View, found: Measured) -> None:
        summary = found.summary
        self.rows = view.atoms(summary.mean, summary.rms)
        self.norms = norms_of(self.rows)
        self.similar: Similar = similar(self.rows, _SIMILAR)
        self.spread = _base(self.rows, found.variance)
        self.base = np.where(view.relative, 1.0, self.spread)
        energy = summary.energy(self.norms)
        total = energy.sum()
        self.energy = energy / total if total > 0 else energy

    @property
    def nnz(self) -> int:
        """Weights."""
        return self.rows.nnz if sp.issparse(self.rows) else self.rows.size  # pyright: ignore

    def of(self, start: int, stop: int) -> Any:
        """Some atoms."""
        return self.rows[start:stop]


def _base(atoms: Any, variance: np.ndarray | None) -> np.ndarray:
    """By what features are compared, above 0: their variances, or without rows mean squares of weights."""
    if variance is None:
        n = max(1, atoms.shape[0])
        squares = atoms.multiply(atoms).sum(axis=0) if sp.issparse(atoms) else np.square(atoms, dtype=float).sum(axis=0)
        variance = np.asarray(squares, np.float64).ravel() / n
    # A constant feature divides by as much as one that varies least.
    varies = variance > 0
    return np.where(varies, variance, variance[varies].min() if varies.any() else 1.0)


class Latents:
    """Writes everything that has to do with latents.

    Parameters
    ----------
    view : View
    target : Target
    found : Measured
    atoms : Atoms
    media : Media
    """

    def __init__(self, view: View, target: Target, found: Measured, atoms: Atoms, media: Media) -> None:
        self._view, self._target, self._found, self._atoms, self._media = view, target, found, atoms, media
        n = view.n_latents
        self.top = np.full((n, _TOP), view.n_features, np.int64)
        self._searched: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.whole = view.exact and atoms.nnz <= _WHOLE_ATOMS
        partners = found.details.cofiring(_TOGETHER)
        self._together, self._against = partners.together, partners.against
        self._label, self._lift = self._best_labels()

    def write(self, told: Callable[[int, int], None]) -> None:
        """Write the shards, then the columns."""
        n = self._view.n_latents
        for start in range(0, n, PER_SHARD):
            stop = min(start + PER_SHARD, n)
            self._target.write(f"latents/{start // PER_SHARD}", self._shard(start, stop))
            if self.whole:
                atoms = self._atoms.of(start, stop)
                entries = {"feature": atoms.indices, "value": atoms.data}
                content = {"first": start, "n": stop - start, **lists(np.diff(atoms.indptr), **entries)}
                self._target.write(f"decoder/{start // PER_SHARD}", content)
            told(stop, n)
        self._target.write("search", self._search())

    def columns(self, names: list[str] | None = None) -> dict[str, Any]:
        """One number of each latent by column."""
        summary, similar_ = self._found.summary, self._atoms.similar
        low, high = summary.lowest, summary.highest
        near = similar_.latents[:, 0]
        found = {
            "n_on": summary.counts,
            "energy": self._atoms.energy,
            "mean": summary.mean_on,
            "max": np.where(np.abs(low) > np.abs(high), low, high),
            "top": self.top,
            "label": self._label,
            "lift": self._lift,
            "cosine": np.where(self._atoms.norms > 0, np.nan_to_num(similar_.cosines[:, 0]), np.nan),
            "near": np.where(near < 0, np.arange(near.size), near),
            "norm": self._atoms.norms,
        }
        if self._view.threshold:  # the mean where it is on is then not all of the mean
            found["overall"] = summary.mean
        return found if names is None else found | {"name": names}

    def labels(self) -> None:
        """Write a shard for each label."""
        counted = self._found.summary.labels
        if counted is None:
            return
        fired, sums = counted.fired, counted.sums
        for place, label in enumerate(counted.classes):
            self._target.write(f"labels/{int(label)}", {"n": fired[place], "sum": sums[place]})

    def _shard(self, start: int, stop: int) -> dict[str, Any]:
        summary, some = self._found.summary, slice(start, stop)
        histogram = summary.histogram
        edges = np.array([histogram.edges(i)[0] for i in range(start, stop)], np.float32)
        exact_reads = self._view.exact_reads
        bias = np.asarray(self._view.encoder_bias[some], np.float64) if exact_reads else np.full(stop - start, np.nan)
        content: dict[str, Any] = {
            "first": start,
            "n": stop - start,
            "hist": histogram.counts[some],
            "bin": edges.view(np.uint32) >> 21,
            "bias": bias,
            "threshold": self._thresholds(some),
            "norm": self._atoms.norms[some],
            "examples": self._examples(start, stop),
            "labels": self._labels(start, stop),
            "cosine": _pairs(self._atoms.similar.latents[some], value=self._atoms.similar.cosines[some]),
            "cofire": _pairs(
                self._together.latents[some], n=self._together.counts[some], lift=self._together.lift[some]
            ),
            "anti": _pairs(
                self._against.latents[some, :_AGAINST],
                n=self._against.counts[some, :_AGAINST],
                lift=self._against.lift[some, :_AGAINST],
            ),
        }
        if histogram.negative is not None:
            content["negative"] = histogram.negative[some]
        atoms = self._atoms.of(start, stop)
        content["writes"], content["n_writes"] = self._writes(start, atoms)
        mean = np.zeros(self._view.n_features) if self._found.mean is None else np.nan_to_num(self._found.mean)
        reads = self._view.reads(mean, some)
        content["reads"], content["n_reads"] = self._reads(reads)
        if self._media.shapes:
            content["atom"], content["atom_scale"] = self._media.atoms(dense(atoms))
            if exact_reads:
                content["filter"], content["filter_scale"] = self._media.atoms(dense(reads))
        return content

    def _thresholds(self, some: slice) -> np.ndarray:
        model = None if self._view.joint else self._view.runtime.model
        if model is None or model.threshold is None:
            return np.zeros(len(range(*some.indices(self._view.n_latents))))
        return model.threshold[some]

    def _writes(self, start: int, atoms: Any) -> tuple[dict[str, Any], np.ndarray]:
        n, width = atoms.shape
        ranked = [best_of(relevance(atoms, self._atoms.base, weight), _WRITES) for weight in _WEIGHTS]
        latents, features = ranked[1]
        rank = np.arange(latents.size) - np.searchsorted(latents, latents)
        first = rank < _TOP
        self.top[start + latents[first], rank[first]] = features[first]
        joined = np.unique(np.concatenate([latents * width + features for latents, features in ranked]))
        latents, features = joined // width, joined % width
        values = _at(atoms, latents, features)
        order = np.lexsort((features, -np.abs(values), latents))
        latents, features, values = latents[order], features[order], values[order]
        mean = np.nan_to_num(np.abs(self._found.summary.mean_on))
        self._searched.append((features, latents + start, np.abs(values) * mean[latents + start]))
        counts = np.bincount(latents, minlength=n)
        return lists(counts, feature=features, value=values), _n_weights(atoms)

    def _reads(self, reads: Any) -> tuple[dict[str, Any], np.ndarray]:
        latents, features = best_of(relevance(reads, self._atoms.spread, 0.5, reads=True), READS)
        entries = {"feature": features, "value": _at(reads, latents, features)}
        return lists(np.bincount(latents, minlength=reads.shape[0]), **entries), _n_weights(reads)

    def _examples(self, start: int, stop: int) -> dict[str, Any]:
        strongest, quantiles = self._found.summary.strongest, self._found.details.quantiles
        n = self._found.details.n_quantiles
        rows, values, groups, counts = [], [], [], []
        for i in range(start, stop):
            some = [strongest.of(i), *(quantiles.of(self._found.details.group(i, q)) for q in range(n))]
            rows += [entry[0] for entry in some]
            values += [entry[1] for entry in some]
            groups += [np.full(entry[0].size, group) for group, entry in enumerate(some)]
            counts.append(sum(entry[0].size for entry in some))
        entries = {"row": np.concatenate(rows), "value": np.concatenate(values), "group": np.concatenate(groups)}
        return lists(counts, **entries)

    def _labels(self, start: int, stop: int) -> dict[str, Any]:
        counted = self._found.summary.labels
        if counted is None:
            none = np.zeros(0, np.int64)
            return lists(np.zeros(stop - start, int), label=none, n=none, lift=np.zeros(0))
        numbers = np.array([int(label) for label in counted.classes], np.int64)
        fired = counted.fired[:, start:stop]
        phi, lift = self._associated(fired, counted)
        order = np.argsort(-phi, axis=0, kind="stable")[:_LABELS]
        kept = np.take_along_axis(phi, order, 0) > 0
        latents = np.arange(stop - start)
        at = [(order[kept[:, i], i], np.full(int(kept[:, i].sum()), i)) for i in latents]
        rows, columns = (np.concatenate([pair[j] for pair in at]) for j in (0, 1))
        entries = {"label": numbers[rows], "n": fired[rows, columns], "lift": lift[rows, columns]}
        return lists(kept.sum(axis=0), **entries)

    def _best_labels(self) -> tuple[np.ndarray, np.ndarray]:
        n = self._view.n_latents
        counted = self._found.summary.labels
        none = len(self._found.labels.names())
        if counted is None:
            return np.full(n, none), np.full(n, np.nan)
        numbers = np.array([int(label) for label in counted.classes], np.int64)
        labels, lifts = np.full(n, none), np.full(n, np.nan)
        every = counted.fired
        for start in range(0, n, 4096):
            some = slice(start, start + 4096)
            fired = every[:, some]
            phi, lift = self._associated(fired, counted)
            phi = np.where(fired >= _LEAST_ROWS, phi, 0)
            best = phi.argmax(axis=0)
            at = best, np.arange(fired.shape[1])
            has = phi[at] > 0
            labels[some], lifts[some] = np.where(has, numbers[best], none), np.where(has, lift[at], np.nan)
        return labels, lifts

    @staticmethod
    def _associated(fired: np.ndarray, counted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Phi of each latent's firing with each label, and the lift."""
        n, n_rows, total = (
            float(counted.n_labelled),
            counted.n_rows[:, None].astype(np.float64),
            fired.sum(axis=0)[None],
        )
        expected = n_rows * (total / max(n, 1))
        spread = np.sqrt(n_rows * (n - n_rows) * total * (n - total))
        phi = np.where(spread > 0, n * (fired - expected) / np.where(spread > 0, spread, 1), 0.0)
        return phi, np.where(expected > 0, fired / np.where(expected > 0, expected, 1), np.nan)

    def _search(self) -> dict[str, Any]:
        """The latents that write each feature most."""
        features, latents, sizes = (np.concatenate(entries) for entries in zip(*self._searched, strict=True))
        order = np.lexsort((latents, -sizes, features))
        features, latents = features[order], latents[order]
        rank = np.arange(features.size) - np.searchsorted(features, features)
        best = rank < _FOUND
        counts = np.bincount(features[best], minlength=self._view.n_features)
        return lists(counts, latent=latents[best])


def _pairs(latents: np.ndarray, **entries: np.ndarray) -> dict[str, Any]:
    """Lists of what is not empty in tables with a row for each latent."""
    there = latents >= 0
    return lists(there.sum(axis=1), latent=latents[there], **{name: table[there] for name, table in entries.items()})


def best_of(table: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the ``n`` largest magnitudes of each row, the largest first; of ties the lower place, none of zero.

    Parameters
    ----------
    table : csr_matrix or ndarray, shape (n_rows, n_columns)
    n : int

    Returns
    -------
    rows, columns : ndarray of int64
    """
    if sp.issparse(table):
        rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
        columns, sizes = table.indices.astype(np.int64), np.abs(table.data)
    else:
        sizes = np.abs(table)
        if sizes.shape[1] > 4 * n:
            bound = np.partition(sizes, sizes.shape[1] - n, axis=1)[:, sizes.shape[1] - n]
            rows, columns = np.nonzero(sizes >= bound[:, None])
        else:
            rows, columns = np.nonzero(sizes)
        sizes = sizes[rows, columns]
    some = np.flatnonzero(sizes > 0)
    order = some[np.lexsort((columns[some], -sizes[some], rows[some]))]
    rows, columns = rows[order], columns[order]
    kept = np.arange(rows.size) - np.searchsorted(rows, rows) < n
    return rows[kept], columns[kept]


def _at(table: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    if not sp.issparse(table):
        return table[rows, columns]
    return np.asarray(table[rows, columns]).ravel() if rows.size else np.zeros(0, np.float32)


def _n_weights(table: Any) -> np.ndarray:
    if sp.issparse(table):
        there = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))[table.data != 0]
        return np.bincount(there, minlength=table.shape[0])
    return np.count_nonzero(table, axis=1)

"""Rows read twice: all that views of latents are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dsae.data import Batch, Statistics
from dsae.interpret._codes import checked_source, coded, threshold_of
from dsae.interpret._details import Details
from dsae.interpret._several import parts_of, spans_of
from dsae.interpret._summary import Summary
from dsae.runtime import Runtime


class Moments(NamedTuple):
    """Mean and variance of columns, float64; the variance is of what is known."""

    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class Reading:
    """What two passes over rows have found.

    Attributes
    ----------
    summary : Summary
    details : Details
    entering : Moments
        Of the features as they enter the network, after the input transform.
    written : Moments or None
        Of the columns that the model writes; None of a target that did not come with the rows.
    ids, labels : ndarray or None
        Of all rows, in the order in which they came.
    numbers : ndarray of int64 or None
        Which rows these are; None if they were numbered 0, 1, 2 and so on.
    column_names : list of str or None
        As the rows have them.
    """

    summary: Summary
    details: Details
    entering: Moments
    written: Moments | None
    ids: np.ndarray | None
    labels: np.ndarray | None
    numbers: np.ndarray | None
    column_names: list[str] | None

    @classmethod
    def of(
        cls,
        verb: str,
        runtime: Any,
        X: Any,
        *,
        labels: Any = None,
        ids: Any = None,
        n_examples: int = 12,
        **options: Any,
    ) -> Reading:
        """Read ``X`` twice.

        Parameters
        ----------
        verb : str
            Named in messages.
        runtime : Runtime or JointRuntime
        X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
        labels, ids : array-like, shape (n_samples,), optional
            By default those that travel with ``X``.
        n_examples : int
            Strongest rows kept of each latent.
        **options
            Of `Details`.

        Raises
        ------
        ValueError
            If ``X`` is not finite rows of the model's width, or there is not one label or id for each row.
        """
        config = runtime.config
        source = checked_source(verb, runtime, X)
        given = {
            "labels": one_each(verb, "labels", labels, len(source)),
            "ids": one_each(verb, "ids", ids, len(source)),
        }
        summary = Summary(config.n_components, n_examples=n_examples, threshold=threshold_of(runtime))
        moments = {name: _Both(verb, of, name) for name, of in parts_of(runtime).items()}
        beside: dict[str, list[Any]] = {"labels": [], "ids": [], "numbers": []}
        for batch, codes in coded(verb, runtime, source):
            start = summary.n_rows
            known = {name: _own(batch, name, values, start) for name, values in given.items()}
            summary.update(codes, batch.numbers, known["labels"])
            for own in moments.values():
                own.update(batch)
            for name, values in (*known.items(), ("numbers", batch.numbers)):
                beside[name].append(values)
        details = Details(summary, **options)
        for batch, codes in coded(verb, runtime, source):
            details.update(codes, batch.numbers)
        found = {
            name: None if any(p is None for p in parts) else np.concatenate(parts) for name, parts in beside.items()
        }
        numbers = found.pop("numbers")
        if numbers is not None and np.array_equal(numbers, np.arange(numbers.size)):
            numbers = None
        pairs = [own.result() for own in moments.values()]
        entering, written = [first for first, _ in pairs], [second for _, second in pairs if second is not None]
        both = _joined(entering), _joined(written) if len(written) == len(pairs) else None
        names = getattr(source, "column_names", None)
        return cls(summary, details, *both, **found, numbers=numbers, column_names=names)

    def known_of(self, rows: np.ndarray) -> tuple[list[Any], list[Any]]:
        """Ids and labels of rows by their numbers; None where there is none."""
        places = rows
        if self.numbers is not None:
            order = np.argsort(self.numbers, kind="stable")
            places = order[np.searchsorted(self.numbers, rows, sorter=order)]
        found = ([None] * rows.size if known is None else known[places].tolist() for known in (self.ids, self.labels))
        ids, labels = found
        return ids, labels

    def written_variance(self, runtime: Any) -> np.ndarray | None:
        """What atoms are compared with; None where it is ones.

        An atom of one layer before an exponential or another link is a relative effect already.
        """
        if self.written is None:
            return None
        parts = parts_of(runtime)
        relative = [len(of.config.decoder_widths) == 2 and not of.config.output.linear for of in parts.values()]
        if all(relative):
            return None
        variance = self.written.variance.copy()
        for (name, span), plain in zip(spans_of(runtime).items(), relative, strict=True):
            if plain and name:
                variance[span] = 1.0
        return variance


def one_each(verb: str, name: str, values: Any, n_rows: int) -> np.ndarray | None:
    """Values of rows, one for each.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    if values is None:
        return None
    values = list(values) if isinstance(values, (list, tuple)) else np.asarray(values)
    if len(values) != n_rows or np.ndim(values) != 1:
        got = len(values) if np.ndim(values) == 1 else f"shape {np.shape(values)}"
        raise ValueError(f"[{verb}] {name} must be one for each of {n_rows} rows; got {got}.")
    found = np.empty(n_rows, object)
    found[:] = values.tolist() if isinstance(values, np.ndarray) else values
    return found


def _own(batch: Batch, name: str, values: np.ndarray | None, start: int) -> np.ndarray | None:
    """The part of given values that belongs to a batch, or what the batch came with."""
    if values is not None:
        return values[start : start + batch.n_rows]
    own = getattr(batch, name)
    return own if own is None or np.ndim(own) == 1 else None


class _Both:
    """Moments of what enters a model and of what it writes, which are mostly the same."""

    def __init__(self, verb: str, runtime: Runtime, name: str = "") -> None:
        config = runtime.config
        self.verb, self.runtime, self.name = verb, runtime, name
        self.entering = Statistics(config.n_features)
        self.written = Statistics(config.output_width)
        self.own, self.plain = config.n_outputs is None, config.input_transform == "none"
        self.there = True

    def update(self, batch: Batch) -> None:
        if self.name:
            batch = _of_modality(batch, self.name)
            if not batch.n_rows:
                return
        rows = batch.rows
        self.entering.update(Batch.of(self.runtime.entering(self.verb, rows)))
        aim = rows if self.own else batch.target
        self.there &= aim is not None
        if self.there and not (self.own and self.plain):
            self.written.update(Batch.of(aim))

    def result(self) -> tuple[Moments, Moments | None]:
        entering = _moments(self.entering)
        if self.own and self.plain:
            return entering, entering
        return entering, _moments(self.written) if self.there else None


def _of_modality(batch: Batch, name: str) -> Batch:
    """The rows of a batch that have a modality, of it alone."""
    if name not in batch.parts:
        return batch[:0]
    has = (batch.present or {}).get(name)
    rows = batch.parts[name]
    return Batch.of(rows if has is None else rows[np.asarray(has, bool)])


def _joined(parts: list[Moments]) -> Moments:
    return Moments(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _moments(found: Statistics) -> Moments:
    mean, deviation = found.moments()
    return Moments(mean.astype(np.float64), np.square(deviation, dtype=np.float64))

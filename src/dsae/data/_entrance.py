"""Turns whatever holds a user's rows into a source, or into rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import TABLE, Batch, Part, Rows, check_worker, share
from dsae.data._beside import with_beside
from dsae.data._centring import check_moments
from dsae.data._check import check_finite, in_pieces, named, names_of, plain_rows
from dsae.data._kinds import as_numbers
from dsae.data._known import Known
from dsae.data._names import check_names, ids_of
from dsae.data._objects import source_of
from dsae.data._reader import Reader
from dsae.data._rows import check_rows
from dsae.data._share import StreamShare
from dsae.data._source import ArraySource, Source
from dsae.data._statistics import Farthest, Statistics
from dsae.data._stream import StreamSource

_AT_ONCE = 1024  # rows of a user's source in a pass; any such number does
_BATCHES_LOOKED_AT = 64  # for features that seem constant in float32, spread over the data
_ASKED = ("__len__", "n_features", "batches")


def as_source(
    verb: str, X: Any, *, finite: bool = True, training: bool = False, missing: str | None = "error"
) -> Source:
    """A source of the rows in ``X``.

    Parameters
    ----------
    verb : str
        Named in messages.
    X : array-like, DataFrame, scipy sparse, Batch, reader, source, or an object of another library
        AnnData, a Hugging Face data set, a torch data set or loader; see `source_of`.
        A source of your own has ``__len__()``, ``n_features`` and ``batches(batch_size, seed)``, which gives float32
        rows or batches, the same ones for the same arguments, in order where ``seed`` is None. Rows are numbered as
        they come, unless they are batches with numbers of their own. It may have ``column_names``,
        ``moments()``, ``min()``, ``max()``, ``sample(n, rng)`` and ``split(fraction, seed)``: the last is needed for
        early stopping only; the others are otherwise found by a pass over the rows.
    finite : bool
        Whether rows in memory are searched for NaN and infinity.
    training : bool
        Whether a model is to be trained on them; see `check_rows`.
    missing : {"error", "mask"}, optional
        Whether NaN is refused or a value that is not known; see `check_rows`.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If the rows are not what they should be; see `check_rows`.
    TypeError
        If ``X`` is no such thing, or a source that lacks something.

    Examples
    --------
    >>> as_source("fit", [[0.0, 1.0], [2.0, 3.0]]).shape
    (2, 2)
    """
    X = source_of(verb, X, training)
    if isinstance(X, ArraySource):
        if finite and not X.is_finite:
            check_finite(verb, X.X, missing)
        return X
    if isinstance(X, (StreamSource, StreamShare)):
        return X.with_missing(missing or "error")
    if isinstance(X, Reader):
        return StreamSource(X, missing=missing or "error")
    if gives_batches(X):
        return X if isinstance(X, Source) else Adapted(verb, X, missing)
    rows = plain_rows(verb, X, training=training)
    if finite:
        check_finite(verb, rows, missing)
    if isinstance(X, Batch):
        more = {"target": X.target, "weight": X.weight}
        return with_beside(verb, ArraySource(rows, ids=X.ids, labels=X.labels, numbers=X.numbers), **more)
    names = names_of(X) or []
    usable = len(names) == rows.shape[1] and all(isinstance(n, str) for n in names)
    source = ArraySource(rows, names if usable else None)
    if finite and missing != "mask":  # NaN was refused
        source.is_finite = True
    return source


def in_memory(verb: str, X: Any, *, training: bool = False, missing: str | None = "error") -> ArraySource:
    """`as_source` for verbs that need all rows at once; an object of another library is read into memory.

    Raises
    ------
    ValueError
        If the rows are not what they should be; see `check_rows`.
    TypeError
        If ``X`` is a source that gives its rows in pieces: whether they fit in memory is the user's to say.
    """
    source = as_source(verb, X, training=training, missing=missing)
    if isinstance(source, ArraySource):
        return source
    if gives_batches(X):
        raise in_pieces(verb, X)
    return source.load()  # pyright: ignore


def named_rows(
    X: Any,
    feature_names: Sequence[str] | None = None,
    *,
    ids: Sequence[Any] | np.ndarray | None = None,
    labels: Sequence[Any] | np.ndarray | None = None,
) -> ArraySource:
    """Rows with the names that belong to them, as every verb takes them: a vocabulary, genes, documents.

    Parameters
    ----------
    X : array-like, DataFrame, scipy sparse or an object of another library, shape (n_samples, n_features)
    feature_names : sequence of str, optional
        By default those that ``X`` has.
    ids, labels : sequence, optional
        Names and classes of the rows; by default those that ``X`` has, of a data frame its index unless that only
        counts the rows.

    Returns
    -------
    ArraySource

    Raises
    ------
    ValueError
        If ``X`` is not rows of numbers, or there are more or fewer names than rows or features.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> words = CountVectorizer()
    >>> counts = words.fit_transform(["moon and earth", "moon and moon"])
    >>> rows = named_rows(counts, words.get_feature_names_out(), ids=["doc-1", "doc-2"])
    >>> rows.column_names, rows.rows.ids.tolist()
    (['and', 'earth', 'moon'], ['doc-1', 'doc-2'])
    """
    source = in_memory("named_rows", X, missing="mask")  # the verb that takes them knows better
    given = source.rows
    names = source.column_names if feature_names is None else [str(name) for name in feature_names]
    known: dict[str, Any] = {
        "ids": ids_of(X, source) if ids is None else np.fromiter(ids, dtype=object, count=len(ids)),
        "labels": given.labels if labels is None else np.fromiter(labels, dtype=object, count=len(labels)),
    }
    if names is not None:
        check_names(names, source.n_features, "feature_names")
    return ArraySource(source.X, names, numbers=given.numbers, **known)


def gives_batches(X: Any) -> bool:
    """Whether ``X`` is a source rather than rows."""
    return callable(getattr(X, "batches", None)) or isinstance(X, Reader)


class Adapted:
    """A user's source, completed with the methods it lacks.

    Raises
    ------
    TypeError
        If it lacks what cannot be made up for.
    """

    def __init__(self, verb: str, source: Any, missing: str | None = "error") -> None:
        lacking = [name for name in _ASKED if not hasattr(source, name)]
        if lacking:
            raise TypeError(
                f"[{verb}] A source must have __len__(), n_features and batches(batch_size, seed); "
                f"{type(source).__name__} has no {', '.join(lacking)}. Add it, or give rows in memory."
            )
        self._verb, self.source, self.n_features, self._missing = verb, source, int(source.n_features), missing

    def __str__(self) -> str:
        return named(self.source)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self), self.n_features

    @property
    def column_names(self) -> list[str] | None:
        """As the source gives them."""
        names = getattr(self.source, "column_names", None)
        return None if names is None else list(names)

    @property
    def parts(self) -> Mapping[str, Part]:
        """One, of the kind of its first batch."""
        return self._parts

    @cached_property
    def _parts(self) -> Mapping[str, Part]:
        names = self.column_names
        kind = "csr" if sp.issparse(next(self.batches(1)).rows) else "dense"
        return {TABLE: Part(kind, self.n_features, None if names is None else tuple(names))}

    def batches(self, batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Its batches, shared among workers."""
        check_worker(rank, world)
        start = 0
        for rows in self.source.batches(batch_size, seed=seed):
            batch = rows if isinstance(rows, Batch) else self._numbered(rows, start)
            start += batch.n_rows
            yield share(batch, rank, world)

    def _numbered(self, rows: Any, start: int) -> Batch:
        what = f"as {type(self.source).__name__} says"
        rows = check_rows(self._verb, rows, self.n_features, what, missing=self._missing)
        return Batch.of(rows, np.arange(start, start + rows.shape[0]))

    @cached_property
    def _statistics(self) -> Statistics:
        found = Statistics(self.n_features, self._missing == "mask")
        for batch in self.batches(_AT_ONCE):
            found.update(batch)
        return found

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Its own, or by a pass."""
        own = hasattr(self.source, "moments")
        mean, deviation = self.source.moments() if own else self._statistics.moments()
        check_moments(mean, deviation, self._exact, self.column_names)
        return mean, deviation

    def _exact(self, columns: np.ndarray) -> Iterator[Rows]:
        for rows in islice(self.source.batches(_AT_ONCE, seed=None), _BATCHES_LOOKED_AT):
            yield as_numbers(self._verb, rows.rows if isinstance(rows, Batch) else rows)[:, columns]

    def target_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and standard deviation of what is predicted, by a pass; None where the rows are their own target."""
        first = next(self.batches(1)).target
        if first is None:
            return None
        found = Statistics(first.shape[1])
        for batch in self.batches(_AT_ONCE):
            found.update(Batch.of(batch.target, batch.numbers, weight=batch.weight))
        return found.moments()

    def farthest(self) -> Farthest | None:
        """From the pass for the moments, if the source has none."""
        return None if hasattr(self.source, "moments") else self._statistics.farthest()

    def known(self) -> Known:
        """What is known of rows in which NaN stands for what is not, by a pass."""
        return self._statistics.known or Adapted(self._verb, self.source, "mask").known()

    def min(self) -> float:
        """Its own, or by a pass."""
        return float(self.source.min()) if hasattr(self.source, "min") else self._statistics.low

    def max(self) -> float:
        """Its own, or by a pass."""
        return float(self.source.max()) if hasattr(self.source, "max") else self._statistics.high

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """The source's own, or a sample of rows kept from a pass."""
        if not hasattr(self.source, "sample"):
            return self._statistics.sample(n, rng)
        rows = self.source.sample(n, rng)
        return rows if isinstance(rows, Batch) else Batch.of(rows)

    def split(self, fraction: float, seed: int) -> tuple[Source, Source]:
        """Its own.

        Raises
        ------
        TypeError
            If it has none: which rows are held out must not depend on the order in which they come.
        """
        if not hasattr(self.source, "split"):
            raise TypeError(
                "[fit] early_stopping needs a source that has split(fraction, seed), which gives two sources; got "
                f"{type(self.source).__name__} without it. Add it, or set early_stopping=False."
            )
        training, held_out = self.source.split(fraction, seed)
        parts = (as_source("fit", part, missing=self._missing) for part in (training, held_out))
        return next(parts), next(parts)

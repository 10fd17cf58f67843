"""Rows in objects of other libraries: AnnData, Hugging Face data sets, torch's data sets and loaders.

None of these libraries is imported here: a caller that has such an object has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from dsae.data._arrow import chosen, chunk_of, width_of
from dsae.data._batch import Field, Rows
from dsae.data._check import plain_rows
from dsae.data._reader import Chunk, ReadOptions, SpanReader
from dsae.data._shape import check_shape, flattened
from dsae.data._source import ArraySource
from dsae.data._stream import StreamSource

_ROWS_AT_ONCE = 256  # items collated into one chunk; any size does that hides the cost of a chunk


def source_of(verb: str, X: Any, training: bool = False) -> Any:
    """A source of the rows in an object of another library; anything else comes back as it is.

    Parameters
    ----------
    verb : str
        Named in messages.
    X : AnnData, datasets.Dataset, torch.utils.data.Dataset or torch.utils.data.DataLoader
        Of AnnData, X with the names of variables and observations; of a Hugging Face data set, its columns as
        `open_rows` chooses them, a ``ClassLabel`` as labels; of torch's, rows or ``(row, label)``. A loader gives its
        rows in the order of its data set, made by its ``collate_fn``: the estimator shuffles them itself. A sampler of
        some rows only, or a ``batch_sampler`` of one's own, is asked once.
    training : bool
        Whether a model is to be trained on them; see `dsae.data.check_rows`.

    Returns
    -------
    Source

    Raises
    ------
    TypeError
        If the object has no rows that can be read again in every epoch, or items of more than a row and a label.
    ValueError
        If they are not rows of numbers.
    """
    # By the name of its module, so that a library is never imported to ask it.
    library = type(X).__module__.partition(".")[0]
    if library == "anndata":
        return _of_anndata(verb, X, training)
    if library == "dask" and type(X).__name__.startswith("Delayed"):  # it has every attribute that it is asked for
        raise TypeError(f"[{verb}] X must be rows; got Delayed. Give X.compute().")
    if library == "datasets":
        return _of_datasets(verb, X)
    utils = getattr(sys.modules.get("torch"), "utils", None)
    data = getattr(utils, "data", None)
    if data is not None and isinstance(X, (data.Dataset, data.DataLoader)):
        return _of_torch(verb, X, data, training)
    return X


def _of_anndata(verb: str, X: Any, training: bool) -> Any:
    if not hasattr(X, "obs_names"):
        return X
    rows = X.to_memory().X if X.isbacked else X.X
    if rows is None:
        raise ValueError(f"[{verb}] AnnData must have an X; it has layers {', '.join(X.layers) or 'none'}.")
    names, ids = ([str(name) for name in index] for index in (X.var_names, X.obs_names))
    numbers = plain_rows(verb, rows, training=training, names=names)
    return ArraySource(numbers, names, ids=np.array(ids, dtype=object))


def _of_datasets(verb: str, X: Any) -> StreamSource:
    if hasattr(X, "keys"):
        raise TypeError(f"[{verb}] X must be one split of a data set; got {', '.join(X)}. Give X[{next(iter(X))!r}].")
    if not hasattr(X, "__len__"):
        raise TypeError(f"[{verb}] X must have a number of rows; got {type(X).__name__}. Load it without streaming.")
    return StreamSource(_ArrowDataset(X))


class _Held(SpanReader):
    """Rows of an object rather than of a file."""

    def __init__(self, name: str, n_rows: int) -> None:
        self.path, self.name, self.format, self._stamp, self.n_rows = Path(name), name, "object", None, n_rows


class _ArrowDataset(_Held):
    """Rows of a Hugging Face data set, through Arrow."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(f"the data set of {len(dataset)} rows", len(dataset))
        self._data = dataset.with_format("arrow")
        check_shape(self.name, (len(dataset), len(dataset.column_names)))
        labels = [name for name, kind in dataset.features.items() if type(kind).__name__ == "ClassLabel"]
        options = ReadOptions(label_column=labels[0] if len(labels) == 1 else None)
        self._choice = chosen(self.name, self._data[:1].schema, self._first, options)
        self.n_features, self.column_names = width_of(self._choice, self._first)
        self.id_name, self.label_name = self._choice.ids, self._choice.labels

    def _first(self, columns: Sequence[str], n_rows: int) -> Any:
        return self._data.select_columns(list(columns))[:n_rows]

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        start = part * self._span
        for batch in self._data[start : start + self._span].combine_chunks().to_batches():
            yield chunk_of(self.name, start, batch, self._choice, self.n_features, ids)
            start += batch.num_rows

    def _rows(self, start: int, stop: int) -> Rows:
        raise NotImplementedError


def _of_torch(verb: str, X: Any, data: Any, training: bool) -> Any:
    if isinstance(X, data.DataLoader) and not isinstance(X.dataset, data.IterableDataset):
        return StreamSource(_TorchDataset(verb, X.dataset, _order(X, data), X.collate_fn))
    if isinstance(X, data.TensorDataset):
        return _in_memory(verb, [X.tensors], training)
    if isinstance(X, data.IterableDataset):
        return _in_memory(verb, data.DataLoader(X, batch_size=_ROWS_AT_ONCE), training)
    if isinstance(X, data.DataLoader):
        return _in_memory(verb, X, training)
    return StreamSource(_TorchDataset(verb, X, range(len(X)), None))


def _order(loader: Any, data: Any) -> Sequence[int]:
    """Rows that a loader takes: those of its data set, or those that its sampler gives when asked once."""
    sampler: Any = loader.sampler
    if loader.batch_sampler is not None:
        default = type(loader.batch_sampler) is data.BatchSampler
        sampler = loader.batch_sampler.sampler if default else chain.from_iterable(loader.batch_sampler)
    # In any order: the estimator shuffles anyway. With replacement, rows would be missing.
    all_rows = isinstance(sampler, data.SequentialSampler) or (
        isinstance(sampler, data.RandomSampler) and not sampler.replacement
    )
    n_rows = len(loader.dataset)
    return range(n_rows) if all_rows and len(sampler) == n_rows else list(sampler)


def _in_memory(verb: str, batches: Any, training: bool) -> ArraySource:
    """Batches of rows, or of rows and labels, as one array."""
    pieces, labels = [], []
    for batch in batches:
        rows, named = _split(verb, batch)
        pieces.append(rows)
        labels.append(named)
    if not pieces:
        raise ValueError(f"[{verb}] X has 0 sample(s) while a minimum of 1 is required.")
    rows, shapes = flattened("X", np.concatenate(pieces))
    fields = [Field(name, 0, rows.shape[1], shape) for name, shape in shapes.items()]
    found = None if labels[0] is None else np.concatenate(labels)
    return ArraySource(plain_rows(verb, rows, training=training), labels=found, fields=fields)


class _TorchDataset(_Held):
    """Rows of a torch data set that says how many it has, as its loader would put them together."""

    def __init__(self, verb: str, dataset: Any, order: Sequence[int], collate: Callable[..., Any] | None) -> None:
        super().__init__(type(dataset).__name__, len(order))
        check_shape(self.name, (len(order), 1))
        self._verb, self._data, self._order, self._collate = verb, dataset, order, collate
        first, labels = self._batch(0, 1)
        first, self.fields = flattened(self.name, first)
        self.n_features, self.label_name = first.shape[1], None if labels is None else "label"

    @property
    def _span(self) -> int:
        return min(super()._span, _ROWS_AT_ONCE)

    def _batch(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        items = [self._data[i] for i in islice(self._order, start, stop)]
        if self._collate is not None:
            rows, labels = _split(self._verb, self._collate(items))
            if any(np.shape(part)[:1] != (len(items),) for part in (rows, labels) if part is not None):
                raise ValueError(
                    f"[read] {self.name} must give a row for each item through collate_fn; got shape {rows.shape} for "
                    f"{len(items)} item(s)."
                )
            return rows, labels
        for item in items:
            _check_parts(self._verb, item)
        labels = np.array([_label(item) for item in items]) if _is_pair(items[0]) else None
        return np.stack([_row(item) for item in items]), labels

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        start = part * self._span
        rows, labels = self._batch(start, min(start + self._span, self.n_rows))
        yield Chunk(start, rows.reshape(len(rows), -1), None, labels if ids else None)

    def _rows(self, start: int, stop: int) -> Rows:
        raise NotImplementedError


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2 and (np.ndim(_array(item[0])) > 0)


def _row(item: Any) -> np.ndarray:
    return _array(item[0] if _is_pair(item) else item[0] if isinstance(item, tuple) else item)


def _label(item: Any) -> Any:
    # A label of several numbers is named by its text.
    return _array(item[1]).item() if np.ndim(_array(item[1])) == 0 else str(item[1])


def _check_parts(verb: str, item: Any) -> None:
    n_parts = len(item) if isinstance(item, (tuple, list)) else 1
    if isinstance(item, Mapping) or (n_parts > 2 and (isinstance(item, tuple) or np.ndim(_array(item[0])) > 0)):
        got = f"{n_parts} parts" if n_parts > 2 else f"a mapping of {', '.join(map(str, item))}"
        raise TypeError(
            f"[{verb}] X must give rows or (row, label); got {got} for each item. Give a data set of one or two parts, "
            "or a collate_fn that makes them."
        )


def _split(verb: str, batch: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows, and labels where there are two."""
    _check_parts(verb, batch)
    if isinstance(batch, (tuple, list)) and len(batch) in (1, 2):
        return _array(batch[0]), _array(batch[1]) if len(batch) == 2 else None
    return _array(batch), None


def _array(values: Any) -> np.ndarray:
    """A tensor on any device as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values  # numpy has no bfloat16
    return np.asarray(values)

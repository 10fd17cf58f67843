"""Rows of a file in random order, in bounded memory: parts are read in any order, rows leave a buffer at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from dsae.data._batch import Batch
from dsae.data._reader import Chunk, Reader
from dsae.data._statistics import n_bytes

_POOL_BYTES = 1 << 24  # of the buffer (docs/design/streams.md)
_LEAST_BATCHES_IN_POOL = 4  # so that wide rows are mixed, too
# Bounds on memory, whatever the number and size of files: parts read at once, their bytes, and rows of each. A reader
# of Parquet holds a page of every column, by default of 1 MiB.
_MOST_PARTS_OPEN, _OPEN_BYTES, _ROWS_HELD_OF_A_PART = 8, 1 << 26, 1 << 18


def scattered(reader: Reader, rng: np.random.Generator, read: Callable[[int], Iterator[Chunk]]) -> Iterator[Chunk]:
    """Chunks of all parts in random order, a few parts at a time; ``read`` gives those of a part."""
    parts = iter(rng.permutation(reader.n_parts).tolist())
    part_bytes = 4 * reader.n_features * min(_ROWS_HELD_OF_A_PART, len(reader) // reader.n_parts + 1)
    n_open = min(_MOST_PARTS_OPEN, max(1, _OPEN_BYTES // part_bytes))  # fewer where their row groups are large
    opened = [read(part) for part in islice(parts, n_open)]
    while opened:
        at = int(rng.integers(len(opened)))
        chunk = next(opened[at], None)
        if chunk is not None:
            yield chunk
        else:
            opened[at : at + 1] = [read(part) for part in islice(parts, 1)]


def mixed(batches: Iterator[Batch], rng: np.random.Generator, batch_size: int, all_bytes: int) -> Iterator[Batch]:
    """Rows of batches that hold ``all_bytes`` in all, through a buffer from which half of them leaves at a time."""
    pool: list[Batch] = []
    size = n_rows = 0
    # small at first, because an epoch starts by waiting for it
    full = _POOL_BYTES if all_bytes <= _POOL_BYTES else _POOL_BYTES // 8
    for batch in batches:
        pool.append(batch)
        size, n_rows = size + _bytes_of(batch), n_rows + batch.n_rows
        if size >= full and n_rows >= _LEAST_BATCHES_IN_POOL * batch_size:
            yield _half_of(pool, rng.permutation(n_rows))
            size, n_rows = _bytes_of(pool[0]), pool[0].n_rows
            full = min(2 * full, _POOL_BYTES)
    if pool:
        yield Batch.stack(pool)[rng.permutation(n_rows)]


def _bytes_of(batch: Batch) -> int:
    return sum(map(n_bytes, batch.parts.values()))


def _half_of(pool: list[Batch], order: np.ndarray) -> Batch:
    """The rows that come last in ``order``; the others stay, and no copies of both while these are waited for."""
    rows, half = Batch.stack(pool), len(order) // 2
    pool.clear()
    pool.append(rows[order[:half]])
    return rows[order[half:]]

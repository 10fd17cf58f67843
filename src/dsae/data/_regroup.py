"""Batches of other sizes than those that come."""

from __future__ import annotations

from collections.abc import Iterator

from dsae.data._batch import Batch


def batched(pieces: Iterator[Batch], batch_size: int) -> Iterator[Batch]:
    """Batches of one size, but for the last."""
    rest: list[Batch] = []
    for piece in pieces:
        start = 0
        if rest:
            start = batch_size - sum(map(len, rest))
            rest.append(piece[:start])
            if sum(map(len, rest)) < batch_size:
                continue
            yield Batch.stack(rest)
        last = start + (len(piece) - start) // batch_size * batch_size
        for first in range(start, last, batch_size):
            yield piece[first : first + batch_size]
        rest = [piece[last:]] if last < len(piece) else []
    if rest:
        yield Batch.stack(rest)


def in_sizes(pieces: Iterator[Batch], sizes: Iterator[int]) -> Iterator[Batch]:
    """Batches of given sizes, which may be 0, from pieces of any."""
    rest: Batch | None = None
    for size in sizes:
        taken: list[Batch] = []
        while size or rest is None:
            if rest is None or not len(rest):
                following = next(pieces, None)
                if following is None:
                    break
                rest = following
            taken.append(rest[:size])
            rest = rest[size:]
            size -= len(taken[-1])
        if taken:
            yield Batch.stack(taken)
        elif rest is not None:
            yield rest[:0]

"""What training does where ranks share its rows: their batches, what penalties and modalities count for, agreements."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dsae import ops
from dsae.data import ArraySource, Batch, IteratorSource, Source, gives_parts
from dsae.nn import Autoencoder, Joint, JointGiven
from dsae.train._checkpoint import flat_run
from dsae.train._lost import together
from dsae.train._world import World


def agree_on_run(run: Mapping[str, Any]) -> None:
    """Refuse other settings or other data on a rank, on all of them; ``run`` is what a checkpoint would be known by."""
    world = ops.ranks()
    if isinstance(world, World):
        world.agree("settings and data", flat_run(run), "Start every process with the same.")


def check_rows(source: Sized) -> None:
    """Refuse fewer rows than there are ranks."""
    world = ops.ranks()
    if len(source) < world.size:
        raise together(
            ValueError(f"[fit] X must have a row for each of the {world.size} processes; it has {len(source)}.")
        )


def batches_of(source: Source, batch_size: int, seed: int | None = None) -> Iterator[Batch]:
    """The share of this rank in every batch; one row of zeros that does not count stands in for one that is empty."""
    world = ops.ranks()
    how: dict[str, Any] = {"take": ops.taken} if isinstance(source, ArraySource) else {}
    if world.size == 1:
        yield from source.batches(batch_size, seed=seed, **how)
        return
    try:
        for batch in source.batches(batch_size, seed, world.rank, world.size, **how):
            world.void = not batch.n_rows
            yield _stand_in(batch) if world.void else batch
    finally:
        world.void = False


def _stand_in(batch: Batch) -> Batch:
    def zeros(rows: Any) -> Any:
        if rows is None:
            return None
        shape = (1, *rows.shape[1:])
        return sp.csr_matrix(shape, dtype=rows.dtype) if sp.issparse(rows) else np.zeros(shape, rows.dtype)

    parts = {name: zeros(rows) for name, rows in batch.parts.items()}
    target, known, weight = (zeros(values) for values in (batch.target, batch.known, batch.weight))
    return Batch(parts, np.zeros(1, np.int64), None, target=target, known=known, weight=weight)


def fair(given: ops.Given) -> float:
    """What penalties in which every row counts the same are multiplied by, since ranks count by the worth of theirs."""
    world = ops.ranks()
    if not isinstance(world, World) or world.size == 1:
        return 1.0
    # whether anything is weighed may differ from rank to rank: all of them ask
    own = torch.tensor([world.counted(given.n_rows), world.worth(given)], dtype=torch.float64)
    n_rows, worth = world.sum(own.clone()).tolist()
    return float(own[0] / own[1]) * worth / n_rows if own[1] else 0.0


def portions(given: JointGiven) -> JointGiven:
    """A batch of several modalities with what the loss of each counts for: ranks may have unequal numbers of each."""
    world = ops.ranks()
    if world.size == 1:
        return given
    counts = [0.0 if world.void or name not in given.parts else given.parts[name].rows_worth for name in given.names]
    own = torch.tensor([*counts, world.counted(given.n_rows)], dtype=torch.float64)
    *totals, n_rows = world.sum(own.clone()).tolist()
    n_parts = sum(total > 0 for total in totals)
    scale = n_rows / (float(own[-1]) or 1.0) / max(n_parts, 1)
    shares = {
        name: scale * count / (total or 1.0) for name, count, total in zip(given.names, counts, totals, strict=True)
    }
    return given.with_shares(shares)


def digest_of(model: Autoencoder | Joint) -> int:
    """Of all edges and weights; equal on all ranks as long as they hold the same model."""
    found = 0
    for layer in model.layers.values():
        for array in (layer.topology.indptr, layer.topology.indices, layer.values.detach().cpu().numpy()):
            found = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, found)
    return found


def agree_on_epoch(model: Autoencoder | Joint, row: dict[str, Any]) -> dict[str, Any]:
    """Rank 0's row of the history.

    Raises
    ------
    RuntimeError
        If the ranks no longer hold the same model.
    """
    world = ops.ranks()
    if world.size == 1:
        return row
    found = world.gather((row if world.rank == 0 else None, digest_of(model)))
    apart = [rank for rank, (_, digest) in enumerate(found) if digest != found[0][1]]
    if apart:
        raise together(
            RuntimeError(
                f"[fit] Rank {apart[0]} must hold the model of rank 0 after epoch {row['epoch']}; it does not: its "
                "machine computes other numbers. Train on machines of one kind."
            )
        )
    return found[0][0]


def any_rank(*flags: bool) -> list[bool]:
    """Which of them are true on any rank."""
    world = ops.ranks()
    return list(flags) if world.size == 1 else [any(each) for each in zip(*world.gather(flags), strict=True)]


def shared_source(source: Any) -> Any:
    """The rows, of which a source that can read a part reads this rank's alone.

    Rows of several modalities that would fit in memory are read by all ranks: steps are then those of one process. Rows
    of one are in memory by now, if they fit.

    Raises
    ------
    ValueError
        If a rank has other files.
    """
    world = ops.ranks()
    if not isinstance(world, World) or world.size == 1 or isinstance(source, IteratorSource):
        return source
    reads_parts = hasattr(source, "share")
    seen = {"number of rows": len(source), "number of columns": source.n_features, "reading in parts": reads_parts}
    world.agree("data", seen, "Let every process read the same files.")
    if not reads_parts or (gives_parts(source) and source.is_small):
        return source
    check_rows(source)
    return source.share(world.rank, world.size, world.gather)

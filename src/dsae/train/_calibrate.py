"""Thresholds at which the training rows have the asked number of latents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from dsae import ops
from dsae.data import IteratorSource, Rows, Source
from dsae.nn import Autoencoder
from dsae.train._shares import batches_of

# A row's number of latents varies by about its mean at most: over so many rows the mean is known to 0.6 %.
_ROWS = 1 << 15
_SPARE = 2  # times the asked number are kept of every batch
_LEAST = 6e-6  # a jumprelu threshold of 0 could not learn any more


@torch.no_grad()
def calibrate(model: Autoencoder, source: Source, batch_size: int, seed: int) -> None:
    """Multiply all thresholds of a code by the factor at which training rows have ``k`` latents on average.

    In training a batchtopk code follows the smallest kept values of batches, and a jumprelu code a price on its
    latents: both come near ``k``, but within a few percent only after thousands of steps. Where rows have fewer
    positive latents, all of these live.

    Parameters
    ----------
    model : Autoencoder
        In evaluation mode afterwards.
    source : Source
        The training rows; of many, 2^15 at random.
    batch_size : int
    seed : int
    """
    model.eval()
    config, activation = model.config, model.thresholds
    if activation is None or config.k is None:
        return
    threshold = activation.threshold.detach()
    levels, spare = threshold if threshold.ndim else threshold.new_ones(config.n_components), _SPARE
    world = ops.ranks()
    while True:
        kept, floor, n_rows = [], 0.0, 0
        for some in _rows(source, batch_size, seed):
            z = _pre_code(model, ops.rows_of(model.filled(some), model.mean.device)) / levels
            largest, bound = _largest(z, spare * config.k * z.shape[0])
            kept.append(largest[:0] if world.void else largest)
            floor, n_rows = max(floor, 0.0 if world.void else bound), n_rows + world.counted(z.shape[0])
        numbers = torch.cat(kept)
        if world.size > 1:
            floor, n_rows = max(world.gather(floor)), sum(world.gather(n_rows))
            numbers = torch.cat([torch.from_numpy(of) for of in world.gather(numbers.cpu().numpy())]).to(numbers)
        factor = _between(numbers, config.k * n_rows)
        if factor >= floor:  # else some rows have more latents above it than were kept of their batch
            break
        spare *= 2
    activation.set_threshold((factor * levels).clamp(min=_LEAST if threshold.ndim else 0.0))


def _rows(source: Source, batch_size: int, seed: int) -> Iterator[Rows]:
    few = len(source) <= _ROWS or isinstance(source, IteratorSource)
    batches = batches_of(source, batch_size, None if few else seed)
    return (batch.rows for batch in islice(batches, math.ceil(_ROWS / batch_size)))


def _pre_code(model: Autoencoder, x: Tensor | ops.SparseRows) -> Tensor:
    entered = model.enter(model.centred(x))
    hidden = model.steps(model.names("encoder")[:-1], entered)
    z = model.encoder[-1](hidden[-1][1] if hidden else entered)
    return ops.unpack(z) if isinstance(z, ops.Panels) else z


def _largest(z: Tensor, n: int) -> tuple[Tensor, float]:
    """All positive numbers down to the n-th largest, and which that is; 0 where fewer are positive."""
    if n >= z.numel():
        return z[z > 0], 0.0
    bound = ops.kth_of_all(z, n) if ops.is_native(z) else z.flatten().topk(n).values[-1].clamp(min=0).item()
    return z[(z >= bound) & (z > 0)], bound


def _between(numbers: Tensor, n: int) -> float:
    """Between the n-th largest and the next, so that rounding changes nothing; 0 if there are no more."""
    if n >= numbers.numel():
        return 0.0
    return float(numbers.topk(n + 1).values[-2:].double().mean())

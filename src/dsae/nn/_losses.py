"""Reconstruction losses, mean over samples and features."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from dsae.nn._autoencoder import Trace


def mse(trace: Trace) -> Tensor:
    """Mean squared error between the output and its target."""
    tiled = trace.tiled_loss("mse")
    return F.mse_loss(trace.rows(trace.output), trace.target) if tiled is None else tiled


def bce(trace: Trace) -> Tensor:
    """Mean binary cross entropy in nats of a sigmoid output, computed from its logits."""
    tiled = trace.tiled_loss("bce")
    if tiled is not None:
        return tiled
    return F.binary_cross_entropy_with_logits(trace.rows(trace.logits), trace.target)


LOSSES: dict[str, Callable[[Trace], Tensor]] = {"mse": mse, "bce": bce}

"""What the plain-torch verbs need of a topology: copied to a device once, then kept beside its transpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dsae.topology import Topology


def edges(topology: Topology, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column of every slot, int32 ``[nnz]``."""
    rows = _copy(topology, "rows", device, lambda: topology.rows)
    return rows, _copy(topology, "cols", device, lambda: topology.cols)


def flat(topology: Topology, device: torch.device) -> Tensor:
    """Position of every slot in the dense matrix, int64 ``[nnz]``."""
    return _copy(topology, "flat", device, lambda: topology.flat)


def per_edge(topology: Topology, name: str, like: Tensor, make: Callable[[], np.ndarray]) -> Tensor:
    """One number per slot, called ``name``, on the device and in the dtype of ``like``."""
    return _copy(topology, name, like.device, make, like.dtype)


def _copy(
    topology: Topology,
    name: str,
    device: torch.device,
    make: Callable[[], np.ndarray],
    dtype: torch.dtype | None = None,
) -> Tensor:
    def copied() -> Tensor:
        with torch.inference_mode(False):  # autograd may save it later
            return torch.tensor(make(), device=device, dtype=dtype)

    # torch.export sees tensors that hold nothing: they are not for later
    return copied() if exported() else topology.cached((name, device, dtype), copied)


def exported() -> bool:
    """Whether `torch.export` is tracing."""
    return getattr(torch.compiler, "is_exporting", bool)()  # which torch 2.6 has not

"""Latents between an input and an output: one without is a constant, or adds nothing, and takes another's place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dsae.topology import Topology

OFF = -1e30  # a bias that no row outweighs; a model folder holds finite numbers alone


def connected(encoder: Sequence[Topology], decoder: Sequence[Topology]) -> np.ndarray:
    """Which latents an input reaches and reach an output over active edges, bool ``[n_components]``."""
    reached = np.ones(encoder[0].shape[1], bool)
    for topology in encoder:
        reached = _outputs(topology, reached)
    heard = np.ones(decoder[-1].shape[0], bool)
    for topology in reversed(decoder):
        heard = _inputs(topology, heard)
    return reached & heard


def _outputs(topology: Topology, reached: np.ndarray) -> np.ndarray:
    if reached.all():
        return topology.fan_in > 0
    return np.bincount(topology.rows[reached[topology.cols]], minlength=topology.shape[0]) > 0


def _inputs(topology: Topology, heard: np.ndarray) -> np.ndarray:
    cols = topology.indices if heard.all() else topology.cols[heard[topology.rows]]
    return np.bincount(cols, minlength=topology.shape[1]) > 0


@torch.no_grad()
def switch(bias: Tensor, on: np.ndarray) -> None:
    """Give latents that are not ``on`` a bias that keeps them off, and those that are on again a bias of zero."""
    wanted = torch.from_numpy(on).to(bias.device)
    bias[wanted & (bias <= OFF / 2)] = 0
    bias[~wanted] = OFF

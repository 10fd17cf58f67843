"""What a model costs: weights, operations, bytes and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsae.topology import Layer


def nnz(layers: Mapping[str, Layer]) -> int:
    """Active weights, without biases."""
    return sum(layer.topology.nnz for layer in layers.values())


def parameters(layers: Mapping[str, Layer]) -> int:
    """Active weights and biases: all trained numbers.

    Examples
    --------
    >>> from dsae.topology import Topology
    >>> parameters({"encoder.0": Layer(Topology.from_mask([[1, 0]]), np.ones(1), np.zeros(1))})
    2
    """
    return nnz(layers) + sum(layer.bias.size for layer in layers.values())


def sizes(layers: Mapping[str, Layer]) -> dict[str, float]:
    """``density``, ``nnz``, ``parameters``, ``multiply_adds`` and ``bytes_in_memory`` of a model."""
    return {
        "density": nnz(layers) / sum(layer.topology.size for layer in layers.values()),
        "nnz": nnz(layers),
        "parameters": parameters(layers),
        "multiply_adds": multiply_adds(layers),
        "bytes_in_memory": bytes_in_memory(layers),
    }


def multiply_adds(layers: Mapping[str, Layer]) -> int:
    """Multiply-adds to encode and decode one row: one per active weight.

    Savings from zeros in the row or the code are not counted.
    """
    return nnz(layers)


def bytes_in_memory(layers: Mapping[str, Layer]) -> int:
    """Bytes of weights, biases and indices; a full layer needs no indices.

    Examples
    --------
    >>> from dsae.topology import Topology
    >>> layer = Layer(Topology.from_mask([[1, 0, 0]]), np.ones(1, "f4"), np.zeros(1, "f4"))
    >>> bytes_in_memory({"encoder.0": layer})   # one value, one bias, one index, two row pointers
    20
    """
    total = 0
    for topology, values, bias in layers.values():
        indices = 0 if topology.is_full else topology.indices.nbytes + topology.indptr.nbytes
        total += values.nbytes + bias.nbytes + indices
    return total


def bytes_on_disk(path: str | Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def seconds_per_call(function: Callable[[], Any], *, repeats: int = 7) -> float:
    """Median wall-clock time of a call, after one call to warm up.

    Parameters
    ----------
    function : callable without arguments
    repeats : int

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> seconds_per_call(lambda: sum(range(100))) > 0
    True
    """
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))

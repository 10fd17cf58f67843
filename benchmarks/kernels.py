"""The kernels alone, panels in and panels out: minimum milliseconds of interleaved calls, batch 256.

python benchmarks/kernels.py [--threads 2]
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import numpy as np
import torch

from dsae import kernels
from dsae.topology import random_topology

LAYERS = [(4096, 4096), (784, 1024)]
DENSITIES = [0.2, 0.1, 0.05, 0.02, 0.01]
BATCH = 256


def filled(*shape: int) -> np.ndarray:
    """Random float32 on a cache line."""
    array = kernels.aligned(shape)
    array[...] = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return array


def calls(n_in: int, n_out: int, density: float, lanes: int) -> dict[str, Callable[[], None]]:
    """The four calls of a forward and backward pass."""
    t = random_topology((n_out, n_in), density, np.random.default_rng(0))
    transposed, slots = t.transpose
    x, dx, y, dy = (filled(BATCH // lanes, width, lanes) for width in (n_in, n_in, n_out, n_out))
    values, moved, dw, bias = filled(t.nnz), filled(t.nnz), filled(t.nnz), filled(n_out)
    return {
        "spmm": lambda: kernels.spmm(t.indptr, t.indices, values, bias, x, y),
        "gather": lambda: kernels.gather(values, slots, moved),
        "spmm transposed": lambda: kernels.spmm(transposed.indptr, transposed.indices, moved, None, dy, dx),
        "sddmm": lambda: kernels.sddmm(t.indptr, t.indices, dy, x, dw),
    }


def minima(timed: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Milliseconds of each call, the calls taking turns."""
    best = dict.fromkeys(timed, float("inf"))
    for _ in range(repeats):
        for name, call in timed.items():
            begun = time.perf_counter()
            call()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - begun))
    return best


@click.command()
@click.option("--threads", default=2, show_default=True)
@click.option("--repeats", default=20, show_default=True)
def main(threads: int, repeats: int) -> None:
    """Print one line per layer, density and lanes."""
    torch.set_num_threads(threads)
    print(f"{kernels.isa()}, {threads} threads, batch {BATCH}")
    for n_in, n_out in LAYERS:
        for density in DENSITIES:
            for lanes in kernels.LANES:
                best = minima(calls(n_in, n_out, density, lanes), repeats)
                shown = "  ".join(f"{name} {ms:.2f}" for name, ms in best.items())
                print(f"{n_in}->{n_out} density {density:g} lanes {lanes}: {shown}  sum {sum(best.values()):.2f}")


if __name__ == "__main__":
    main()

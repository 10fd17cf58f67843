"""One layer, forward and backward, against dense torch: median milliseconds, everything counted.

    python benchmarks/layer.py [--threads 2] [--json benchmarks/layer.json]

`SparseLinear` takes rows and gives rows: packing into panels, bias, the transpose's refresh and autograd are included.
Dense and sparse calls take turns, so that a busy moment of the machine hits both.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import dsae
from dsae import kernels
from dsae.nn import SparseLinear

LAYERS = [(4096, 4096, 256), (784, 1024, 256)]
DENSITIES = [0.2, 0.1, 0.05, 0.02, 0.01]


def forward_backward(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> Callable[[], None]:
    """A call that gives the gradients of input, weights and bias."""
    inputs = (x, *layer.parameters())

    def call() -> None:
        torch.autograd.grad(layer(x), inputs, dy)

    return call


def medians(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Milliseconds of each call, the calls taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 2):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - begun)
    return {name: 1e3 * statistics.median(taken) for name, taken in seconds.items()}


def measure(n_in: int, n_out: int, batch: int, repeats: int) -> list[dict]:
    """One row per density."""
    x = torch.randn(batch, n_in, requires_grad=True)
    dy = torch.randn(batch, n_out)
    rows = []
    for density in DENSITIES:
        calls = {
            "dense": forward_backward(nn.Linear(n_in, n_out), x, dy),
            "sparse": forward_backward(SparseLinear(n_in, n_out, density=density), x, dy),
        }
        times = medians(calls, repeats)
        row = {"layer": f"{n_in}->{n_out}", "batch": batch, "density": density}
        rows.append(row | {"dense_ms": times["dense"], "sparse_ms": times["sparse"]})
    return rows


@click.command()
@click.option("--threads", default=2, show_default=True)
@click.option("--repeats", default=15, show_default=True)
@click.option("--json", "path", type=click.Path(path_type=Path), default=None, help="Also write the rows to a file.")
def main(threads: int, repeats: int, path: Path | None) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    rows = [row for layer in LAYERS for row in measure(*layer, repeats)]
    versions = (
        f"dsae {dsae.__version__} ({kernels.isa()}), torch {torch.__version__}, {threads} threads, "
        f"{platform.processor() or platform.machine()}"
    )
    table = Table(title="Forward + backward, median ms", caption=versions)
    for name in ("layer", "batch", "density", "dense float32", "sparse", "times faster"):
        table.add_column(name, justify="right")
    for row in rows:
        ratio = row["dense_ms"] / row["sparse_ms"]
        cells = (f"{row['dense_ms']:.2f}", f"{row['sparse_ms']:.2f}", f"{ratio:.1f}")
        table.add_row(row["layer"], str(row["batch"]), f"{row['density']:g}", *cells)
    Console().print(table)
    if path is not None:
        path.write_text(json.dumps({"versions": versions, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

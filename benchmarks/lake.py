"""Codes of 1.6 million rows of 128 numbers in Parquet: one process on one core beside Dask's workers.

python benchmarks/lake.py [--files 32] [--rows 50000] [--workers 2] [--repeats 3]; data and codes go to build/lake.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
from suite.stream import make
from suite.timing import peak_bytes

ROOT = Path(__file__).parents[1] / "build" / "lake"
MODELS = {"128-64-16": (64,), "128-1024-256-16": (1024, 256)}


def prepare(n_files: int, n_rows: int) -> None:
    """Files of float32 columns and models with 5 % of the weights, drawn at random."""
    from dsae import store
    from dsae.config import AutoencoderConfig
    from dsae.topology import Layer, Topology

    rows = ROOT / f"rows-{n_files}-{n_rows}"
    if not rows.exists():
        begun = ROOT / "begun"
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        make(begun / "0.parquet", n_rows)
        for i in range(1, n_files):
            shutil.copy(begun / "0.parquet", begun / f"{i}.parquet")
        begun.rename(rows)
    for name, widths in MODELS.items():
        rng, config = np.random.default_rng(0), AutoencoderConfig(128, 16, hidden_layer_sizes=widths)
        layers = {}
        for layer, shape in config.layer_shapes.items():
            topology = Topology.from_mask(rng.random(shape) < 0.05)
            layers[layer] = Layer(topology, rng.normal(0, 0.1, topology.nnz).astype("f4"), np.zeros(shape[0], "f4"))
        store.write(ROOT / name, store.Model(config, layers))


def plain(model: str, rows: Path) -> dict[str, Any]:
    """One process that may use one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from dsae.cluster import encode_files

    begun = time.process_time()
    done = encode_files(ROOT / model, rows, ROOT / "codes-plain")
    found = {"rows_per_second": done.n_rows / done.seconds, "peak_mb": peak_bytes() / 1e6, "n_rows": done.n_rows}
    return found | {"cpu": time.process_time() - begun}


def spread(model: str, rows: Path, n_workers: int, kill: bool = False) -> dict[str, Any]:
    """Dask's workers, a core each; start-up is not counted, nor is the process that waits for them."""
    from distributed import Client

    from dsae.cluster import encode_files
    from dsae.cluster._dask import local_workers

    target = ROOT / "codes-dask"
    shutil.rmtree(target, ignore_errors=True)
    with local_workers(n_workers) as cluster, Client(cluster) as client:
        client.run(_imported)
        pids, killed = [*client.run(os.getpid).values()], []
        before = time.process_time() + sum(client.run(time.process_time).values())

        def told(done: int, total: int) -> None:
            if kill and not killed and 2 * done >= total:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        done = encode_files(ROOT / model, rows, target, cluster=client, told=told)
        peaks = client.run(peak_bytes)
        cpu = time.process_time() + sum(client.run(time.process_time).values()) - before
    return {
        "rows_per_second": done.n_rows / done.seconds,
        "peak_mb": max(peaks.values()) / 1e6,
        "n_rows": done.n_rows,
        "killed": len(killed),
        "cpu": cpu,
    }


def _imported() -> None:

    import dsae.cluster  # noqa: F401


def same_codes(rows: Path) -> bool:
    """Whether both have written the same rows, every one once."""
    import pyarrow.parquet as pq

    names = sorted(os.listdir(rows))
    folders = ROOT / "codes-plain", ROOT / "codes-dask"
    listed = all(sorted(os.listdir(folder)) == names for folder in folders)
    return listed and all(pq.read_table(folders[0] / name).equals(pq.read_table(folders[1] / name)) for name in names)


@click.command()
@click.option("--files", "n_files", default=32, show_default=True)
@click.option("--rows", "n_rows", default=50_000, show_default=True, help="Of a file.")
@click.option("--workers", "n_workers", default=2, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@click.option("--model", "models", multiple=True, type=click.Choice(list(MODELS)), help="By default all.")
@click.option("--apart", nargs=2, hidden=True, help="What this process alone is to measure.")
def main(
    n_files: int, n_rows: int, n_workers: int, repeats: int, models: tuple[str, ...], apart: tuple[str, str] | None
) -> None:
    """Measure, in turns, and print the best of each, with what a killed worker leaves."""
    rows = ROOT / f"rows-{n_files}-{n_rows}"
    if apart is not None:
        print(json.dumps(plain(apart[1], rows)))
        return
    prepare(n_files, n_rows)
    for model in models or MODELS:
        found: dict[str, list[dict[str, Any]]] = {"plain": [], "dask": []}
        for _ in range(repeats):
            command = [sys.executable, __file__, "--files", n_files, "--rows", n_rows, "--apart", "plain", model]
            done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, check=True)
            found["plain"].append(json.loads(done.stdout))
            found["dask"].append(spread(model, rows, n_workers))
        best = {name: max(each, key=lambda one: one["rows_per_second"]) for name, each in found.items()}
        for name, one in best.items():
            print(
                f"{model} {name}: {one['rows_per_second']:,.0f} rows/s, {one['cpu']:.1f} s of CPU in all, "
                f"{one['peak_mb']:.0f} MB a process"
            )
        ratio = best["dask"]["rows_per_second"] / best["plain"]["rows_per_second"]
        print(f"{model}: {n_workers} workers are {ratio:.2f} times one core; the same codes: {same_codes(rows)}")
    lost = spread(model, rows, n_workers, kill=True)
    print(f"with {lost['killed']} worker killed half-way: {lost['n_rows']:,} rows, the same codes: {same_codes(rows)}")


if __name__ == "__main__":
    main()

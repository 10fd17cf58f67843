"""Training by several processes on this machine: bytes and time of a step, and the cost model fitted to them.

python -m suite.cluster RANK SIZE GROUP JOB     is one of the processes
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from suite.timing import Settings, progress

# Features, hidden widths ("auto" are the default ones), width of the code.
SHAPES = ((784, "auto", 32), (4096, (2048,), 64))
PROCESSES, ROWS, DENSITY = (1, 2, 4), (128, 512, 2048), 0.05
STEPS, FIRST = 40, 8  # in all, and how many of them are not counted
EPOCH = 4  # steps of an epoch, at least: its last one is not counted, since importances are measured after it
RUNS, RUN_STEPS = ("tempered", "granet", "rigl", "set"), 400
_SECONDS, _ROUNDS = 900, 2


def measure(settings: Settings) -> dict[str, Any]:
    """One row per shape, number of processes and rows of each of them in a step, each process on one core.

    All sizes are measured twice, in turns, and the quieter of the two rounds is kept.
    """
    shapes = settings.pick(SHAPES, ((64, (32,), 8),))
    processes, rows = settings.pick(PROCESSES, (1, 2)), settings.pick(ROWS, (128,))
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    jobs = [(shape, n, size) for shape in shapes for n in rows for _ in range(_ROUNDS) for size in processes]
    with progress("cluster", len(jobs) + len(RUNS)) as advance:
        for shape, n, size in jobs:
            advance(f"{shape[0]} features, {n} rows each, {size} processes")
            row = _run(_job(shape, n, "random", settings.pick(STEPS, 12)), size)
            before = best.get((shape, n, size))
            if before is None or row["ms"]["step"] < before["ms"]["step"]:
                best[shape, n, size] = row
        runs = {}
        for shrink in RUNS:
            advance(f"a whole run of {shrink}")
            run = _run(_job(shapes[0], 128, shrink, settings.pick(RUN_STEPS, 20)), 2)
            runs[shrink] = {name: run[name] for name in ("live", "bytes", "dense_bytes", "widths")}
    found = list(best.values())
    return {"density": DENSITY, "rows": found, "runs": runs, "model": fitted(found)}


def _job(shape: tuple[int, Any, int], n: int, shrink: str, steps: int) -> dict[str, Any]:
    features, hidden, code = shape
    return {"features": features, "hidden": hidden, "code": code, "rows": n, "shrink": shrink, "steps": steps}


def _run(job: dict[str, Any], size: int) -> dict[str, Any]:
    """What rank 0 tells of a job."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "suite.cluster"]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(size), f"file://{folder}/group", json.dumps(job)],
                env=env,
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                text=True,
            )
            for rank in range(size)
        ]
        try:
            said, _ = ranks[0].communicate(timeout=_SECONDS)
            if any(rank.wait(60) for rank in ranks):
                raise RuntimeError(f"{job} failed on {size} processes")
        finally:
            for rank in ranks:
                rank.kill()
    return json.loads(said)


def fitted(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The cost model's constants: seconds for each live weight and row, for each live weight, and for each byte summed.

    ``t = row * nnz * b + weight * nnz + step + byte * bytes + latency`` for ``b`` rows per process; the last two of two
    processes, whose sums go over the loopback interface.
    """
    alone = [row for row in rows if row["processes"] == 1]
    sizes = np.array([(row["nnz"] * row["rows"], row["nnz"], 1.0) for row in alone])
    seconds = np.array([row["ms"]["compute"] / 1e3 for row in alone])
    by_row, by_weight, step = _least_squares(sizes, seconds)
    two = [row for row in rows if row["processes"] == 2]
    sums = _least_squares(
        np.array([(row["bytes"], 1.0) for row in two]), np.array([row["ms"]["reduce"] / 1e3 for row in two])
    )
    return {"row": by_row, "weight": by_weight, "step": step, "byte": sums[0], "latency": sums[1]}


def _least_squares(sizes: np.ndarray, seconds: np.ndarray) -> list[float]:
    """With relative errors, and no constant below zero."""
    from scipy.optimize import nnls

    found, _ = nnls(sizes / seconds[:, None], np.ones(len(seconds)))
    return found.tolist()


def main(rank: int, size: int, group: str, job: dict[str, Any]) -> None:
    """Train twice, and tell as rank 0 what a step takes; of the second round also how much of it is what."""
    import torch.distributed as dist

    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
    if size > 1:
        dist.init_process_group("gloo", init_method=group, rank=rank, world_size=size)
    rounds: list[list[tuple[int, float, float]]] = [[], []]  # epoch, seconds and processor seconds of steps
    model = _trained(job, size, rounds[0])
    told = _watched(size > 1)
    if size > 1:
        _trained(job, size, rounds[1])
        dist.barrier()
        dist.destroy_process_group()
    if rank:
        return
    steps, busy = _within_epochs(rounds[0])
    shapes = model.config.layer_shapes.values()
    dense = sum(n_out * n_in + n_out for n_out, n_in in shapes)
    # the first step's are those of what was exchanged before it, too
    waited, summed, bytes_ = (np.array(part) for part in zip(*told[1:], strict=True)) if told else (np.zeros(1),) * 3
    wait, reduce = (1e3 * float(np.median(part[FIRST:])) if told else 0.0 for part in (waited, summed))
    whole = 1e3 * float(np.median(steps))
    split = 1e3 * float(np.median(_within_epochs(rounds[1])[0])) if told else whole  # which takes a little longer
    live = model.nnz + sum(n_out for n_out, _ in shapes)
    facts = {"features": job["features"], "processes": size, "rows": job["rows"], "nnz": model.nnz, "live": live}
    config = model.config
    widths = [config.n_features, *config.hidden_layer_sizes, config.n_components]
    counted = {"bytes": float(bytes_.mean()), "dense_bytes": 4 * dense, "widths": widths}
    ms = {"step": whole, "wait": wait, "reduce": reduce, "compute": split - wait - reduce}
    # wall-clock time at the quietest moment, and CPU time, which other processes hardly change
    ms |= {"least": 1e3 * float(steps.min()), "cpu": 1e3 * float(np.median(busy))}
    print(json.dumps(facts | counted | {"ms": ms, "rows_per_second": 1e3 * size * job["rows"] / whole}))


def _within_epochs(taken: list[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and processor seconds of the steps that follow another of their epoch."""
    epochs, *times = np.array(taken[FIRST:]).T
    return tuple(np.diff(of)[np.diff(epochs) == 0] for of in times)  # type: ignore[return-value]


def _watched(several: bool) -> list[tuple[float, float, int]]:
    """Seconds of waiting, seconds of summing, and bytes of every step to come, where there are several processes."""
    told: list[tuple[float, float, int]] = []
    if several:
        import torch
        import torch.distributed as dist

        from dsae.train._world import World

        step, before = World.step, [0]

        def watched(world: Any, *given: Any) -> Any:
            begun = time.perf_counter()
            dist.all_reduce(torch.zeros(1))  # until all are there
            here = time.perf_counter()
            found = step(world, *given)
            told.append((here - begun, time.perf_counter() - here, world.traffic - before[0]))
            before[0] = world.traffic  # sums that started before this step's end are its own
            return found

        World.step = watched  # type: ignore[method-assign]
    return told


def _trained(job: dict[str, Any], size: int, taken: list[tuple[int, float, float]]) -> Any:
    from dsae import DeepSparseAutoencoder

    rng = np.random.default_rng(0)
    batch = job["rows"] * size
    X = rng.random((batch * max(EPOCH, 4096 // batch), job["features"]), np.float32)
    epochs = -(-job["steps"] // (len(X) // batch))
    hidden = job["hidden"] if isinstance(job["hidden"], str) else tuple(job["hidden"])
    dsa = DeepSparseAutoencoder(
        job["code"],
        hidden_layer_sizes=hidden,
        density=DENSITY,
        shrink=job["shrink"],
        batch_size=batch,
        max_iter=epochs,
        random_state=0,
        distributed=size > 1,
    )

    def on_step(row: dict[str, Any]) -> None:
        taken.append((row["epoch"], time.perf_counter(), time.process_time()))

    return dsa.fit(X, on_step=on_step, every=1).runtime_.model


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))

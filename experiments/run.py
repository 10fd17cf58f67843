"""Run the experiments behind docs/results.md and docs/tasks.md: python -m experiments.run [TABLES].

A table is a list of runs. Every finished run is a line in build/results, so that an interrupted table continues where
it stopped. The seeds whose runs are all done are written to experiments/results, from which
`python -m experiments.publish` makes the page.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import queue
import resource
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from rich.console import Console

TABLES = (
    "images",
    "words",
    "sparse_start",
    "methods",
    "hinton",
    "ksparse",
    "contractive",
    "kl_sparse",
    "selection",
    "codes",
    "defaults",
    "joint",
    "generation",
    "repair",
)
# The page of tasks: each table has `verdicts(rows)`, too.
TASKS: tuple[str, ...] = ("recommender", "cells", "outliers", "text", "dictionaries", "tables", "imputation")
ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "results"
RESULTS = ROOT / "experiments" / "results"
console = Console(stderr=True)


@click.command()
@click.argument("tables", nargs=-1, type=click.Choice((*TABLES, *TASKS, "tasks")))
@click.option("--afresh", is_flag=True, help="Forget what is in build/results.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Run this one, and others later; by default all.")
def main(tables: tuple[str, ...], afresh: bool, seeds: tuple[int, ...]) -> None:
    """Run TABLES, by default all of docs/results.md; "tasks" are those of docs/tasks.md."""
    for table in [name for given in tables or TABLES for name in (TASKS if given == "tasks" else (given,))]:
        path = WORK / f"{table}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        if afresh:
            path.unlink(missing_ok=True)
        _run_table(table, path, seeds)


def _run_table(table: str, path: Path, seeds: tuple[int, ...] = ()) -> None:
    module = import_module(f"experiments.tables.{table}")
    jobs = module.jobs()
    done = _done(path)
    path.write_text("".join(json.dumps(row) + "\n" for row in done.values()), encoding="utf-8")
    waiting = [job for job in jobs if _key(job) not in done and (not seeds or job["seed"] in seeds)]
    console.print(f"{table}: {len(jobs)} runs, {len(waiting)} to do")
    # timings that are compared need the machine for themselves; where errors alone count, each core takes a run
    alone = getattr(module, "ALONE", False)
    cores = sorted(os.sched_getaffinity(0))
    try:
        _work_off(table, waiting, [cores] if alone else [[core] for core in cores], path)
    finally:
        _write(table, jobs, _done(path), _machine(cores, alone))


def _write(table: str, jobs: list[dict], done: dict[str, dict], machine: dict[str, Any]) -> None:
    """Whole seeds only: a mean over some methods of a seed would compare what cannot be compared."""
    missing = {job["seed"] for job in jobs if _key(job) not in done}
    rows = [done[_key(job)] for job in jobs if job["seed"] not in missing]
    if rows:
        RESULTS.mkdir(exist_ok=True)
        summary = {"machine": machine, "runs": len(jobs), "rows": rows}
        (RESULTS / f"{table}.json").write_text(_lines(summary), encoding="utf-8")


def _work_off(table: str, jobs: list[dict], shares: list[list[int]], path: Path) -> None:
    todo: queue.SimpleQueue = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)
    failed: list[str] = []
    lock = threading.Lock()

    def work(cores: list[int]) -> None:
        while not failed:
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            result = _in_a_process(table, job, cores)
            if isinstance(result, str):
                failed.append(result)
                return
            with lock, path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"job": job, "result": result}) + "\n")
                console.print(f"{table} {_key(job)}: {_key(result)}", soft_wrap=True, highlight=False)

    threads = [threading.Thread(target=work, args=(cores,)) for cores in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{table}: {failed[0]}")


def _in_a_process(table: str, job: dict, cores: list[int]) -> dict | str:
    """What one run gave, or why it gave nothing; a process for each, so that its peak of memory is its own."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(table, job, cores, theirs))
    process.start()
    theirs.close()
    try:
        result = ours.recv()
    except EOFError:
        result = "the process died"
    process.join()
    return result


def _measure(table: str, job: dict, cores: list[int], answer: Any) -> None:
    os.sched_setaffinity(0, cores)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(len(cores))
    import torch
    from experiments.datasets import load

    torch.set_num_threads(len(cores))
    begun = time.perf_counter()
    try:
        result = import_module(f"experiments.tables.{table}").measure(job, load)
    except Exception as error:
        answer.send(f"{_key(job)}: {type(error).__name__}: {error}")
        raise
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(_rounded(result) | {"peak_mb": round(peak), "run_seconds": round(time.perf_counter() - begun, 1)})


def _done(path: Path) -> dict[str, dict]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {}
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the line that was being written when the run was stopped
            continue
        found[_key(row["job"])] = row
    return found


def _key(job: dict) -> str:
    return json.dumps(job, sort_keys=True)


def _lines(summary: dict) -> str:
    rows = ",\n".join("  " + json.dumps(row) for row in summary["rows"])
    head = f'"machine": {json.dumps(summary["machine"])},\n "runs": {summary["runs"]}'
    return f'{{\n {head},\n "rows": [\n{rows}\n ]\n}}\n'


def _machine(cores: list[int], alone: bool) -> dict[str, Any]:
    from importlib.metadata import version

    from benchmarks.suite.machine import cpu_name, now

    versions = {name: version(name) for name in ("dsae", "torch", "numpy", "scipy", "scikit-learn")}
    threads = len(cores) if alone else 1
    return {"cpu": cpu_name(), "cores": len(cores), "threads": threads, "versions": versions, "date": now()[:10]}


def _rounded(thing: Any) -> Any:
    if isinstance(thing, float):
        return float(f"{thing:.6g}")
    if isinstance(thing, dict):
        return {key: _rounded(value) for key, value in thing.items()}
    return [_rounded(value) for value in thing] if isinstance(thing, (list, tuple)) else thing


if __name__ == "__main__":
    main()

"""Ranks that are killed without a word while torchrun looks after them: python -m tests.train.kills [N].

Each of N runs (20 by default) ends one rank by SIGKILL at a step of its own; torchrun starts all of them again, and
they go on from the checkpoint. A run that is done is not repeated: what each has come to is in build/kills.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tests.train.cases import rows

from dsae import load

HOW = ["--hidden-layer-sizes", "9", "--n-components", "4", "--density", "0.3", "--random-state", "0"]
HOW += ["--max-iter", "10", "--batch-size", "100", "--checkpoint-every", "0"]
N_ROWS = 600
PROCESSES = ("-m", "dsae"), ("--processes", "2")
TORCHRUN = (
    ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "3", "--monitor-interval", "0.1"),
    ("--distributed",),
)


def fit(folder, kill=None, after=0, command=TORCHRUN):
    """Train by two processes, and kill a rank when so many checkpoints more than one have been seen."""
    folder.mkdir()
    np.save(folder / "X.npy", rows(N_ROWS))
    begin, end = command
    run = [sys.executable, *begin]
    run += ["--master-port", str(29_500 + os.getpid() % 1000), "-m", "dsae"] if command is TORCHRUN else []
    run += ["fit", str(folder / "X.npy"), "-o", str(folder / "model"), *HOW, *end]
    (said,) = _disturbed([(run, {})], folder, kill, after)
    assert kill is None or command is PROCESSES or "(exitcode: -9)" in said, said


def fit_on_two_machines(folder, script, kill, after):
    """The same by the guide's script for several machines, of which there are two here, with a process each."""
    folder.mkdir()
    np.save(folder / "rows.npy", rows(N_ROWS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # torchrun of this environment, which need not be on the path, and the options of the other runs
    torchrun = f"exec {sys.executable} -m torch.distributed.run --monitor-interval 0.1 "
    script = script[: script.index("  --n-components")].replace("torchrun ", torchrun, 1)
    script = script.replace("fit rows ", "fit rows.npy ").replace("--checkpoint-every 10 ", "") + " ".join(HOW)
    given = {"NODES": "2", "PROCESSES": "1", "MASTER": f"127.0.0.1:{port}"}
    nodes = [(["bash", "-c", script], given | {"NODE": str(node)}) for node in range(2)]
    said = _disturbed(nodes, folder, kill, after)
    assert "(exitcode: -9)" in said[kill], said


def _disturbed(commands, folder, kill, after):
    """What those that start ranks say; one of the ranks is killed on the way."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    env=env | more,
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
            for command, more in commands
        ]
        for process in started:
            stack.callback(_end, process)
        if kill is not None:
            _wait_for(folder / "model.checkpoint" / "checkpoint.json", after, started[0])
            os.kill(_process_of([process.pid for process in started], kill), signal.SIGKILL)
        said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), "\n".join(said)
    return said


def _end(process):
    with contextlib.suppress(ProcessLookupError):  # with all that it has started
        os.killpg(process.pid, signal.SIGKILL)


def _wait_for(kept, n, started):
    seen, deadline = set(), time.monotonic() + 900
    while len(seen) <= n:
        assert started.poll() is None, started.communicate()[0]
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):
            seen.add(kept.stat().st_mtime_ns)
        time.sleep(0.001)


def _process_of(parents, rank):
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (process / "status").read_text()
            child = any(f"PPid:\t{parent}\n" in status for parent in parents)
            if child and f"\0RANK={rank}\0".encode() in b"\0" + (process / "environ").read_bytes():
                return int(process.name)
    raise AssertionError(f"no rank {rank}")


def same(one, other):
    """Whether two models have the same edges and the same weights, bit for bit."""
    models = [load(folder / "model").model for folder in (one, other)]
    layers = [[(of.topology.indices, of.values, of.bias) for of in model.layers.values()] for model in models]
    return all(np.array_equal(a, b) for x, y in zip(*layers, strict=True) for a, b in zip(x, y, strict=True))


def main(n=20):
    root = Path("build/kills").resolve()
    root.mkdir(parents=True, exist_ok=True)
    whole = root / "whole"
    if not (whole / "model").exists():
        shutil.rmtree(whole, ignore_errors=True)
        fit(whole)
    for number in range(int(n)):
        told = root / f"{number}.json"
        if not told.exists():
            folder, rank, after = root / f"run{number}", number % 2, random.Random(number).randrange(40)
            shutil.rmtree(folder, ignore_errors=True)
            fit(folder, rank, after)
            told.write_text(json.dumps({"rank": rank, "checkpoints": after, "same": same(whole, folder)}))
            shutil.rmtree(folder)
        print(number, told.read_text(), flush=True)
    found = [json.loads((root / f"{number}.json").read_text())["same"] for number in range(int(n))]
    print(f"{sum(found)} of {len(found)} with the weights of a run that nobody disturbed")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

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
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tests.train.ranks import rows

from dsae import load

HOW = ["--hidden-layer-sizes", "9", "--n-components", "4", "--density", "0.3", "--random-state", "0"]
HOW += ["--max-iter", "10", "--batch-size", "100", "--checkpoint-every", "0"]
N_ROWS = 600


def fit(folder, kill=None, after=0):
    """Train by torchrun, and kill a rank when so many checkpoints more than one have been seen."""
    folder.mkdir()
    np.save(folder / "X.npy", rows(N_ROWS))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "3"]
    run += ["--monitor-interval", "0.1", "--master-port", str(29_500 + os.getpid() % 1000)]
    run += ["-m", "dsae", "fit", str(folder / "X.npy"), "-o", str(folder / "model"), "--distributed", *HOW]
    with subprocess.Popen(run, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as torchrun:
        if kill is not None:
            _wait_for(folder / "model.checkpoint" / "checkpoint.json", after, torchrun)
            os.kill(_process_of(torchrun.pid, kill), signal.SIGKILL)
        said, _ = torchrun.communicate(timeout=900)
    assert torchrun.returncode == 0, said
    assert kill is None or "(exitcode: -9)" in said, said


def _wait_for(kept, n, torchrun):
    seen, deadline = set(), time.monotonic() + 900
    while len(seen) <= n:
        assert torchrun.poll() is None, torchrun.communicate()[0]
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):
            seen.add(kept.stat().st_mtime_ns)
        time.sleep(0.001)


def _process_of(parent, rank):
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            child = f"PPid:\t{parent}\n" in (process / "status").read_text()
            if child and f"\0RANK={rank}\0".encode() in b"\0" + (process / "environ").read_bytes():
                return int(process.name)
    raise AssertionError(f"no rank {rank}")


def same(one, other):
    """Whether two models have the same edges and the same weights, bit for bit."""
    models = [load(folder / "model").model for folder in (one, other)]
    layers = [[(of.topology.indices, of.values, of.bias) for of in model.layers.values()] for model in models]
    return all(np.array_equal(a, b) for x, y in zip(*layers, strict=True) for a, b in zip(x, y, strict=True))


def main(n=20):
    root = Path("build/kills")
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

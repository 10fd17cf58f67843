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
from pathlib import Path

import numpy as np
from tests.ports import free_port
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


# Python runs this at startup. The chosen rank kills itself at a given step, or shortly after, since a watcher outside
# might find it too late; once restarted, it trains on.
STARTUP = """
import os, signal, threading
rank, step, delay, marker = {rank!r}, {step!r}, {delay!r}, {marker!r}
if {quick!r}:
    os.fsync = lambda file: None  # as in all tests
if os.environ.get("RANK") == str(rank) and not os.path.exists(marker):
    from dsae.train import _train_step
    whole = _train_step._of_all

    def ended(run, learner, *given):
        if learner.step == step:
            open(marker, "x").close()
            if delay:
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return whole(run, learner, *given)

    _train_step._of_all = ended
"""


def fit(folder, kill=None, step=0, command=TORCHRUN, delay=None):
    """Train by two processes, of which one is killed at a step, or so many seconds after it has begun that step.

    With a delay disks are waited for, as where nothing is tested.
    """
    folder.mkdir()
    np.save(folder / "X.npy", rows(N_ROWS))
    begin, end = command
    run = [sys.executable, *begin]
    run += ["--master-port", str(free_port()), "-m", "dsae"] if command is TORCHRUN else []
    run += ["fit", str(folder / "X.npy"), "-o", str(folder / "model"), *HOW, *end]
    (said,) = _disturbed([(run, {})], folder, kill, step, delay)
    assert kill is None or command is PROCESSES or "(exitcode: -9)" in said, said


def fit_on_two_machines(folder, script, kill, step):
    """The same by the guide's script for several machines, of which there are two here, with a process each."""
    folder.mkdir()
    np.save(folder / "rows.npy", rows(N_ROWS))
    # torchrun of this environment, which need not be on the path, and the options of the other runs
    torchrun = f"exec {sys.executable} -m torch.distributed.run --monitor-interval 0.1 "
    script = script[: script.index("  --n-components")].replace("torchrun ", torchrun, 1)
    script = script.replace("fit rows ", "fit rows.npy ").replace("--checkpoint-every 10 ", "") + " ".join(HOW)
    given = {"NODES": "2", "PROCESSES": "1", "MASTER": f"127.0.0.1:{free_port()}"}
    nodes = [(["bash", "-c", script], given | {"NODE": str(node)}) for node in range(2)]
    said = _disturbed(nodes, folder, kill, step)
    assert "(exitcode: -9)" in said[kill], said


def _disturbed(commands, folder, kill, step, delay=None):
    """What those that start ranks say; one of the ranks is killed on the way."""
    marker = folder / "killed"
    startup = {"rank": kill, "step": step, "delay": delay, "marker": str(marker), "quick": delay is None}
    (folder / "startup").mkdir()
    (folder / "startup" / "sitecustomize.py").write_text(STARTUP.format_map(startup))
    path = os.pathsep.join(filter(None, (str(folder / "startup"), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": path}
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
        said = [process.communicate(timeout=900)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), "\n".join(said)
    assert marker.exists() == (kill is not None), said
    return said


def _end(process):
    with contextlib.suppress(ProcessLookupError):  # with all that it has started
        os.killpg(process.pid, signal.SIGKILL)


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
            folder, rank, draws = root / f"run{number}", number % 2, random.Random(number)
            step, delay = draws.randrange(1, 40), 0.01 * draws.random()
            shutil.rmtree(folder, ignore_errors=True)
            fit(folder, rank, step, delay=delay)
            told.write_text(json.dumps({"rank": rank, "step": step, "same": same(whole, folder)}))
            shutil.rmtree(folder)
        print(number, told.read_text(), flush=True)
    found = [json.loads((root / f"{number}.json").read_text())["same"] for number in range(int(n))]
    print(f"{sum(found)} of {len(found)} with the weights of a run that nobody disturbed")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

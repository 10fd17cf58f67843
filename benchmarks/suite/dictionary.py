"""Steps of trainers of dictionaries, in turns of some steps, each trainer in a process of its own."""

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

from suite.timing import Settings, progress, summary

CASE = {"rows": 30_000, "features": 256, "latents": 2048, "k": 32, "batch": 256, "atoms": 3000}
WIDE = CASE | {"rows": 8192, "latents": 65_536}
QUICK = {"rows": 600, "features": 32, "latents": 256, "k": 4, "batch": 64, "atoms": 200}
THREADS = 1
STEPS, TURNS = 20, 15
OURS = ("dsae 1", "dsae 0.1")
PEERS = ("SAELens", "sparsify")
RATE = 3e-3
_WORKER = Path(__file__).with_name("trainers.py")


def peers_python() -> Path:
    """Of the environment that has the peers; theirs do not fit into one with everybody else's."""
    given = os.environ.get("DSAE_BENCH_PEERS")
    return Path(given) if given else Path(__file__).parents[2] / ".venv-bench-dictionary" / "bin" / "python"


def measure(settings: Settings) -> dict[str, Any]:
    """One row for each case; peers that are not installed are left out."""
    cases, rows = settings.pick((CASE,), (QUICK,)), []
    names = [*OURS, "torch", *(PEERS if peers_python().exists() else ())]
    with progress("dictionary", len(cases)) as advance:
        for case in cases:
            advance(f"{case['features']} inputs, {case['latents']} latents")
            steps = settings.pick(STEPS if case is CASE else 2, 3)
            rows.append(case | {"threads": THREADS, "steps": steps, "ms": _turns(case, names, steps, settings)})
    return {"rows": rows, "versions": _versions()}


def _turns(case: dict[str, Any], names: list[str], steps: int, settings: Settings) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.npy"
        np.save(data, _rows(case))
        how = case | {"data": str(data), "threads": THREADS, "steps": steps, "rate": RATE}
        trainers = {name: _started(name, how) for name in names}
        taken: dict[str, list[list[float]]] = {name: [] for name in names}
        for turn in range(1 + settings.pick(TURNS, 2)):
            for name, trainer in trainers.items():
                time.sleep(0.01)
                seconds = _turn(trainer, steps)
                if turn:  # the first warms up
                    taken[name].append([s / steps for s in seconds])
        for trainer in trainers.values():
            trainer.stdin.close()  # type: ignore[union-attr]
            trainer.wait()
    found = {}
    for name, values in taken.items():
        clock, processor = (summary(list(column)) for column in zip(*values, strict=True))
        found[name] = clock | {"processor": processor["median"], "processor_min": processor["min"]}
    return found


def _rows(case: dict[str, Any]) -> np.ndarray:
    from dsae.data import make_sparse_features

    made = make_sparse_features(case["rows"], n_features=case["features"], n_atoms=case["atoms"], random_state=0).X
    rng = np.random.default_rng(0)
    return (made + 0.1 * made.std() * rng.standard_normal(made.shape)).astype(np.float32)


def _started(name: str, how: dict[str, Any]) -> subprocess.Popen[str]:
    python = str(peers_python()) if name in PEERS else sys.executable
    threads = {f"{library}_NUM_THREADS": str(THREADS) for library in ("OMP", "MKL", "OPENBLAS")}
    trainer = subprocess.Popen(
        [python, str(_WORKER), name, json.dumps(how)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | threads | {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"},
    )
    while (line := trainer.stdout.readline()) != "ready\n":  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{name} did not start: {python} {_WORKER} {name!r} {json.dumps(how)!r}")
    return trainer


def _turn(trainer: subprocess.Popen[str], steps: int) -> list[float]:
    """Seconds of the clock and of the processor."""
    print(steps, file=trainer.stdin, flush=True)
    while line := trainer.stdout.readline():  # type: ignore[union-attr]
        if line.startswith("["):
            return json.loads(line)
    raise RuntimeError(f"{trainer.args} ended early")


def _versions() -> dict[str, str]:
    if not peers_python().exists():
        return {}
    code = "import json; from importlib.metadata import version as v; print(json.dumps({n: v(n) for n in %r}))"
    command = [str(peers_python()), "-c", code % (("sae-lens", "eai-sparsify", "torch"),)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

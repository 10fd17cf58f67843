"""Dictionaries against the trainers of the field, on rows like activations, and against a known truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

TITLE = "Dictionaries"
SEEDS = (0, 1, 2, 3, 4)
CASE = {"features": 256, "latents": 2048, "k": 32, "batch": 256, "epochs": 10}
DEFAULT = "auto"
OURS = ("topk", "batchtopk", "jumprelu")
PEERS = {"SAELens topk": (1e-3, 3e-3, 1e-2), "SAELens batchtopk": (3e-3,), "sparsify topk": (3e-3, 1e-2)}
K, LATENTS, NESTED = 25, 512, (64, 192, 512)
TRUTH = {"batchtopk": {}, "jumprelu": {}, "matryoshka": {"matryoshka": NESTED}}


def jobs() -> list[dict[str, Any]]:
    """Per seed: three codes by default settings, the peers at their rates, and three dictionaries of known atoms."""
    found: list[dict[str, Any]] = []
    for seed in SEEDS:
        found += [{"part": "activations", "trainer": f"dsae {code}", "rate": DEFAULT, "seed": seed} for code in OURS]
        if _peers_python().exists():
            found += [
                {"part": "activations", "trainer": trainer, "rate": rate, "seed": seed}
                for trainer, rates in PEERS.items()
                for rate in rates
            ]
        found += [{"part": "truth", "trainer": f"dsae {name}", "rate": DEFAULT, "seed": seed} for name in TRUTH]
    return found


def measure(job: dict[str, Any], data: Any = None) -> dict[str, float]:
    """Train on some rows, measure on others; the seed draws the rows as well as the model."""
    if job["part"] == "truth":
        return _of_truth(job)
    from experiments.activations import activations

    rows = activations(seed=job["seed"])
    if job["trainer"].startswith("dsae"):
        return _ours(job, rows._asdict())
    return _theirs(job, rows._asdict())


def _ours(job: dict[str, Any], rows: dict[str, Any]) -> dict[str, float]:
    from dsae import DeepSparseAutoencoder
    from dsae.metrics import dead_latents, fvu

    model = DeepSparseAutoencoder(
        CASE["latents"],
        code_activation=job["trainer"].split()[1],
        k=CASE["k"],
        density=1.0,
        shrink="none",
        batch_size=CASE["batch"],
        max_iter=CASE["epochs"],
        random_state=job["seed"],
    )
    begun = time.process_time()
    model.fit(rows["train"])
    found: dict[str, float] = {"seconds": time.process_time() - begun}
    for name in ("validation", "test"):
        codes = model.transform(rows[name])
        found[f"{name}_fvu"] = float(fvu(rows[name], model.inverse_transform(codes)))
        found |= {"l0": float((codes != 0).sum(1).mean()), "dead": dead_latents(codes) / CASE["latents"]}
    return found


def _peers_python() -> Path:
    """Of the environment that has the peers, that of `make bench PARTS=dictionary`."""
    given = os.environ.get("DSAE_BENCH_PEERS")
    return Path(given) if given else Path(__file__).parents[2] / ".venv-bench-dictionary" / "bin" / "python"


def _theirs(job: dict[str, Any], rows: dict[str, Any]) -> dict[str, float]:
    import numpy as np

    trainer, code = job["trainer"].split()
    with tempfile.TemporaryDirectory() as folder:
        for name, values in rows.items():
            np.save(Path(folder) / f"{name}.npy", values)
        case = CASE | {"trainer": trainer, "code": code, "rate": job["rate"], "seed": job["seed"], "folder": folder}
        command = [str(_peers_python()), "-P", str(Path(__file__).parents[1] / "peers.py"), json.dumps(case)]
        environment = os.environ | {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise RuntimeError(f"{job['trainer']} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _of_truth(job: dict[str, Any]) -> dict[str, float]:
    from experiments.tables import codes

    name = job["trainer"].split()[1]
    changes = {"code": "batchtopk" if name == "matryoshka" else name, "density": 1.0, "max_iter": codes.EPOCHS}
    how = {"learning_rate_init": job["rate"], "seed": job["seed"], **TRUTH[name]}
    return codes.measure(changes | how)


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Two tables."""
    from benchmarks.page.common import table

    first, truth = _lines(rows), []
    for name in TRUTH:
        same = [row["result"] for row in rows if row["job"]["trainer"] == f"dsae {name}" and _part(row) == "truth"]
        if same:
            cells = (_cell([result[key] for result in same]) for key in ("f1", "mcc", "uniqueness", "fvu"))
            truth.append((f"dsae {name}", *cells, f"{fmean(result['seconds'] for result in same):.0f}"))
    text = TEXT + table(("trainer", "rate", "FVU", "L0", "dead, %", "processor s"), first, left=2)
    text += _without_peers(rows)
    if truth:
        text += TRUTH_TEXT + table(("code", "F1", "MCC", "uniqueness", "FVU", "seconds"), truth, left=1)
        text += _difference(rows)
    return text


def _part(row: dict[str, Any]) -> str:
    return row["job"]["part"]


def _lines(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    lines = []
    for trainer in dict.fromkeys(row["job"]["trainer"] for row in rows if _part(row) == "activations"):
        for rate in dict.fromkeys(row["job"]["rate"] for row in rows if row["job"]["trainer"] == trainer):
            same = _results(rows, trainer, rate)
            if same:
                dead = f"{100 * fmean(result['dead'] for result in same):.1f}"
                l0 = f"{fmean(result['l0'] for result in same):.1f}"
                seconds = f"{fmean(result['seconds'] for result in same):.0f}"
                name = "default" if rate == DEFAULT else f"{rate:g}"
                lines.append((trainer, name, _cell([r["test_fvu"] for r in same]), l0, dead, seconds))
    return lines


def _results(rows: list[dict[str, Any]], trainer: str, rate: Any) -> list[dict[str, float]]:
    return [
        row["result"]
        for row in rows
        if _part(row) == "activations" and row["job"]["trainer"] == trainer and row["job"]["rate"] == rate
    ]


def _cell(values: list[float]) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{spread}"


def _best(rows: list[dict[str, Any]], trainer: str) -> list[float]:
    """Test FVU by seed, each at the rate that has the smallest FVU of the rows to validate on."""
    by_seed: dict[int, tuple[float, float]] = {}
    for row in rows:
        if _part(row) == "activations" and row["job"]["trainer"] == trainer:
            pair = row["result"]["validation_fvu"], row["result"]["test_fvu"]
            by_seed[row["job"]["seed"]] = min(pair, by_seed.get(row["job"]["seed"], pair))
    return [test for _, test in by_seed.values()]


def _without_peers(rows: list[dict[str, Any]]) -> str:
    missing = [name for name in PEERS if not _best(rows, name)]
    return f"\nNot installed where this was run: {', '.join(missing)}.\n" if missing else ""


def _difference(rows: list[dict[str, Any]]) -> str:
    f1 = _f1(rows)
    pairs = [f1["matryoshka"][seed] - f1["batchtopk"][seed] for seed in f1["matryoshka"] if seed in f1["batchtopk"]]
    if not pairs:
        return ""
    return (
        f"\nNested widths {NESTED} change the F1 of batchtopk by {_cell(pairs)}, seed by seed from {min(pairs):+.3f} "
        f"to {max(pairs):+.3f}.\n"
    )


def _f1(rows: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {name: {} for name in TRUTH}
    for row in rows:
        if _part(row) == "truth":
            found[row["job"]["trainer"].split()[1]][row["job"]["seed"]] = row["result"]["f1"]
    return found


def verdicts(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """FVU against the best of the peers, F1 of nested widths against plain ones."""
    lines = []
    peers = {name: median(values) for name in PEERS if (values := _best(rows, name))}
    ours = {f"dsae {code}": median(values) for code in OURS if (values := _best(rows, f"dsae {code}"))}
    if peers and ours:
        peer, own = min(peers, key=lambda name: peers[name]), min(ours, key=lambda name: ours[name])
        won = "win" if ours[own] < peers[peer] else "loss"
        lines.append(("Dictionaries", f"FVU, {own}", f"{ours[own]:.3f}", f"{peers[peer]:.3f}", peer, won))
    f1 = _f1(rows)
    if f1["matryoshka"] and f1["batchtopk"]:
        nested, plain = (median(f1[name].values()) for name in ("matryoshka", "batchtopk"))
        won = "win" if nested > plain else "loss"
        lines.append(
            ("Dictionaries", "F1, nested widths", f"{nested:.3f}", f"{plain:.3f}", "dsae batchtopk, not nested", won)
        )
    return lines


TEXT = """
Rows like activations (`experiments/activations.py`): 30,000 x 256, sums of 22 of 3000 atoms with a mean and noise; 2048
latents, 32 of them in a row, 10 epochs of steps of 256 rows, density 1. dsae at its default rate; the peers at the
rates shown, otherwise at their defaults, without a schedule. FVU of 5000 other rows, mean and standard deviation over
seeds, which draw the rows too; the first table of this page takes each peer at the rate that is best on 5000 rows to
validate on. One thread.

"""
TRUTH_TEXT = f"""
**Known atoms.** The reduced SynthSAEBench of [Results](results.md#sparse-codes-against-a-known-truth): {LATENTS}
latents, L0 {K}, at the default rate.

"""

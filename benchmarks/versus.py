"""Two checkouts of dsae by turns: python benchmarks/versus.py OTHER_CHECKOUT [PARTS] [--rounds 3].

Each checkout runs its own benchmark suite in its own environment (`make test` makes one), with dsae alone timed, in
turns of one part; steps are timed by this checkout's suite in both, since it takes them from whole fits. A line is the
ratio of the medians over rounds, this checkout over the other; below 1 this one is faster. The last line of a part is
the geometric mean.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parents[1]
PARTS = ("layer", "step", "rows", "stream", "wide")
_OURS = ("dsae", "set", "rigl")
# What a child runs: its checkout's suite, with only dsae's own calls timed and shorter turns.
_CHILD = f"""
import json, sys, time
import torch
from importlib import import_module
import suite.timing as timing

part, threads, share = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)

def warm(call):
    # The system spreads the threads of a new process over the cores only after some milliseconds of work.
    until = time.perf_counter() + 0.1
    while time.perf_counter() < until:
        call()
    return call

def ours(timed):
    def alone(calls, seconds, *args, **options):
        chosen = {{k: f for k, f in calls.items() if k.startswith({_OURS!r})}}
        # One after the other: what only one checkout has must not take the other's lines out of the cache.
        return {{k: timed({{k: warm(f)}}, share * seconds, *args, **options)[k] for k, f in chosen.items()}}
    return alone

timing.turns, timing.bursts = ours(timing.turns), ours(timing.bursts)
module = import_module(f"suite.{{part}}")
if part == "layer":
    module.NAMES, module.BLOCKS = (module.OURS,), "blocks, which one checkout lacks"
if part == "step":
    module.TORCH, module.BLOCKS = (), (1,)
if part == "stream":  # ten million rows tell no more than one
    timing.Settings.pick = lambda self, full, quick: [n for n in full if n <= 10**6]
print(json.dumps(module.measure(timing.Settings(threads, False))))
"""


@click.command()
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--share", default=0.2, show_default=True, help="Of the seconds that the suite gives each line.")
def main(other: Path, parts: tuple[str, ...], rounds: int, threads: int, share: float) -> None:
    """Print ratios of this checkout over OTHER for PARTS, by default all."""
    for part in parts or PARTS:
        taken: dict[Path, dict[str, list[float]]] = {HERE: {}, other.resolve(): {}}
        for _ in range(rounds):
            for checkout, lines in taken.items():
                for name, value in _lines(_measure(checkout, part, threads, share)):
                    lines.setdefault(name, []).append(value)
        _show(part, *taken.values())


def _show(part: str, mine: dict[str, list[float]], theirs: dict[str, list[float]]) -> None:
    ratios = []
    for name in mine.keys() & theirs.keys():
        ratio = statistics.median(mine[name]) / statistics.median(theirs[name])
        best = min(mine[name]) / min(theirs[name])
        ratios.append((name, ratio, best))
    for name, ratio, best in sorted(ratios):
        print(f"{part}  {name}: {ratio:.3f} (of minima {best:.3f})")
    mean = [math.exp(statistics.fmean(math.log(line[at]) for line in ratios)) for at in (1, 2)]
    print(f"{part}  geometric mean of {len(ratios)} lines: {mean[0]:.3f} (of minima {mean[1]:.3f})", flush=True)


def _measure(checkout: Path, part: str, threads: int, share: float) -> Any:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    suite = HERE if part == "step" else checkout
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONPATH": str(suite / "benchmarks")}
    command = [str(checkout / ".venv/bin/python"), "-c", _CHILD, part, str(threads), str(share)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def _lines(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every time in what a part measured, by its place."""
    if isinstance(found, list):
        for row in (row for row in found if isinstance(row, dict)):
            kind = " ".join(str(v) for k, v in row.items() if k in _KEYS)
            yield from _lines(row, f"{path} {kind}".strip())
    elif isinstance(found, dict):
        if "median" in found:
            yield path, found["median"]
            return
        for key, value in found.items():
            if key in ("fit_seconds", "encode_seconds", "seconds") and path:
                yield f"{path} {key}", value
            elif isinstance(value, (list, dict)):
                yield from _lines(value, f"{path} {key}".strip())


_KEYS = ("widths", "n_in", "n_out", "density", "rows", "features", "kind", "format")

if __name__ == "__main__":
    main()

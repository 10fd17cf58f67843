"""Write docs/benchmarks.md and its figures from benchmarks/results.json: python benchmarks/publish.py [RESULTS].

Every number on the page is computed here from the file, so text and figures cannot diverge.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from page.common import Bar, table

ROOT = Path(__file__).parents[1]
SECTIONS = (
    "layer",
    "step",
    "bound",
    "rows",
    "topology",
    "memory",
    "crossover",
    "alternation",
    "growth",
    "stream",
    "wide",
    "overheads",
    "recommender",
    "dictionary",
    "busy",
    "cluster",
)
HEAD = """# Benchmarks

<!-- Written by benchmarks/publish.py from benchmarks/results.json; `make bench` measures again and rewrites it. -->

What dsae's layers, training steps and models cost beside dense torch, torch's sparse matrices, SparseLab and
SparseProp, with wins and losses alike. `make bench` repeats it on your machine; other machines give other ratios.

"""
HOW = """
## How it was measured

`make bench` installs dsae and what it is compared with, at fixed versions, into an environment of its own
(`.venv-bench`), runs `benchmarks/run.py`, which writes `benchmarks/results.json` (medians, minima, number of calls,
versions, machine), and makes this page of it. `make bench PARTS="layer step"` measures some parts and keeps the
rest.

- Contestants take turns within one process, call by call, so that a busy moment of the machine hits all of them.
  Medians are shown.
- Before a turn there is a pause of ten milliseconds, because threads of an OpenMP runtime spin for some milliseconds
  after their work, SparseLab and onnxruntime have threads of their own, and threads that still spin would take a core
  from the next contestant. A short call is preceded by an untimed one, so that none starts with cold caches or
  sleeping threads.
- OpenMP's waiting policy, stated above, matters only to torch and to the peers, since dsae's kernels have threads of
  their own. It should be the default: with `OMP_WAIT_POLICY=passive` SparseProp, which waits at a barrier for every
  output row, is several times slower.
- SparseLab and SparseProp are given their matrices in CSR form, as their own constructors would write all zeros out;
  what they compute is what their modules compute. Edges are drawn uniformly at random.
- All allocate memory as they do when installed: torch and the peers through the C library, dsae from memory that it
  keeps when it is freed. Results are dropped after each call, as a training step drops its activations and gradients.
- All activations are dense rows, as a user has them; dsae's packing into panels and back is always counted.
"""


@click.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), default=ROOT / "benchmarks" / "results.json")
@click.option("--to", type=click.Path(path_type=Path), default=ROOT / "docs", help="Folder of the page.")
def main(results: Path, to: Path) -> None:
    """Make the page of RESULTS."""
    measured = json.loads(results.read_text(encoding="utf-8"))
    to.mkdir(parents=True, exist_ok=True)
    bars, sections = [], []
    for name in SECTIONS:
        if name in measured:
            module = import_module(f"page.{name}")
            bars += module.bars(measured[name])
            sections.append(f"\n## {module.TITLE}\n" + module.render(measured[name], to / "img"))
    text = HEAD + _machine(measured) + _headline(bars) + "".join(sections) + HOW
    (to / "benchmarks.md").write_text(text, encoding="utf-8")
    click.echo(f"{to / 'benchmarks.md'}: {sum(bar.met for bar in bars)} of {len(bars)} bars met", err=True)


def _headline(bars: list[Bar]) -> str:
    if not bars:
        return ""
    met = sum(bar.met for bar in bars)
    title = f"\n## What was to be reached\n\n{met} of {len(bars)} bars are met. x: times faster.\n\n"
    return title + table(("", "measured", "bar", ""), (bar.cells() for bar in bars))


def _machine(measured: dict[str, Any]) -> str:
    parts = list(measured.values())
    machine, dates = parts[0]["machine"], sorted({part["date"][:10] for part in parts})
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    lines = [
        f"**Machine:** {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads used; {caches}; "
        f"{machine['memory_gb']} GB; {', '.join(machine['flags'])}; {machine['system']}.",
        f"**Versions:** {versions}; Python {machine['python']}; {machine['compiler']}. "
        f"dsae's kernels: {machine['isa']}; OpenMP waiting policy: {machine['wait_policy']}.",
        f"**Measured:** {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, "
        f"{sum(part['seconds'] for part in parts) / 60:.0f} minutes in all.",
    ]
    if any(part["quick"] for part in parts):
        lines.append("**These are figures of a quick run, which mean nothing.**")
    if any(part["machine"] != machine for part in parts):
        lines.append("**The parts were measured on different machines or with different versions; see results.json.**")
    return "  \n".join(lines) + "\n"


if __name__ == "__main__":
    main()

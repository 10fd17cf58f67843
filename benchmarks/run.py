"""Measure dsae against dense torch and its peers: python benchmarks/run.py [PARTS] [--quick] [--threads 2].

Each part replaces its own section of benchmarks/results.json, so parts can be run one by one;
`python benchmarks/publish.py` makes docs/benchmarks.md of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from suite import PARTS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
QUICK_RESULTS = ROOT / "build" / "bench" / "quick.json"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--quick", is_flag=True, help="Tiny sizes, to see that everything runs; the figures mean nothing.")
@click.option("--threads", default=2, show_default=True)
@click.option("--resume", is_flag=True, help="Leave out parts measured with these sources on such a machine.")
@click.option("--output", type=click.Path(path_type=Path), help="Default: benchmarks/results.json; quick: build/bench.")
def main(parts: tuple[str, ...], quick: bool, threads: int, resume: bool, output: Path | None) -> None:
    """Run PARTS, by default all."""
    # before numpy, torch and the peers are imported: SparseProp reads its number of threads from here
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch
    from suite.machine import describe, now
    from suite.timing import Settings, console

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    settings, path = Settings(threads, quick), output or (QUICK_RESULTS if quick else RESULTS)
    about = describe(threads) | {"sources": _sources()}
    _show(about, console)
    measured = _read(path)
    for part in parts or PARTS:
        if resume and measured.get(part, {}).get("machine") == about and measured[part]["quick"] == quick:
            console.print(f"{part}: measured {measured[part]['date']}")
            continue
        begun = time.perf_counter()
        section = import_module(f"suite.{part}").measure(settings)
        seconds = round(time.perf_counter() - begun, 1)
        stamp = {"date": now(), "seconds": seconds, "quick": quick, "machine": about}
        _merge(path, part, stamp | section)
        console.print(f"{part}: {seconds:g} s, merged into {path}")


def _show(about: dict[str, Any], console: Any) -> None:
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in about["versions"].items())
    console.print(f"{about['cpu']}, {about['threads']} threads, dsae kernels {about['isa']}; {versions}")
    if about["wait_policy"].lower() != "default":
        console.print(
            f"OMP_WAIT_POLICY is {about['wait_policy']}: SparseProp is several times slower under 'passive', and "
            "SparseLab's own threads would wait for torch's under 'active'. Unset it for figures to publish."
        )


def _sources() -> str:
    """A digest of the package and its kernels."""
    digest = hashlib.sha256()
    for file in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "csrc").rglob("*.[ch]pp")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _merge(path: Path, part: str, section: dict[str, Any]) -> None:
    results = _read(path)
    results[part] = _rounded(section)
    ordered = {name: results[name] for name in PARTS if name in results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def _rounded(thing: Any) -> Any:
    """Floats with five digits: enough, and short."""
    if isinstance(thing, float):
        return float(f"{thing:.5g}")
    if isinstance(thing, dict):
        return {key: _rounded(value) for key, value in thing.items()}
    return [_rounded(value) for value in thing] if isinstance(thing, (list, tuple)) else thing


if __name__ == "__main__":
    main()

"""Write docs/results.md and its plots from experiments/results: python -m experiments.publish.

Every number on the page is computed here from the files, so text and figures cannot diverge.
"""

from __future__ import annotations

import json
from importlib import import_module

from experiments.run import RESULTS, ROOT, TABLES

HEAD = """# Results

<!-- Written by `python -m experiments.publish` from experiments/results; `make results` runs everything anew. -->

How small the error of a sparse autoencoder is, at which density and in what time: against its dense twin, between the
methods of choosing weights, and against published tables. `make results` repeats all of it (some hours on two
cores, resumable), `make results-TABLE` one table. Data come from scikit-learn's downloads, or from the folder
that `DSAE_DATA` names. Wins and losses are both reported.
"""


def main() -> None:
    """Make the page of every table that has results."""
    text, docs = HEAD, ROOT / "docs"
    for name in TABLES:
        path = RESULTS / f"{name}.json"
        if path.exists():
            results = json.loads(path.read_text(encoding="utf-8"))
            module = import_module(f"experiments.tables.{name}")
            text += f"\n## {module.TITLE}\n\n{module.render(results['rows'], docs / 'img')}\n{_about(name, results)}"
    (docs / "results.md").write_text(text, encoding="utf-8")


def _about(name: str, results: dict) -> str:
    machine, rows = results["machine"], results["rows"]
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    minutes = sum(row["result"]["run_seconds"] for row in rows) / 60
    peak = max(row["result"]["peak_mb"] for row in rows)
    runs = f"{len(rows)}{_of(results)} runs"
    where = f"{machine['date']}, {machine['cpu']}, {machine['threads']} thread(s) a run; {versions}"
    return f"<sub>`make results-{name}`: {runs}, {minutes:.0f} minutes, at most {peak:,} MB each; {where}.</sub>\n"


def _of(results: dict) -> str:
    """Says so where seeds are yet to be run."""
    return f" of {results['runs']}" if len(results["rows"]) < results["runs"] else ""


if __name__ == "__main__":
    main()

"""Write docs/results.md, docs/tasks.md and their plots from experiments/results: python -m experiments.publish.

Every number on the pages is computed here from the files, so text and figures cannot diverge.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from benchmarks.page.common import table
from experiments.run import RESULTS, ROOT, TABLES, TASKS

HEAD = """# Results

<!-- Written by `python -m experiments.publish` from experiments/results; `make results` reruns everything. -->

How small the error of a sparse autoencoder is, at which density and in what time: against its dense twin, between the
methods of choosing weights, and against published tables. `make results` repeats all of it (some hours on two
cores, resumable), `make results-TABLE` one table. Data come from scikit-learn's downloads, or from the folder
that `DSAE_DATA` names. Wins and losses are both reported.
"""


TASK_HEAD = """# Tasks

<!-- Written by `python -m experiments.publish` from experiments/results; `make tasks` reruns everything. -->

What people use an autoencoder for, against the tools that they would use instead, on the same rows in the same run.
Settings are chosen on validation rows; every table names them and shows the figures of the defaults, too. Figures are
medians over seeds, unless a table says otherwise. `make tasks` repeats all of it (resumable), `make tasks-TABLE` one,
with `SEEDS=0` a single seed. `DSAE_DATA` names the folder of the data. The first table says where dsae wins and where
it loses.
"""
VERDICTS = ("task", "measured by", "dsae", "best other", "which", "")


def main() -> None:
    """Make both pages, of every table that has results."""
    docs = ROOT / "docs"
    (docs / "results.md").write_text(HEAD + _sections(TABLES, "results", docs / "img"), encoding="utf-8")
    if any(_results(name) for name in TASKS):
        text = f"{TASK_HEAD}\n{_verdicts()}{_sections(TASKS, 'tasks', docs / 'img')}"
        (docs / "tasks.md").write_text(text, encoding="utf-8")


def _sections(names: tuple[str, ...], target: str, images: Path) -> str:
    text = ""
    for name in names:
        results = _results(name)
        if results:
            module = import_module(f"experiments.tables.{name}")
            text += f"\n## {module.TITLE}\n\n{module.render(results['rows'], images)}\n{_about(name, target, results)}"
    return text


def _verdicts() -> str:
    """One line for each measure of each task: wins and losses."""
    lines = []
    for name in TASKS:
        results = _results(name)
        if results:
            lines += import_module(f"experiments.tables.{name}").verdicts(results["rows"])
    return table(VERDICTS, lines, left=2)


def _results(name: str) -> dict | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _about(name: str, target: str, results: dict) -> str:
    machine, rows = results["machine"], results["rows"]
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    minutes = sum(row["result"]["run_seconds"] for row in rows) / 60
    peak = max(row["result"]["peak_mb"] for row in rows)
    runs = f"{len(rows)}{_of(results)} runs"
    where = f"{machine['date']}, {machine['cpu']}, {machine['threads']} thread(s) a run; {versions}"
    return f"<sub>`make {target}-{name}`: {runs}, {minutes:.0f} minutes, at most {peak:,} MB each; {where}.</sub>\n"


def _of(results: dict) -> str:
    """Says so where seeds are yet to be run."""
    return f" of {results['runs']}" if len(results["rows"]) < results["runs"] else ""


if __name__ == "__main__":
    main()

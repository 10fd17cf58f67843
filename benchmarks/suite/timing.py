"""Timing by turns: whoever is compared is timed within the same seconds, so that a busy moment hits all."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Call = Callable[[], object]
console = Console(stderr=True, highlight=False, soft_wrap=True)

# OpenMP threads of libgomp spin for some milliseconds after their last work; SparseLab and onnxruntime have pools of
# their own, and a pool that still spins takes a core from the next contestant.
_SETTLE = 0.01
# A call shorter than this is preceded by an untimed one, so that caches and threads are as in a loop over it.
_SHORT = 0.02


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    threads: int
    quick: bool

    def pick(self, full: Any, quick: Any) -> Any:
        """The first, or in a quick run the second."""
        return quick if self.quick else full


def turns(
    calls: dict[str, Call],
    seconds: float,
    least: int = 5,
    most: int = 40,
    before: dict[str, Call] | None = None,
) -> dict[str, dict[str, float]]:
    """Milliseconds of each call, the calls taking turns.

    Parameters
    ----------
    calls : dict of str to callable
    seconds : float
        Rounds continue until so much time has passed, at least ``least`` and at most ``most`` of them.
    before : dict of str to callable, optional
        Untimed call that precedes a timed one; by default a short call is preceded by itself.

    Returns
    -------
    dict of str to dict
        ``median`` and ``min`` in milliseconds, and ``n``, the number of timed calls.
    """
    before = before or {}
    usual = {name: _seconds(call, before.get(name)) for name, call in calls.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    begun, n = time.perf_counter(), 0
    while n < least or (n < most and time.perf_counter() - begun < seconds):
        for name, call in calls.items():
            time.sleep(_SETTLE)
            first = before.get(name, call if usual[name] < _SHORT else None)
            taken[name].append(_seconds(call, first))
        n += 1
    gc.enable()
    return {name: summary(values) for name, values in taken.items()}


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, minimum and count, in milliseconds."""
    return {"median": 1e3 * statistics.median(seconds), "min": 1e3 * min(seconds), "n": len(seconds)}


def bursts(calls: dict[str, Call], seconds: float, each: float = 0.05) -> dict[str, dict[str, float]]:
    """Like `turns` for very short calls: each turn is a burst of single timed calls that lasts ``each`` seconds."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    begun = time.perf_counter()
    while not taken[next(iter(calls))] or time.perf_counter() - begun < seconds:
        for name, call in calls.items():
            time.sleep(10 * _SETTLE)
            warm = time.perf_counter()
            while time.perf_counter() - warm < each / 5:
                call()
            until = time.perf_counter() + each
            while time.perf_counter() < until or len(taken[name]) < 3:
                taken[name].append(_seconds(call, None))
    gc.enable()
    return {name: summary(values) for name, values in taken.items()}


def _seconds(call: Call, first: Call | None) -> float:
    if first is not None:
        first()
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress line; the function it gives says what comes next, and off a terminal prints it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as line:
        task = line.add_task(title, total=total, completed=-1)

        def advance(what: str) -> None:
            line.update(task, advance=1, description=f"{title}: {what}")
            if not console.is_terminal:
                console.print(f"{title}: {what}")

        yield advance


def peak_bytes() -> int:
    """Largest resident set of this process so far; `getrusage` would count that of its parent, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

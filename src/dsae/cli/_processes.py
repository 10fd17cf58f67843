"""Training by several processes, from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

RANK, RESTARTS = "RANK", "TORCHELASTIC_RESTART_COUNT"  # as torchrun sets them
_RESTARTS = 3  # of a run that keeps checkpoints, before it is given up

_OPTIONS = (
    click.option(
        "--distributed",
        is_flag=True,
        help="Be one of the processes that torchrun has started, which share the rows of every step.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(1),
        metavar="N",
        help="Start N processes on this machine that train together; the model is the same for each N up to rounding.",
    ),
)


def process_options(command: Any) -> Any:
    """Add ``--distributed`` and ``--processes`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rank_of(distributed: bool) -> int:
    """Which of the processes this is; 0 speaks for all."""
    return int(os.environ.get(RANK, "0")) if distributed else 0


def restarted() -> bool:
    """Whether torchrun has started this process again after one was lost."""
    return int(os.environ.get(RESTARTS, "0")) > 0


def start(n: int, data: str, kept: bool) -> int:
    """Run this very command as ``n`` processes, as torchrun does.

    Parameters
    ----------
    n : int
    data : str
        What the command reads.
    kept : bool
        Whether it writes checkpoints, from which it may be started again if a process is lost.

    Returns
    -------
    int
        The exit code of the first process that failed, or 0.
    """
    import logging
    import uuid

    if data == "-":
        raise ValueError("--processes needs rows that each process can read; got standard input. Write them to a file.")
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say what went wrong
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // n)))
    config = LaunchConfig(
        1,
        1,
        n,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=_RESTARTS if kept else 0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "dsae", *_command())
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        return first.exitcode if first.exitcode > 0 else 1
    return 0


def _command() -> list[str]:
    """The command line of this process, as one of several processes has it."""
    given: Sequence[str] = click.get_current_context().find_root().obj["args"]
    command, skip = [], False
    for word in given:
        if not skip and not word.startswith("--processes="):
            command += [] if word == "--processes" else [word]
        skip = word == "--processes" and not skip
    return [*command, "--distributed"]

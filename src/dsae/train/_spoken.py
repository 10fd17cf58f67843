"""An error of several processes on the command line: said once, by a rank that has it."""

from __future__ import annotations

import json
import os
import time
import zlib
from contextlib import suppress
from datetime import timedelta
from typing import Any

from torch.distributed.rendezvous import rendezvous

from dsae.train._lost import LostRankError, tell_failure

_WAITS = 5.0  # seconds for ranks that may meet the same error a little later
_POLL = 0.02


def attempt() -> str:
    """Which start of the processes by torchrun this is."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def spoken(error: Exception, text: str) -> str | None:
    """What this rank is to say of an error: nothing where another says it, and which ranks have it unless all do.

    Parameters
    ----------
    error : Exception
    text : str
        What a process alone would say.
    """
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if size == 1:
        return text
    if getattr(error, "together", False):
        return None if rank else text
    store = _agents_store()
    return text if store is None else spoken_among(store, rank, size, error, text)


def _agents_store() -> Any:
    """The store of torchrun, which outlives its processes; None where they were started by something else."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        with suppress(RuntimeError, ValueError):
            return next(rendezvous("env://", timeout=timedelta(seconds=_WAITS)))[0]
    return None


def spoken_among(store: Any, rank: int, size: int, error: Exception, text: str, waits: float = _WAITS) -> str | None:
    """The same, where ranks tell one another by a store of torch.distributed."""
    try:
        own = f"dsae said {attempt()}"
        lost = isinstance(error, LostRankError)
        store.set(f"{own} {rank}", json.dumps([lost, text]))
        if lost:  # who failed says why; of those that only see a rank gone, the first
            return None if error.told or store.add(f"{own} lost", 1) > 1 else text
        tell_failure(store, rank, error, attempt())
        having = [of for of, other in _heard(store, own, size, waits).items() if other == [False, text]]
        if store.add(f"{own} {zlib.crc32(text.encode())}", 1) > 1:
            return None
        return text if len(having) == size else f"{_named(having)}: {text}"
    except (RuntimeError, ValueError):  # the store is gone
        return text


def _heard(store: Any, own: str, size: int, waits: float) -> dict[int, list[Any]]:
    """What the ranks that have failed up to now say, in their order; all of them, if that is soon."""
    keys, ends = [f"{own} {rank}" for rank in range(size)], time.monotonic() + waits
    while not store.check(keys) and time.monotonic() < ends:
        time.sleep(_POLL)
    return {rank: json.loads(store.get(key)) for rank, key in enumerate(keys) if store.check([key])}


def _named(ranks: list[int]) -> str:
    *others, last = ranks
    return f"ranks {', '.join(map(str, others))} and {last}" if others else f"rank {last}"

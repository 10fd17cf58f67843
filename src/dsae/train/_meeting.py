"""How ranks meet, and how they part: the process group, what all of them must have, and what ends all of them."""

from __future__ import annotations

import atexit
import os
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

import dsae
from dsae import ops
from dsae.train._lost import LostRankError, reason_of_failure, tell_failure
from dsae.train._spoken import attempt
from dsae.train._world import World

TIMEOUT = "DSAE_TIMEOUT"
"""The environment variable that says for how many seconds ranks wait for one another."""
_SECONDS = 300.0
_POLL = 0.02  # seconds
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_SAME_VERSIONS = "Install the same on all machines; DSAE_ISA=x86-64-v3 lets newer CPUs compute as older ones do."


def world_of(distributed: bool) -> ops.Alone:
    """The ranks to train among: those of the process group that is open, or that torchrun's variables tell of.

    Raises
    ------
    ValueError
        If there is neither.
    """
    if not distributed:
        return ops.Alone()
    if not dist.is_available():
        raise ValueError("[fit] distributed=True needs a torch with torch.distributed; this one was built without it.")
    atexit.unregister(_leave)  # once, however many fits there are
    atexit.register(_leave)
    waits = timedelta(seconds=float(os.environ.get(TIMEOUT, _SECONDS)))
    if dist.is_initialized():
        if dist.group.WORLD not in _GROUPS:
            _GROUPS[dist.group.WORLD] = dist.new_group(backend="gloo", timeout=waits)
        return World(_GROUPS[dist.group.WORLD])
    if any(name not in os.environ for name in _VARIABLES):
        raise ValueError(
            "[fit] distributed=True needs processes that were started together; this one is alone. Start them by "
            "torchrun --nproc-per-node 2 script.py, or by dsae fit ... --processes 2, or open a process group of "
            "torch.distributed before."
        )
    try:
        store, rank, size = next(rendezvous("env://", timeout=waits))
        own = PrefixStore(_roll(store, rank, size, waits), store)
        dist.init_process_group(_backend(), store=own, rank=rank, world_size=size, timeout=waits)
    except (RuntimeError, ValueError) as error:
        raise LostRankError(0, f"not all processes came ({' '.join(str(error).split())})") from None
    _GROUPS[dist.group.WORLD] = None
    return World()


@contextmanager
def among_ranks(distributed: bool, parameters: Mapping[str, Any]) -> Iterator[ops.Alone]:
    """Train among the ranks while this is open: all of the same versions, with the same parameters.

    Warnings are rank 0's, and what goes wrong on one rank ends all of them.

    Raises
    ------
    ValueError
        If there is no process group to join, or the versions or parameters of a rank differ from those of rank 0.
    ConnectionError
        If a rank is lost.
    """
    world = world_of(distributed)
    if not isinstance(world, World):
        yield world
        return
    with _telling(world), ops.among(world), warnings.catch_warnings():
        if world.rank:
            warnings.simplefilter("ignore")
        world.agree("versions", versions(), _SAME_VERSIONS)
        world.agree("parameters", parameters, "Start every process with the same.")
        yield world


@contextmanager
def _telling(world: World) -> Iterator[None]:
    """Let the other ranks know why this one fails, and let none of them wait for it."""
    try:
        yield
    except BaseException as error:
        if not getattr(error, "together", False) and dist.is_initialized():
            with suppress(Exception):
                if not isinstance(error, LostRankError):
                    tell_failure(dist.distributed_c10d._get_default_store(), world.rank, error)
            _leave()  # closes the connections on which the others wait
        raise


def of_rank_0(value: Any) -> Any:
    """What rank 0 has."""
    return ops.ranks().first(lambda: value)


def _leave() -> None:
    """Close the connections before Python ends, whose threads could end the process with an error otherwise.

    They stay open as long as anything holds the group, be it garbage that is not collected yet.
    """
    World.leave_all()
    _GROUPS.clear()
    if dist.is_initialized():
        with suppress(Exception):
            dist.destroy_process_group()


_GROUPS: dict[Any, Any] = {}  # for what is on the CPU, by the process's group of all


def _roll(store: Any, rank: int, size: int, waits: timedelta) -> str:
    """A name that those have agreed on who are here now.

    torchrun may keep its store when it starts processes again, with the addresses of those that are gone, and the
    machines may differ in how often they have started theirs. So each process has a name that no other ever had; rank 0
    calls the roll until all of it have answered.
    """
    mine, ends = uuid.uuid4().hex, time.monotonic() + waits.total_seconds()
    store.set(f"dsae {rank}", mine)
    names, answers = [f"dsae {of}" for of in range(size)], []
    while time.monotonic() < ends:
        if rank == 0 and store.check(names):
            here = [store.get(name).decode() for name in names]
            roll = ",".join(here)
            store.set("dsae roll", roll)
            answers = [f"dsae {roll} {of}" for of in here[1:]]
            if not answers or store.check(answers):
                store.set(f"dsae go {roll}", "")
                return roll
        elif rank and store.check(["dsae roll"]):
            roll = store.get("dsae roll").decode()
            if mine in roll:
                store.set(f"dsae {roll} {mine}", "")
                if store.check([f"dsae go {roll}"]):
                    return roll
        reason = reason_of_failure(store, attempt())
        if reason is not None:  # it could not read its rows, say
            raise LostRankError(0, reason, told=True)
        time.sleep(_POLL)
    raise RuntimeError(f"{size} processes have not met within {waits.total_seconds():g} s")


def _backend() -> str:
    """nccl for what is on a GPU, where each process of this machine has one to itself."""
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available() and dist.is_nccl_available() and torch.cuda.device_count() >= beside:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return "cpu:gloo,cuda:nccl"
    return "gloo"


def versions() -> dict[str, Any]:
    """What all ranks must have the same of, so that they compute the same."""
    return {"dsae": dsae.__version__, "torch": str(torch.__version__), "numpy": np.__version__, "isa": ops.isa()}

"""Training by several processes (torch.distributed): each computes the gradient of its rows, and all make one step.

Every rank holds the whole model, in the same state after every step. Between a step's gradients and its update one sum
over all ranks goes over the live weights alone, and with it the loss, the number of rows, and whether any of them is to
stop (docs/design/cluster.md).
"""

from __future__ import annotations

import atexit
import os
import pickle
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

import dsae
from dsae import ops
from dsae.nn import JointGiven, SparseLinear
from dsae.train._checkpoint import equal
from dsae.train._optim import SparseAdam
from dsae.train._update import InMatrices

TIMEOUT = "DSAE_TIMEOUT"
"""The environment variable that says for how many seconds ranks wait for one another."""
_SECONDS = 300.0
_POLL = 0.02  # seconds
_HARDLY = 1e-20
OVERLAPPED = 1 << 18
"""Live weights of a layer from which on its sum starts by itself: 1 MB, which 10 Gbit Ethernet sends in 1 ms."""
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FAILED = "dsae failed"  # where a rank that fails tells the others why
_SAME_VERSIONS = "Install the same on all machines; DSAE_ISA=x86-64-v3 lets newer CPUs compute as older ones do."
_AGAIN = (
    "Start all processes again; with a checkpoint they go on from it, and torchrun --max-restarts does so by itself."
)


class Outcome(NamedTuple):
    """A step of all ranks.

    Parameters
    ----------
    loss, objective : float
        Means over all rows, without and with the penalties.
    n_rows : int
    worth : float
        What the rows count for, in rows.
    parts : dict of str to (float, float)
        Of each modality, if there are several, its mean loss and what it counts for.
    stop, due : bool
        Whether a rank was asked to stop, and whether it is time for a checkpoint.
    """

    loss: float
    objective: float
    n_rows: int
    worth: float
    parts: dict[str, tuple[float, float]]
    stop: bool = False
    due: bool = False


class World(ops.Alone):
    """The ranks of a process group.

    Attributes
    ----------
    traffic : int
        Bytes that this rank has given into sums so far.
    steps : int
        Steps that all ranks have made.
    """

    def __init__(self, group: Any = None) -> None:
        self.rank, self.size, self._group = dist.get_rank(), dist.get_world_size(), group
        self.void, self.share, self.traffic, self.steps = False, 1.0, 0, 0
        self._flat: Tensor | None = None
        self._parts: dict[int, Tensor] = {}
        self._early: dict[int, tuple[Tensor, Any]] = {}  # sums that are under way, by parameter

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over all ranks, in place."""
        return self._reduce(tensor, dist.ReduceOp.SUM)

    def max(self, tensor: Tensor) -> Tensor:
        """Maximum over all ranks, in place."""
        return self._reduce(tensor, dist.ReduceOp.MAX)

    def _reduce(self, tensor: Tensor, how: Any) -> Tensor:
        self.traffic += tensor.numel() * tensor.element_size()
        with self._reached():
            if tensor.device.type == "cpu" or "nccl" in str(dist.get_backend_config()):
                dist.all_reduce(tensor, how, group=self._group if tensor.device.type == "cpu" else None)
            else:
                here = tensor.cpu()
                dist.all_reduce(here, how, group=self._group)
                tensor.copy_(here)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, in their order; it is pickled."""
        mine = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        sizes = self.sum(
            torch.zeros(self.size, dtype=torch.int64).index_fill_(0, torch.tensor(self.rank), mine.numel())
        )
        padded = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        padded[: mine.numel()] = mine
        found = [torch.empty_like(padded) for _ in range(self.size)]
        with self._reached():
            dist.all_gather(found, padded, group=self._group)
        return [pickle.loads(each[:size].numpy().tobytes()) for each, size in zip(found, sizes.tolist(), strict=True)]

    def first(self, make: Callable[[], Any]) -> Any:
        """What rank 0 makes, on all ranks; what it raises, they all raise."""
        told: list[Any] = [None, None]
        if self.rank == 0:
            try:
                told[0] = make()
            except Exception as error:
                told[1] = error
        with self._reached():
            dist.broadcast_object_list(told, group=self._group, device=torch.device("cpu"))
        if told[1] is not None:
            raise together(told[1])
        return told[0]

    def agree(self, what: str, mine: Mapping[str, Any], remedy: str) -> None:
        """Raise the same error on all ranks unless they have the same.

        Raises
        ------
        ValueError
            That names a rank with something else, and what differs.
        """
        everywhere = self.gather(dict(mine))
        for rank, other in enumerate(everywhere):
            names = sorted({*everywhere[0], *other})
            apart = [name for name in names if not equal(everywhere[0].get(name), other.get(name))]
            if apart:
                differ = "; ".join(f"{name} is {other.get(name)!r}, not {everywhere[0].get(name)!r}" for name in apart)
                raise together(ValueError(f"[fit] Rank {rank} must have the {what} of rank 0: {differ}. {remedy}"))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let the other ranks know why this one fails, and let none of them wait for it."""
        try:
            yield
        except BaseException as error:
            if not getattr(error, "together", False) and dist.is_initialized():
                reason = " ".join(str(error).split())
                with suppress(Exception):
                    if not isinstance(error, LostRankError):
                        _store().set(_FAILED, f"rank {self.rank} failed with {type(error).__name__}: {reason}")
                _leave()  # closes the connections on which the others wait
            raise

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """An exchange that fails is an error that says who was lost, as far as that is known."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            reason = f"a process is gone or does not answer ({' '.join(str(error).split())})"
            with suppress(Exception):  # the store may be gone with its process
                if _store().check([_FAILED]):
                    reason = _store().get(_FAILED).decode()
            raise LostRankError(self.steps, reason) from None

    def step(
        self,
        held: Mapping[str, InMatrices],
        optimizer: SparseAdam,
        given: Any,
        found: tuple[float, float],
        parts: Mapping[str, float],
        stop: bool,
        due: bool,
    ) -> Outcome:
        """The gradients of all ranks' rows, in the place of this rank's.

        Parameters
        ----------
        held : mapping of str to InMatrices
            Where the gradients of some layers are.
        optimizer : SparseAdam
            Of the parameters whose gradients these are.
        given : Given or JointGiven
        found : (float, float)
            Mean loss and objective of this rank's rows.
        parts : mapping of str to float
            The losses of the modalities that they have.
        stop, due : bool
            What this rank asks for; only rank 0 says when a checkpoint is due.
        """
        early, self._early = self._early, {}
        every = _live(held, optimizer)
        places, live = zip(*(pair for key, *pair in every if key not in early), strict=True)
        n_rows, worth = self.counted(given.n_rows), self.worth(given)
        names = given.names if isinstance(given, JointGiven) else ()
        counts = {name: 0.0 if self.void or name not in given.parts else given.parts[name].rows_worth for name in names}
        tail = [found[0] * worth, found[1] * worth, worth, n_rows, float(stop), float(due and self.rank == 0)]
        tail += [number for name in names for number in (parts.get(name, 0.0) * counts[name], counts[name])]
        n_live = sum(gradient.numel() for gradient in live)
        flat = self._place(n_live + len(tail), live[0])
        torch.cat([gradient.reshape(-1) for gradient in live], out=flat[:n_live])
        flat[:n_live].mul_(worth)
        flat[n_live:] = torch.tensor(tail, dtype=torch.float64).to(flat)
        if self.void:  # what stands in for rows may have no finite gradient
            flat[: n_live + 3].zero_()
        self.sum(flat)
        with self._reached():
            for _, work in early.values():
                work.wait()
        loss, objective, total, n_rows, stop, due, *rest = flat[n_live:].tolist()
        weighed = total if total > 2 * _HARDLY * n_rows else 0.0
        flat[:n_live].div_(total or 1.0)
        for take, gradient, part in zip(places, live, flat[:n_live].split([g.numel() for g in live]), strict=True):
            take(part.view_as(gradient))
        for key, take, _ in every:
            if key in early:
                take(early[key][0].div_(total or 1.0))
        self.share, self.steps = worth / (total or 1.0), self.steps + 1
        means = {name: (rest[2 * i] / (rest[2 * i + 1] or 1.0), rest[2 * i + 1]) for i, name in enumerate(names)}
        total = total or 1.0
        return Outcome(loss / total, objective / total, int(n_rows), weighed, means, stop > 0, due > 0)

    def starting(self, layers: Sequence[SparseLinear], given: Any) -> Callable[[int], None] | None:
        """What is to be told the number of a layer whose gradient is there; None where none of them is large.

        That of a large layer is summed while the layers below go backward, before `step` sums the others.
        """
        if all(layer.nnz < OVERLAPPED for layer in layers):
            return None
        worth = self.worth(given)

        def finished(number: int) -> None:
            values = layers[number].values
            if values.numel() < OVERLAPPED:
                return
            part = self._parts.get(number)
            if part is None or part.numel() != values.numel():
                part = self._parts[number] = torch.empty_like(values.detach())
            torch.mul(values.grad, worth, out=part)  # type: ignore[arg-type]
            self.traffic += part.numel() * part.element_size()
            with self._reached():
                work = dist.all_reduce(part.zero_() if self.void else part, group=self._group, async_op=True)
            self._early[id(values)] = part, work

        return finished

    def worth(self, given: Any) -> float:
        """What the rows at hand count for: hardly anything where they weigh nothing, for penalties see them still."""
        return 0.0 if self.void else max(given.rows_worth, _HARDLY * given.n_rows)

    def _place(self, n: int, like: Tensor) -> Tensor:
        """A buffer that is kept from step to step."""
        if self._flat is None or self._flat.numel() < n or self._flat.dtype != like.dtype:
            self._flat = torch.empty(n, dtype=like.dtype, device=like.device)
        return self._flat[:n]


class LostRankError(ConnectionError):
    """A rank that is gone or late; on all others the same."""

    def __init__(self, steps: int, reason: str) -> None:
        super().__init__(f"[fit] Training among several processes ended after {steps} steps: {reason}. {_AGAIN}")


def together(error: Exception) -> Exception:
    """An error that all ranks raise at the same time: none has to be told."""
    error.together = True  # type: ignore[attr-defined]
    return error


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()


def _live(held: Mapping[str, InMatrices], optimizer: SparseAdam) -> list[tuple[int, Callable[[Tensor], Any], Tensor]]:
    """By parameter, what puts another gradient in its place, and the gradient at live weights, in the edges' order."""
    found = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if group["layer"] in held:
                layer = held[group["layer"]]
                found.append((id(parameter), layer.take_gradient, layer.live_gradient()))
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            found.append((id(parameter), parameter.grad.copy_, parameter.grad))
    return found


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
        If there is nobody to train among, or a rank has other versions or parameters than rank 0.
    ConnectionError
        If a rank is lost.
    """
    world = world_of(distributed)
    if not isinstance(world, World):
        yield world
        return
    with world.telling(), ops.among(world), warnings.catch_warnings():
        if world.rank:
            warnings.simplefilter("ignore")
        world.agree("versions", versions(), _SAME_VERSIONS)
        world.agree("parameters", parameters, "Start every process with the same.")
        yield world


def of_rank_0(value: Any) -> Any:
    """What rank 0 has."""
    return ops.ranks().first(lambda: value)


def _leave() -> None:
    """Close the connections before Python ends, whose threads could end the process with an error otherwise."""
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

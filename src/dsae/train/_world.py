"""The sums of a step of several processes (torch.distributed): each has the gradient of its rows, and all move as one.

Every rank holds the whole model, in the same state after every step. Between a step's gradients and its update one sum
over all ranks goes over the live weights alone, and with it the loss, the number of rows, and whether any of them is to
stop (docs/design/cluster.md).
"""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from dsae import ops
from dsae.nn import JointGiven, SparseLinear
from dsae.train._checkpoint import equal
from dsae.train._lost import LostRankError, reason_of_failure, together
from dsae.train._optim import SparseAdam
from dsae.train._update import InMatrices

_HARDLY = 1e-20
OVERLAPPED = 1 << 18
"""Live weights of a layer from which on its sum starts by itself, among up to nine ranks: 1 MB, which 10 Gbit Ethernet
sends in the time of the messages that one more sum needs. These are more with every rank (docs/design/cluster.md)."""


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

    _all: ClassVar[weakref.WeakSet[World]] = weakref.WeakSet()

    def __init__(self, group: Any = None) -> None:
        self.rank, self.size, self._group = dist.get_rank(), dist.get_world_size(), group
        self.void, self.share, self.traffic, self.steps = False, 1.0, 0, 0
        self._flat: Tensor | None = None
        self._others: dict[int, Tensor] = {}  # what the other of two ranks has
        self._parts: dict[int, Tensor] = {}
        self._early: dict[int, tuple[Tensor, Callable[[], Any]]] = {}  # sums under way and their ends, by parameter
        self._all.add(self)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over all ranks, in place."""
        return self._reduce(tensor, dist.ReduceOp.SUM)

    def max(self, tensor: Tensor) -> Tensor:
        """Maximum over all ranks, in place."""
        return self._reduce(tensor, dist.ReduceOp.MAX)

    def _reduce(self, tensor: Tensor, how: Any) -> Tensor:
        self.traffic += tensor.numel() * tensor.element_size()
        with self._reached():
            if self._is_summed(tensor):
                dist.all_reduce(tensor, how, group=self._group_of(tensor))
            else:
                here = tensor.cpu()
                dist.all_reduce(here, how, group=self._group)
                tensor.copy_(here)
        return tensor

    @staticmethod
    def _is_summed(tensor: Tensor) -> bool:
        """Whether a sum takes tensors where they are: on a GPU only by nccl."""
        return tensor.device.type == "cpu" or "nccl" in str(dist.get_backend_config())

    def _group_of(self, tensor: Tensor) -> Any:
        """Of the processes, the group for a device: that of all has nccl, if there is any."""
        return self._group if tensor.device.type == "cpu" else None

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
    def _reached(self) -> Iterator[None]:
        """An exchange that fails is an error that says who was lost, as far as that is known."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            reason, told = f"a process is gone or does not answer ({' '.join(str(error).split())})", None
            with suppress(Exception):  # the store may be gone with its process
                told = reason_of_failure(dist.distributed_c10d._get_default_store())
            raise LostRankError(self.steps, told or reason, told is not None) from None

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
        sizes = [gradient.numel() for gradient in live]
        n_live = sum(sizes)
        flat = self._place(n_live + len(tail), live[0])
        pieces = flat[:n_live].split(sizes)
        for gradient, piece in zip(live, pieces, strict=True):
            torch.mul(gradient.reshape(-1), worth, out=piece)
        flat[n_live:] = torch.tensor(tail, dtype=torch.float64).to(flat)
        if self.void:  # what stands in for rows may have no finite gradient
            flat[: n_live + 3].zero_()
        self._begun(flat)()
        for _, ends in early.values():
            ends()
        loss, objective, total, n_rows, stop, due, *rest = flat[n_live:].tolist()
        weighed = total if total > 2 * _HARDLY * n_rows else 0.0
        for take, gradient, piece in zip(places, live, pieces, strict=True):
            take(piece.div_(total or 1.0).view_as(gradient))
        for key, take, _ in every:
            if key in early:
                take(early[key][0].div_(total or 1.0))
        self.share, self.steps = worth / (total or 1.0), self.steps + 1
        means = {name: (rest[2 * i] / (rest[2 * i + 1] or 1.0), rest[2 * i + 1]) for i, name in enumerate(names)}
        total = total or 1.0
        return Outcome(loss / total, objective / total, int(n_rows), weighed, means, stop > 0, due > 0)

    def starting(self, layers: Sequence[SparseLinear], given: Any) -> Callable[[int], None] | None:
        """What is to be told the number of a layer whose gradient is there; None where none of them is large.

        That of a large layer is summed while the layers below go backward, before `step` sums the others. Below the
        first there is none.
        """
        least = OVERLAPPED * max(1.0, (self.size - 1) / 8)
        if all(layer.nnz < least for layer in layers[1:]):
            return None
        worth = self.worth(given)

        def finished(number: int) -> None:
            values = layers[number].values
            if not number or values.numel() < least or not self._is_summed(values):
                return
            part = self._parts.get(number)
            if part is None or part.numel() != values.numel():
                part = self._parts[number] = torch.empty_like(values.detach())
            torch.mul(values.grad, worth, out=part)  # type: ignore[arg-type]
            part = part.zero_() if self.void else part
            self._early[id(values)] = part, self._begun(part, 1 + number)

        return finished

    def _begun(self, flat: Tensor, tag: int = 0) -> Callable[[], None]:
        """Begin a sum in place, and give what ends it.

        Two ranks exchange what they have: the bytes of an all-reduce, but fewer messages.
        """
        if self.size != 2 or flat.device.type != "cpu":
            return self._all_reduced(flat)
        self.traffic += flat.numel() * flat.element_size()
        other = self._others.get(tag)
        if other is None or other.numel() != flat.numel() or other.dtype != flat.dtype:
            other = self._others[tag] = torch.empty_like(flat)
        peer = 1 - self.rank
        with self._reached():
            works = dist.isend(flat, peer, self._group, tag), dist.irecv(other, peer, self._group, tag)

        def ends() -> None:
            with self._reached():
                for work in works:
                    assert work is not None
                    work.wait()
            flat.add_(other)

        return ends

    def _all_reduced(self, flat: Tensor) -> Callable[[], None]:
        if not self._is_summed(flat):
            self.sum(flat)
            return lambda: None
        self.traffic += flat.numel() * flat.element_size()
        with self._reached():
            work = dist.all_reduce(flat, group=self._group_of(flat), async_op=True)

        def ends() -> None:
            with self._reached():
                work.wait()  # pyright: ignore

        return ends

    @classmethod
    def leave_all(cls) -> None:
        """Keep no connection open, in none of these."""
        for world in list(cls._all):
            world._group = None
            world._early.clear()

    def worth(self, given: Any) -> float:
        """What the rows at hand count for: hardly anything where they weigh nothing, for penalties see them still."""
        return 0.0 if self.void else max(given.rows_worth, _HARDLY * given.n_rows)

    def _place(self, n: int, like: Tensor) -> Tensor:
        """A buffer that is kept from step to step."""
        if self._flat is None or self._flat.numel() < n or self._flat.dtype != like.dtype:
            self._flat = torch.empty(n, dtype=like.dtype, device=like.device)
        return self._flat[:n]


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

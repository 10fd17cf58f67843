"""Topology methods: drop score x grow score x schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from dsae.config import LARGEST_DENSE_START, whole_number
from dsae.nn import SparseLinear
from dsae.ops import Fused
from dsae.shrink._base import Clock, Shrinker
from dsae.shrink._schedule import OpenEnded, Schedule
from dsae.shrink._scores import AbsentGradient, Gradient, Magnitude, RandomGrowth, Saliency, Tempered
from dsae.topology import Rewiring, weakest_blocks


@dataclass(frozen=True)
class Method:
    """A topology method by its three parts.

    Parameters
    ----------
    drop : callable
        Creates the score by which edges are dropped, the smallest first.
    grow : callable
        Creates, from a seed, the rule by which inactive edges grow.
    schedule : Schedule
    """

    drop: Callable[[], Magnitude]
    grow: Callable[[int], RandomGrowth]
    schedule: Schedule


# The half of the edges that would go first can as well be drawn at random (docs/design/shrinking.md).
_GRADUAL = Schedule(start=inf, densest=0.5)

METHODS: dict[str, Method] = {
    "random": Method(Magnitude, RandomGrowth, Schedule()),
    "gradient": Method(Gradient, RandomGrowth, _GRADUAL),
    "saliency": Method(Saliency, RandomGrowth, _GRADUAL),
    "magnitude": Method(Magnitude, RandomGrowth, _GRADUAL),
    "tempered": Method(Tempered, RandomGrowth, _GRADUAL),
    "set": Method(Magnitude, RandomGrowth, Schedule(share=0.3, every=0)),
    "rigl": Method(Magnitude, AbsentGradient, Schedule(share=0.3, cosine=True)),
    "granet": Method(Tempered, AbsentGradient, Schedule(start=2, share=0.3, cosine=True)),
}


# What grows by gradient from the start errs less than what is dropped from four times the edges
# (docs/design/sparse_input.md).
_WIDE = Schedule(share=0.3, cosine=True, updates=10)


def method_for(name: str, size: int) -> Method:
    """The method by that name, for a layer of ``size`` possible weights.

    A layer of more than 2^21 never starts full: it has the final number of edges from the start, and those with the
    largest gradient grow where the method drops some.
    """
    method = METHODS[name]
    if size <= LARGEST_DENSE_START or method.schedule.start != inf:
        return method
    return replace(method, grow=AbsentGradient, schedule=_WIDE)


def rewire_by(name: str, final: Mapping[str, int], sizes: Mapping[str, int], seed: int) -> tuple[Rewire, ...]:
    """What brings layers of ``sizes`` possible weights to their ``final`` edges: one shrinker for each method."""
    methods: dict[Method, dict[str, int]] = {}
    for layer, nnz in final.items():
        # Layers of one method share one shrinker, and one stream of random numbers.
        methods.setdefault(method_for(name, sizes[layer]), {})[layer] = nnz
    return tuple(Rewire(method, of, seed) for method, of in methods.items())


def open_ended_method(name: str) -> Method:
    """The method for training of unknown length: at the final density from the start, with edges exchanged throughout.

    Edges are dropped by the method's score and grown as the method grows them; methods that never grow edges take
    those with the largest gradient.
    """
    method = METHODS[name]
    if method.schedule.static:
        return method
    grow = method.grow if method.schedule.share else AbsentGradient
    return replace(method, grow=grow, schedule=OpenEnded())


class Rewire(Shrinker):
    """Drops and grows edges by a `Method`.

    Parameters
    ----------
    method : Method
    final : mapping of str to int
        Active edges each layer ends with: exactly, or of blocks to the nearest block. Other layers are left alone.
    seed : int
        For random growth.

    Examples
    --------
    >>> Rewire(METHODS["set"], final={"encoder.0": 1000}, seed=0)
    Rewire(schedule=Schedule(start=1.0, densest=1.0, share=0.3, cosine=False, every=0, updates=30, until=0.75))
    """

    def __init__(self, method: Method, final: Mapping[str, int], seed: int) -> None:
        self.schedule = method.schedule
        self.final = dict(final)
        self._drop, self._grow = method.drop(), method.grow(seed)
        self._start: dict[str, int] = {}
        self._recording = False
        self._over = method.schedule.static

    @property
    def observes(self) -> bool:
        """Whether it looks at steps beside the optimiser's pass."""
        return self._drop.observes and not self._over

    def fuse(self, layers: Mapping[str, SparseLinear], rates: Mapping[str, float]) -> dict[str, Fused]:
        """The drop score's running mean, where it has one that the pass can make."""
        return {} if self._over else self._drop.fuse(self._own(layers))

    def observe(self, layers: Mapping[str, SparseLinear]) -> None:
        """Take the step into the drop score, as long as it decides over edges."""
        if not self._over:
            self._drop.observe(self._own(layers))

    def due(self, clock: Clock) -> bool:
        """Whether the schedule has an update at this step."""
        return self.schedule.due(clock)

    def rewire(self, layers: Mapping[str, SparseLinear], clock: Clock) -> dict[str, Rewiring]:
        """Bring every layer to the scheduled number of edges, and exchange the scheduled share."""
        layers = self._own(layers)
        if not self._start:
            self._start = {name: layer.nnz for name, layer in layers.items()}
        rewirings = {}
        if self.schedule.due(clock):
            rewirings = {name: self._rewire(name, layer, clock) for name, layer in layers.items()}
        self._record(layers, clock)
        return {name: rewiring for name, rewiring in rewirings.items() if rewiring is not None}

    def _own(self, layers: Mapping[str, SparseLinear]) -> dict[str, SparseLinear]:
        return {name: layer for name, layer in layers.items() if name in self.final}

    def _rewire(self, name: str, layer: SparseLinear, clock: Clock) -> Rewiring | None:
        # L1 may have removed more edges than the schedule: those do not come back.
        nnz = min(layer.nnz, self.schedule.nnz(clock, self._start[name], self.final[name]))
        dead = layer.topology.size - layer.nnz
        # There must be as many inactive edges as are to grow.
        exchanged = min(self.schedule.exchanged(clock, nnz), dead + layer.nnz - nnz)
        n_drop = layer.nnz - nnz + exchanged
        if n_drop == 0:
            return None
        drop = weakest_blocks(layer.topology, self._drop.score(name, layer).float().cpu().numpy(), n_drop)
        n_grow = nnz - (layer.nnz - layer.topology.n_edges(drop)) if exchanged else 0
        grown = self._grow.edges(layer, min(n_grow, dead)) if n_grow > 0 else None
        return layer.topology.rewire(drop, grown) if grown is not None or drop.any() else None

    def _record(self, layers: Mapping[str, SparseLinear], clock: Clock) -> None:
        # A gradient at inactive edges is taped in the very step whose end rewires: taping costs memory, so it is off
        # otherwise.
        upcoming = Clock(clock.step + 1, clock.n_steps, clock.steps_per_epoch)
        if self.schedule.over(upcoming) and not self._over:
            self._over = True
            self._drop.forget()  # the means take as much memory as the weights
        self._recording = self._grow.needs_tape and self.schedule.due(upcoming)
        for layer in layers.values():
            layer.tape.clear()
            layer.tape.recording = self._recording

    def moved(self, name: str, rewiring: Rewiring) -> None:
        """The drop score follows."""
        self._drop.moved(name, rewiring)

    def state_dict(self) -> dict[str, Any]:
        """Where the layers started, whether they record their gradients now or are final, and both scores."""
        scores = {"drop": self._drop.state_dict(), "grow": self._grow.state_dict()}
        return {"start": dict(self._start), "recording": self._recording, "over": self._over, **scores}

    def load_state_dict(self, state: Mapping[str, Any], layers: Mapping[str, SparseLinear]) -> None:
        """Both scores continue."""
        start, self._recording, self._over = state["start"], bool(state["recording"]), bool(state.get("over", False))
        # A damaged checkpoint must not ask for more edges than there are places.
        self._start = {name: whole_number("start", start[name], layers[name].topology.size + 1) for name in start}
        self._drop.load_state_dict(state["drop"], layers)
        self._grow.load_state_dict(state["grow"])
        for name in self._start:
            layers[name].tape.clear()
            layers[name].tape.recording = self._recording

    def __repr__(self) -> str:
        return f"Rewire(schedule={self.schedule})"

"""How many edges a layer has, and how many it exchanges, at each step of training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dsae.shrink._base import Clock


@dataclass(frozen=True)
class Schedule:
    """When to rewire, what the density is by then, and what share of the edges is exchanged.

    Parameters
    ----------
    start : float
        Active edges at the first step, as a multiple of the final ones (at most all): ``inf`` starts full. The excess
        is removed along the cubic curve of Zhu & Gupta (2017), eq. 1.
    densest : float
        Density of the network at the first step, at most, but twice the final one where that is more; spread over the
        layers as the final one is.
    share : float
        Share of the active edges dropped and regrown at each update.
    cosine : bool
        Whether ``share`` falls to zero along a cosine (Evci et al. 2020, section 3) or stays.
    every : int
        Steps between updates; short runs update more often. 0 means once per epoch.
    updates : int
        How many updates short runs have at least, where they have as many steps.
    until : float
        Share of training after which the topology is final.
    """

    start: float = 1.0
    densest: float = 1.0
    share: float = 0.0
    cosine: bool = False
    every: int = 100
    updates: int = 30
    until: float = 0.75

    @property
    def static(self) -> bool:
        """Whether the topology never changes."""
        return self.start == 1 and not self.share

    @property
    def settled(self) -> float:
        """Share of training after which the topology no longer changes."""
        return 0.0 if self.static else self.until

    def last(self, clock: Clock) -> int:
        """The step of the last update."""
        return max(1, math.floor(self.until * clock.n_steps))

    def over(self, clock: Clock) -> bool:
        """Whether the topology no longer changes."""
        return self.static or clock.step > self.last(clock)

    def due(self, clock: Clock) -> bool:
        """Whether this step updates the topology."""
        if self.over(clock):
            return False
        # At least `updates` times in a short run: with fewer, each removes so many edges that the rest cannot adapt.
        last = self.last(clock)
        every = max(1, min(self.every, last // self.updates)) if self.every else clock.steps_per_epoch
        # The last update always happens, so the final number of edges is reached whatever `every` is.
        return clock.step == last or clock.step % every == 0

    def nnz(self, clock: Clock, start: int, final: int) -> int:
        """Active edges that a layer should have now."""
        left = 1 - min(1.0, clock.step / self.last(clock))
        return round(final + (start - final) * left**3)

    def exchanged(self, clock: Clock, nnz: int) -> int:
        """Active edges to be dropped and regrown now."""
        done = min(1.0, clock.step / self.last(clock))
        return round(nnz * self.share * (0.5 * (1 + math.cos(math.pi * done)) if self.cosine else 1.0))


@dataclass(frozen=True)
class OpenEnded(Schedule):
    """Edges are exchanged as long as data arrive: ``share / sqrt(n)`` of them at the n-th update.

    The sum of the shares is unbounded, so the topology can follow data that change; the share itself falls, so the
    topology settles if they do not.
    """

    share: float = 0.3  # that of SET (Mocanu et al. 2018)

    def over(self, clock: Clock) -> bool:
        """Never."""
        return False

    def due(self, clock: Clock) -> bool:
        """Whether this step updates the topology."""
        return clock.step % self.every == 0

    def nnz(self, clock: Clock, start: int, final: int) -> int:
        """The final number, from the start."""
        return final

    def exchanged(self, clock: Clock, nnz: int) -> int:
        """Active edges to be dropped and regrown now."""
        return round(nnz * self.share / math.sqrt(max(1, clock.step // self.every)))

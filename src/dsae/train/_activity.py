"""What a code does while it trains, of what its steps have seen anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dsae import ops
from dsae.config import whole_number
from dsae.nn import Trace, restored


class Activity:
    """How many latents of a dictionary fire in a row, and which have not fired for as many rows as an epoch has.

    Parameters
    ----------
    n_latents : int
    window : int
        Rows without firing after which a latent counts as dead; before so many were seen, all of them.
    """

    def __init__(self, n_latents: int, window: int) -> None:
        self.window, self._seen, self._idle = window, 0, torch.zeros(n_latents, dtype=torch.int64, device="cpu")
        self._epoch, self._batch = (0, 0), (0, 0)

    def see(self, trace: Trace) -> None:
        """One batch more."""
        latents, n_rows, n_latents = trace.fired
        self._idle += n_rows
        self._idle[latents.cpu()] = 0
        self._seen += n_rows
        self._batch = n_latents, n_rows
        self._epoch = self._epoch[0] + n_latents, self._epoch[1] + n_rows

    @property
    def dead(self) -> float:
        """Share of the latents that are dead."""
        return float((self._idle >= max(1, min(self.window, self._seen))).double().mean())

    def of_batch(self) -> dict[str, float]:
        """``l0`` of the newest batch, and ``dead``; nothing before a batch."""
        return _shown(self._batch, self.dead)

    def of_epoch(self) -> dict[str, float]:
        """``l0`` of the rows since it was asked before, and ``dead``."""
        found, self._epoch = _shown(self._epoch, self.dead), (0, 0)
        return found

    def state_dict(self) -> dict[str, Any]:
        """What the next figures depend on."""
        return {"idle": self._idle, "seen": self._seen, "latents": self._epoch[0], "rows": self._epoch[1]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`."""
        self._idle = restored(state["idle"], self._idle, "idle")
        self._seen, *epoch = (whole_number(name, state[name], 2**63) for name in ("seen", "latents", "rows"))
        self._epoch = epoch[0], epoch[1]


def _shown(counts: tuple[int, int], dead: float) -> dict[str, float]:
    n_latents, n_rows = counts
    return {"l0": n_latents / n_rows, "dead": dead} if n_rows else {}


class Glimpse:
    """What any other code does in an epoch, of one batch of it.

    Its steps could tell of all rows, at a price; the last whole batch tells enough. The first one stands in for it in
    an epoch that ends before.

    Parameters
    ----------
    n_latents : int
    threshold : float
        A latent fires in a row where its magnitude exceeds this; see `dsae.metrics.firing_threshold`.
    """

    def __init__(self, n_latents: int, threshold: float) -> None:
        self.wanted, self._threshold = False, threshold
        self._counts = torch.zeros(n_latents + 1, dtype=torch.int64, device="cpu")  # rows in which each fires; all

    def look(self, batch: int, n_whole: int) -> None:
        """Say whether the codes of this batch, counted from 0, are wanted; ``n_whole`` of an epoch have all rows."""
        self.wanted = batch in (0, n_whole - 1)

    def see(self, code: Tensor) -> None:
        """Codes of this rank's rows, ``[n_rows, n_latents]``, if they are wanted."""
        if self.wanted:
            fired = (code.detach().abs() > self._threshold).sum(0).cpu()
            self._counts = torch.cat([fired, fired.new_tensor([code.shape[0]])])

    def join(self) -> None:
        """After a step: add up what the ranks have seen, if that was wanted."""
        if self.wanted:
            world = ops.ranks()
            self._counts = world.sum(torch.zeros_like(self._counts) if world.void else self._counts)
            self.wanted = False

    def of_epoch(self) -> dict[str, float]:
        """``l0`` and ``dead``, or nothing where no codes were seen since it was asked before."""
        *fired, n_rows = self._counts.tolist()
        self._counts = torch.zeros_like(self._counts)
        return _shown((sum(fired), n_rows), fired.count(0) / len(fired))

    def state_dict(self) -> dict[str, Any]:
        """What the next figures depend on."""
        return {"counts": self._counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`."""
        self._counts = restored(state["counts"], self._counts, "counts")

"""What a training step sees of rows of several modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dsae.config import TrainConfig
from dsae.data import Batch, draws
from dsae.nn import Joint, JointGiven
from dsae.train._corrupt import Corruption


@dataclass(frozen=True)
class JointCorruption:
    """What training steps see of rows of several modalities, drawn by seed, epoch and row number.

    Parameters
    ----------
    parts : mapping of str to Corruption
        Noise and masks of each modality, in order.
    dropout : float
        Share of the rows of which a step encodes a random part: any set of what they have, but not the empty one.
    seed : int
    device : torch.device
    """

    parts: Mapping[str, Corruption]
    dropout: float
    seed: int
    device: torch.device

    @classmethod
    def of(
        cls, model: Joint, config: TrainConfig, seed: int, deviation: Mapping[str, np.ndarray] | None
    ) -> JointCorruption:
        """That of the rows on which a model is trained; ``deviation`` is that of every feature, by modality."""
        spread = deviation or {}
        parts = {  # with seeds of their own: equal columns of two modalities get different noise
            name: Corruption.of(model.of(name), model.config.corrupting(name, config), seed + 1 + i, spread.get(name))
            for i, name in enumerate(model.config.names)
        }
        return cls(parts, model.config.modality_dropout, seed, model.log_weight.device)

    def whole(self, batch: Batch) -> JointGiven:
        """All of a batch."""
        return self._given(batch, None)

    def part(self, batch: Batch, epoch: int) -> JointGiven:
        """What the step of a batch is given in an epoch, counted from 0."""
        return self._given(batch, epoch)

    def _given(self, batch: Batch, epoch: int | None) -> JointGiven:
        has = presence(batch, tuple(self.parts))
        keep = has if epoch is None else self.kept(has, batch.numbers, epoch)
        parts, rows, kept = {}, {}, {}
        for i, (name, corruption) in enumerate(self.parts.items()):
            at = has[:, i]
            if not at.any():
                continue
            some = Batch.of(batch.parts[name], batch.numbers)
            if not at.all():
                some = some[at]
                rows[name] = torch.from_numpy(np.flatnonzero(at)).to(self.device)
            parts[name] = corruption.whole(some) if epoch is None else corruption.part(some, epoch)
            kept[name] = torch.from_numpy(keep[at, i].astype(np.float32)).to(self.device)
        return JointGiven(parts, rows, kept, batch.n_rows, tuple(self.parts))

    def kept(self, has: np.ndarray, numbers: np.ndarray, epoch: int) -> np.ndarray:
        """Which modalities a step encodes, bool ``[n_rows, n_modalities]``, of those that the rows have."""
        u = draws(numbers, self.seed, epoch)
        whole = u < 1 - self.dropout
        # the rest of u is uniform again, and chooses one of the 2^p - 1 sets of p modalities as a binary number
        n_sets = 2.0 ** has.sum(axis=1) - 1
        chosen = 1 + np.floor(np.clip((u - (1 - self.dropout)) / (self.dropout or 1), 0, 1) * n_sets).astype(np.int64)
        chosen = np.minimum(chosen, n_sets.astype(np.int64))
        bits = chosen[:, None] >> np.maximum(np.cumsum(has, axis=1) - 1, 0) & 1
        return has & (whole[:, None] | (bits == 1))


def presence(batch: Batch, names: Sequence[str]) -> np.ndarray:
    """Which rows of a batch have each of the modalities named, bool ``[n_rows, n_modalities]``."""
    has, n = batch.present or {}, batch.n_rows
    return np.stack([has.get(name, np.full(n, name in batch.parts)) for name in names], axis=1)

"""What a training step sees of its rows: some of their values, with noise; what it should give stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dsae import ops
from dsae.config import TrainConfig
from dsae.data import Batch, Draws, Source, filled
from dsae.nn import Autoencoder

_LEVELS = 1 << 16  # of a value's draw


@dataclass(frozen=True)
class Corruption:
    """Noise and masks of a denoising autoencoder (Vincent et al. 2008), drawn by seed, epoch and row number.

    So they do not depend on how rows are divided into batches or among workers, nor on whether they come from memory or
    from files, and a run that was stopped goes on with the same ones. Validation rows are never corrupted.

    Parameters
    ----------
    config : TrainConfig
    seed : int
    mean : ndarray of float32, shape (n_features,)
        What a dense row holds in the place of a value that is not seen, and any row in that of one that is not known.
    spread : ndarray of float32, shape (n_features,)
        What noise of 1 is in the unit of each feature.
    device : torch.device
    missing : bool
        Whether rows may hold NaN. What a step does not see is then told from what is zero in sparse rows, too: at use
        the mean stands for what is not known.
    by_total : bool
        Whether it does so in proportion to the total of what is seen of a row, for counts; see `dsae.data.filled`.
    """

    config: TrainConfig
    seed: int
    mean: np.ndarray
    spread: np.ndarray
    device: torch.device
    missing: bool = False
    by_total: bool = False

    @classmethod
    def of(cls, model: Autoencoder, config: TrainConfig, seed: int, deviation: np.ndarray | None) -> Corruption:
        """That of the rows on which a model is trained.

        Parameters
        ----------
        model : Autoencoder
            Centred and scaled as training leaves it.
        config, seed
        deviation : ndarray of float32, shape (n_features,), optional
            Standard deviation of every feature, in the unit of the data; needed for noise.
        """
        scale = model.scale.double().cpu().numpy()
        missing, mean = model.config.missing == "mask", model.stand_in.cpu().numpy()
        # of counts of which all are known, zero stands for what is not seen
        mean = mean if missing or model.config.input_transform == "none" else np.zeros_like(mean)
        spread = scale if deviation is None else scale * np.sqrt(np.mean(np.square(deviation / scale)))
        spread = spread.astype(np.float32)
        return cls(config, seed, mean, spread, model.mean.device, missing, missing and model.fills_by_total)

    def whole(self, batch: Batch) -> ops.Given:
        """All of a batch."""
        batch = self._filled(batch)
        return ops.given_of(batch.rows, batch.target, batch.known, batch.weight, self.device)

    def part(self, batch: Batch, epoch: int) -> ops.Given:
        """What the step of a batch is given in an epoch, counted from 0."""
        config = self.config
        low, high = config.mask if isinstance(config.mask, tuple) else (config.mask, config.mask)
        if not config.noise and not high:
            return self.whole(batch)
        batch = _canonical(batch)
        holed, batch = batch.rows, self._filled(batch)
        rows, drawn = batch.rows, Draws(batch.numbers, self.seed, epoch)
        hidden = low if low == high else low + (high - low) * drawn.rows()
        if self.by_total:
            x, seen = self._counted(holed, drawn, hidden)
        else:
            x, seen = self._stored(rows, drawn, hidden) if sp.issparse(rows) else self._dense(rows, drawn, hidden)
        known = batch.known
        if config.emphasis != 1 and seen is not None:
            if batch.target is not None:
                raise ValueError(
                    "[fit] emphasis weighs masked values of rows that are their own target; these have another one. "
                    "Leave emphasis at 1."
                )
            known = _weighted(known, rows, np.where(seen, np.float32(1), np.float32(config.emphasis)))
        return ops.given_of(x, rows if batch.target is None else batch.target, known, batch.weight, self.device)

    def _filled(self, batch: Batch) -> Batch:
        """Without NaN: the mean of its feature in its place, and no weight where it was in what is to be predicted."""
        if not self.missing:
            return batch
        rows, target = batch.rows, batch.target
        aim = rows if target is None else target
        holes = np.isnan(aim.data if sp.issparse(aim) else aim)
        known = _weighted(batch.known, aim, (~holes).astype(np.float32)) if holes.any() else batch.known
        whole = filled(rows, self.mean, self.by_total)
        if target is not None:
            target = filled(target, np.zeros(target.shape[1], np.float32))
        return replace(batch, parts=dict.fromkeys(batch.parts, whole), target=target, known=known)

    def _counted(self, rows: Any, drawn: Draws, hidden: Any) -> tuple[Any, np.ndarray]:
        """Counts of which what is not seen is as what is not known, and which are seen."""
        if sp.issparse(rows):
            at = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
            threshold = _thresholds(hidden)
            seen = drawn.stored(at, rows.indices) >= (threshold[at] if np.ndim(threshold) else threshold)
            values = np.where(seen, rows.data, np.float32(np.nan))
            return filled(sp.csr_matrix((values, rows.indices, rows.indptr), rows.shape), self.mean, True), seen
        seen = drawn.values(rows.shape[1]) >= np.reshape(_thresholds(hidden), (-1, 1))
        return filled(np.where(seen, rows, np.float32(np.nan)), self.mean, True), seen

    def _dense(self, rows: np.ndarray, drawn: Draws, hidden: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows as they are seen, and which values are."""
        width = rows.shape[1]
        x = rows - self.mean
        if self.config.noise:
            noise = drawn.normals(width)
            noise *= np.float32(self.config.noise) * self.spread
            x += noise
        seen = None
        if np.any(hidden):
            seen = drawn.values(width) >= np.reshape(_thresholds(hidden), (-1, 1))
            x *= seen
            if self.config.mask_rescale:
                x *= (width / np.maximum(np.count_nonzero(seen, axis=1), 1)).astype(np.float32)[:, None]
        x += self.mean
        return x, seen

    def _stored(self, rows: Any, drawn: Draws, hidden: Any) -> tuple[Any, np.ndarray]:
        """The stored values that are seen, and which these are."""
        sizes = np.diff(rows.indptr)
        at = np.repeat(np.arange(rows.shape[0]), sizes)
        threshold = _thresholds(hidden)
        seen = drawn.stored(at, rows.indices) >= (threshold[at] if np.ndim(threshold) else threshold)
        if self.missing:
            values = np.where(seen, rows.data, self.mean[rows.indices])
            return sp.csr_matrix((values, rows.indices, rows.indptr), shape=rows.shape), seen
        left = np.bincount(at[seen], minlength=rows.shape[0])
        values = rows.data[seen]
        if self.config.mask_rescale:
            values *= np.repeat((sizes / np.maximum(left, 1)).astype(np.float32), left)
        indptr = np.concatenate([[0], np.cumsum(left)]).astype(rows.indptr.dtype)
        return sp.csr_matrix((values, rows.indices[seen], indptr), shape=rows.shape), seen


def _canonical(batch: Batch) -> Batch:
    rows = batch.rows
    if not sp.issparse(rows) or rows.has_canonical_format:
        return batch
    rows = rows.copy()
    rows.sum_duplicates()
    return replace(batch, parts=dict.fromkeys(batch.parts, rows))


def check_corruption(
    verb: str, config: TrainConfig, transform: str, source: Source, modality: str | None = None
) -> None:
    """Raise where rows cannot be corrupted as the settings say.

    Parameters
    ----------
    verb : str
        Named in messages.
    config : TrainConfig
    transform : str
        The model's input transform.
    source : Source
    modality : str, optional
        What the rows are one of several of; named in messages.

    Raises
    ------
    ValueError
        If noise would fill sparse rows, or make numbers negative that a transform takes for counts.
    """
    if not config.noise:
        return
    of, whose, instead = "", "X", ""
    if modality is not None:
        of, whose = f" of {modality!r}", f"X[{modality!r}]"
        instead = ", noise by modality, such as noise={'image': 0.5}"
    if transform != "none":
        raise ValueError(
            f"[{verb}] noise must be 0 for counts{of}, which it would make negative; got noise={config.noise:g} with "
            f"input_transform={transform!r}. Use mask{instead}, or input_transform='none'."
        )
    if any(part.kind == "csr" for part in source.parts.values()):
        raise ValueError(
            f"[{verb}] noise must be 0 for sparse rows{of}, all of whose zeros it would fill; got "
            f"noise={config.noise:g}. Use mask, which leaves out stored values{instead}, or give {whose}.toarray()."
        )


def _thresholds(hidden: Any) -> Any:
    return np.round(np.asarray(hidden) * _LEVELS).astype(np.int64)


def _weighted(known: Any, rows: Any, weights: np.ndarray) -> Any:
    """Weights of values on top of those that the batch has."""
    if not sp.issparse(rows):
        return weights if known is None else weights * known
    weights = weights if known is None else weights * known.data
    return sp.csr_matrix((weights, rows.indices, rows.indptr), shape=rows.shape)

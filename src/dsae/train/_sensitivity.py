"""Sensitivity of the reconstruction to each input, measured during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dsae.data import ArraySource, Source
from dsae.metrics import CodeActivity, firing_threshold
from dsae.nn import Autoencoder, restored

# The work of about two training steps per epoch, since every row carries random signs (docs/design/importance.md).
_ROWS, _NUMBERS = 512, 1 << 26
# Numbers of sparse rows densified at a time, but at least a panel of rows.
_TILE, _NARROWEST = 1 << 20, 16
# Share of the newest epoch in the running mean: averages the noise of single epochs, yet forgets the dense start.
_NEWEST = 0.2


class Sensitivity:
    """Running mean, over epochs, of how strongly the reconstruction responds to each input.

    For input ``j`` it is ``E |x_j| sqrt(E |d x^ / d x_j|^2)``: how far the reconstruction moves when the input moves by
    its usual amount. The second factor, the root mean square of a column of the Jacobian, is a derivative-based
    sensitivity measure (Sobol & Kucherenko 2009); with ``v`` of independent random signs ``E (v^T J)_j^2`` is the
    square of the column's norm (Hutchinson 1990), so that a row of data costs one backward pass. ``x`` is measured as
    in training, centred and in the model's own unit. Its mean absolute value, unlike its standard deviation, also
    distinguishes an input that varies all the time from one that rarely jumps, whose weights are large but do little.
    Behind an input transform, inputs are what it makes of them.

    Parameters
    ----------
    source : Source
        Training rows; up to 512 are drawn for each epoch, fewer of very wide data: 2^26 numbers in all.
    deviation : ndarray of float32, shape (n_features,)
        Standard deviation of every input, in the unit of the data.
    batch_size : int
    seed : int
    earlier : ndarray, shape (n_features,), optional
        Where the running mean goes on from.
    """

    def __init__(
        self, source: Source, deviation: np.ndarray, batch_size: int, seed: int, earlier: np.ndarray | None = None
    ) -> None:
        self._source, self._deviation, self._batch_size = source, deviation.astype(np.float64), batch_size
        self._rng = np.random.default_rng(seed)
        self._mean = None if earlier is None else earlier.astype(np.float64)

    @property
    def importance(self) -> np.ndarray | None:
        """Share of every input, float32, sum 1; None before the first epoch."""
        return None if self._mean is None else (self._mean / self._mean.sum()).astype(np.float32)

    def see(self, model: Autoencoder) -> dict[str, float]:
        """Add one epoch to the mean; ``model`` is not changed.

        Returns
        -------
        dict
            Of the rows that were drawn: ``l0``, the mean number of latents that fire, and ``dead``, the share of those
            that fire in none.
        """
        config = model.config
        activity = CodeActivity(firing_threshold(config.code_activation, config.n_components))
        newest = self._varies(model) * self._moves(model, activity)
        total = newest.sum()
        if np.isfinite(total) and total > 0:
            newest /= total
            self._mean = newest if self._mean is None else (1 - _NEWEST) * self._mean + _NEWEST * newest
        found = activity.result()
        return {"l0": found["mean_l0"], "dead": found["dead_latents"] / config.n_components}

    def state_dict(self) -> dict[str, Any]:
        """The running mean and the generator's state."""
        mean = {} if self._mean is None else {"mean": torch.from_numpy(self._mean)}
        return {**mean, "rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`."""
        self._rng.bit_generator.state = state["rng"]
        like = torch.from_numpy(self._deviation)
        self._mean = restored(state["mean"], like, "the mean").numpy() if "mean" in state else None

    def _varies(self, model: Autoencoder) -> np.ndarray:
        return self._deviation > 1e-6 * np.abs(model.mean.double().cpu().numpy())  # below that it is rounding

    def _moves(self, model: Autoencoder, activity: CodeActivity) -> np.ndarray:
        """Mean absolute value times root mean square gradient, ``[n_features]``."""
        width = self._source.n_features
        n_rows = min(len(self._source), _ROWS, max(_NARROWEST, _NUMBERS // width))
        rows = ArraySource(self._source.sample(n_rows, self._rng).rows)
        at_once = self._batch_size if isinstance(rows.X, np.ndarray) else max(_NARROWEST, _TILE // width)
        training, recording = model.training, [layer.tape.recording for layer in model.layers.values()]
        model.eval()
        for layer in model.layers.values():  # what is taped is for the next step of training
            layer.tape.recording = False
        size, square = torch.zeros(2, self._source.n_features, dtype=torch.float64)
        for batch in rows.batches(min(self._batch_size, at_once)):
            some = batch.rows
            x = torch.from_numpy(some.toarray() if sp.issparse(some) else some).to(model.mean.device)
            x = torch.where(torch.isnan(x), model.mean, x)  # not known
            entering = model.transformed(x)
            assert isinstance(entering, torch.Tensor)
            size += ((entering - model.mean) / model.scale).abs().sum(dim=0).cpu()
            square += self._gradient(model, x, activity).double().square().sum(dim=0).cpu()
        model.train(training)
        for layer, before in zip(model.layers.values(), recording, strict=True):
            layer.tape.recording = before
        return (size / len(rows) * (square / len(rows)).sqrt()).numpy()

    def _gradient(self, model: Autoencoder, x: torch.Tensor, activity: CodeActivity) -> torch.Tensor:
        """``v^T J`` per row, both sides of the Jacobian in the model's own unit."""
        entering = model.transformed(x)
        assert isinstance(entering, torch.Tensor)
        entering = entering.clone().requires_grad_(True)
        trace = model.trace(x, transformed=entering)
        activity.update(trace.code.detach().cpu().numpy())
        output = trace.rows(trace.output)
        signs = torch.from_numpy(self._rng.choice(np.array([-1, 1], np.float32), size=tuple(output.shape))).to(output)
        if not model.config.output.linear:
            signs /= model.scale
        (gradient,) = torch.autograd.grad((signs * output).sum(), entering)
        return gradient * model.scale

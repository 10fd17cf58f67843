"""Sensitivity of the reconstruction to each input, measured during training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dsae import ops
from dsae.data import Rows, Source
from dsae.metrics import CodeActivity, firing_threshold
from dsae.nn import Autoencoder, restored

# The work of about two training steps per epoch, since every row carries random signs (docs/design/importance.md).
_ROWS, _NUMBERS = 512, 1 << 26
# Of sparse rows, whose steps take less: how many numbers are probed, all in all and at a time, but at least a panel of
# rows; and of how many rows the inputs' mean size is taken, since each input is rare.
_PROBED, _TILE, _NARROWEST, _SIZED = 1 << 21, 1 << 20, 16, 4096
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
        Training rows; up to 512 are drawn for each epoch, fewer of very wide data: 2^26 numbers in all. Of sparse rows
        the probe sees 2^21 numbers, while ``E |x_j|`` is that of up to 4096 rows.
    deviation : ndarray of float32, shape (n_features,)
        Standard deviation of every input, in the unit of the data.
    batch_size : int
    seed : int
    earlier : ndarray, shape (n_features,), optional
        Where the running mean continues from.
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
        width, sparse = self._source.n_features, all(part.kind == "csr" for part in self._source.parts.values())
        most = _SIZED if sparse else min(_ROWS, max(_NARROWEST, _NUMBERS // width))
        rows = self._source.sample(most, self._rng).rows
        training, recording = model.training, [layer.tape.recording for layer in model.layers.values()]
        model.eval()
        for layer in model.layers.values():  # what is taped is for the next step of training
            layer.tape.recording = False
        size, at_once = self._sizes(model, rows), self._batch_size
        if sparse:
            rows, at_once = self._some(rows, _ROWS), min(at_once, max(_NARROWEST, _TILE // width))
            with torch.no_grad():
                activity.update(model.encode(self._given(model, rows)).cpu().numpy())
            rows = self._some(rows, max(_NARROWEST, _PROBED // width))
        square, world = torch.zeros(width, dtype=torch.float64), ops.ranks()
        for begin in range(0, rows.shape[0], at_once):
            x = rows[begin : begin + at_once]
            signs = self._signs((x.shape[0], model.config.output_width))
            x, signs = x[world.rank :: world.size], signs[world.rank :: world.size]
            if not x.shape[0]:
                continue
            x = self._given(model, x.toarray() if sp.issparse(x) else x)
            gradient = self._gradient(model, x, signs, None if sparse else activity)
            square += gradient.square().sum(dim=0, dtype=torch.float64).cpu()
        world.sum(square)
        if not sparse:
            for other in [other for rank, other in enumerate(world.gather(activity)) if rank != world.rank]:
                activity.add(other)
        model.train(training)
        for layer, before in zip(model.layers.values(), recording, strict=True):
            layer.tape.recording = before
        return size * np.sqrt(square.numpy() / rows.shape[0])

    def _some(self, rows: Rows, n: int) -> Rows:
        """Up to ``n`` of them."""
        n_rows = rows.shape[0]
        return rows if n >= n_rows else rows[np.sort(self._rng.choice(n_rows, n, replace=False))]

    @staticmethod
    def _given(model: Autoencoder, rows: np.ndarray | sp.csr_matrix) -> torch.Tensor | ops.SparseRows:
        """Rows as the model takes them; what is not known is the mean."""
        whole: Any = model.filled(rows)
        if isinstance(whole, np.ndarray):
            return torch.from_numpy(whole).to(model.mean.device)
        return ops.SparseRows.of(whole)

    def _sizes(self, model: Autoencoder, rows: np.ndarray | sp.csr_matrix) -> np.ndarray:
        """Mean absolute value of every input, as the model takes it."""
        x = model.transformed(self._given(model, rows))
        if isinstance(x, torch.Tensor):
            return ((x - model.mean) / model.scale).abs().mean(dim=0, dtype=torch.float64).cpu().numpy()
        mean, scale = (t.cpu().numpy() for t in (model.mean, model.scale))
        (n_rows, width), at = x.shape, x.pattern.indices
        stored = np.bincount(at, np.abs((x.values - mean[at]) / scale[at]), width)
        return (stored + (n_rows - np.bincount(at, minlength=width)) * np.abs(mean / scale)) / n_rows

    def _gradient(self, model: Autoencoder, x: Any, signs: np.ndarray, activity: CodeActivity | None) -> torch.Tensor:
        """``v^T J`` per row for ``v`` of ``signs``, both sides of the Jacobian in the model's own unit."""
        entering = model.transformed(x)
        assert isinstance(entering, torch.Tensor)
        entering = entering.clone().requires_grad_(True)
        trace = model.trace(x, transformed=entering)
        if activity is not None:
            activity.update(trace.code.detach().cpu().numpy())
        output = trace.rows(trace.output)
        v = torch.from_numpy(signs).to(output)
        if not model.config.output.linear:
            v /= model.target_scale
        (gradient,) = torch.autograd.grad(output, entering, v)
        return gradient * model.scale

    def _signs(self, shape: tuple[int, ...]) -> np.ndarray:
        """Random ones of both signs, float32, a bit each."""
        size = math.prod(shape)
        bits = np.unpackbits(np.frombuffer(self._rng.bytes(-(-size // 8)), np.uint8), count=size)
        return (2 * bits.astype(np.float32) - 1).reshape(shape)

"""Sensitivity of the reconstruction to each input, measured during training."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsae import ops
from dsae.config import whole_number
from dsae.data import Rows, Source
from dsae.nn import Autoencoder, activated, restored

# At most so many rows are probed, fewer of wide ones: so many numbers of dense rows, so many outputs of sparse ones and
# so many at a time; but at least a panel of rows (docs/design/importance.md).
_ROWS, _NUMBERS, _PROBED, _TILE, _NARROWEST = 512, 1 << 26, 1 << 21, 1 << 20, 16
# Of how many sparse rows the inputs' mean size is taken, since each input is rare.
_SIZED = 1 << 13
# Rows that are learned for each one that is probed, which costs less than a row of a step.
_LEARNED = 128
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

    It is measured after as many epochs as make 128 times the rows of a probe, and counts for all of them, and at the
    end (`of`): so it takes little beside the steps, however few there are in an epoch.

    Parameters
    ----------
    source : Source
        Training rows. A probe has up to 512 of them, fewer of very wide data: 2^26 numbers in all. Of sparse rows it
        has as many as have 2^21 outputs, while ``E |x_j|`` is that of up to 8192 rows, drawn once.
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
        self._rng, self._seed = np.random.default_rng(seed), seed
        self._mean = None if earlier is None else earlier.astype(np.float64)
        self._n_epochs = self._n_rows = 0  # learned since the mean was last added to
        self._sizes_of_all: np.ndarray | None = None

    @property
    def importance(self) -> np.ndarray | None:
        """Share of every input, float32, sum 1, as it was last measured; None before that."""
        return _shares(self._mean)

    def of(self, model: Autoencoder) -> np.ndarray | None:
        """The same with what ``model`` has learned since, of which nothing is kept; all ranks measure together."""
        if not self._n_epochs:
            return self.importance
        rng = copy.deepcopy(self._rng)
        with _only_read(model):
            return _shares(self._joined(self._newest(model, rng)))

    def see(self, model: Autoencoder) -> None:
        """Count one epoch, and add to the mean where that is due; ``model`` is not changed."""
        n_rows = len(self._source)
        self._n_epochs, self._n_rows = self._n_epochs + 1, self._n_rows + n_rows
        if self._n_rows >= _LEARNED * min(n_rows, self._most_probed):
            with _only_read(model):
                self._mean = self._joined(self._newest(model, self._rng))
            self._n_epochs = self._n_rows = 0

    def state_dict(self) -> dict[str, Any]:
        """The running mean, what was learned since, and the generator's state."""
        mean = {} if self._mean is None else {"mean": torch.from_numpy(self._mean)}
        since = {"n_epochs": self._n_epochs, "n_rows": self._n_rows}
        return {**mean, **since, "rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`."""
        self._rng.bit_generator.state = state["rng"]
        self._n_epochs, self._n_rows = (whole_number(name, state[name], 2**63) for name in ("n_epochs", "n_rows"))
        like = torch.from_numpy(self._deviation)
        self._mean = restored(state["mean"], like, "the mean").numpy() if "mean" in state else None

    @property
    def _sparse(self) -> bool:
        return all(part.kind == "csr" for part in self._source.parts.values())

    @property
    def _most_probed(self) -> int:
        """Rows."""
        return min(_ROWS, max(_NARROWEST, (_PROBED if self._sparse else _NUMBERS) // self._source.n_features))

    def _joined(self, newest: np.ndarray) -> np.ndarray | None:
        """The running mean with what the epochs since have come to."""
        total = newest.sum()
        if not np.isfinite(total) or total <= 0:
            return self._mean
        newest, kept = newest / total, (1 - _NEWEST) ** self._n_epochs
        return newest if self._mean is None else kept * self._mean + (1 - kept) * newest

    def _newest(self, model: Autoencoder, rng: np.random.Generator) -> np.ndarray:
        """Mean absolute value times root mean square gradient, ``[n_features]``; 0 where an input does not vary."""
        varies = self._deviation > 1e-6 * np.abs(model.mean.double().cpu().numpy())  # below that it is rounding
        rows = self._source.sample(self._most_probed, rng).rows
        world, width, at_once = ops.ranks(), model.config.output_width, self._batch_size
        if self._sparse:
            at_once = min(at_once, max(_NARROWEST, _TILE // width))
        square, kept = torch.zeros(self._source.n_features, dtype=torch.float64), []
        for begin in range(0, rows.shape[0], at_once):
            x = rows[begin : begin + at_once]
            signs = _signs((x.shape[0], width), rng)
            x, signs = x[world.rank :: world.size], signs[world.rank :: world.size]
            if x.shape[0]:
                kept.append(_behind_first(model, self._given(model, x), signs))
        if kept:
            first = next(iter(model.layers.values()))
            by_gemm = first.executor == "dense"
            norms = ops.input_norms(first.values.detach(), torch.cat(kept), first.topology, by_gemm=by_gemm)
            square += norms.double().square().cpu()
        world.sum(square)
        return varies * self._sizes(model, rows) * np.sqrt(square.numpy() / rows.shape[0])

    @staticmethod
    def _given(model: Autoencoder, rows: Rows) -> Tensor | ops.SparseRows:
        """Rows as the model takes them; what is not known is the mean."""
        return ops.rows_of(model.filled(rows), model.mean.device)

    def _sizes(self, model: Autoencoder, rows: Rows) -> np.ndarray:
        """Mean absolute value of every input, as the model takes it: of dense rows of these, of sparse ones of many."""
        if not self._sparse:
            x = model.transformed(self._given(model, rows))
            assert isinstance(x, Tensor)
            return ((x - model.mean) / model.scale).abs().mean(dim=0, dtype=torch.float64).cpu().numpy()
        if self._sizes_of_all is None:
            some = model.filled(self._source.sample(_SIZED, np.random.default_rng(self._seed)).rows)
            x = model.transformed(ops.SparseRows.of(some))
            assert isinstance(x, ops.SparseRows)
            mean, scale = (t.cpu().numpy() for t in (model.mean, model.scale))
            (n_rows, width), at = x.shape, x.pattern.indices
            stored = np.bincount(at, np.abs((x.values - mean[at]) / scale[at]), width)
            absent = n_rows - np.bincount(at, minlength=width)
            self._sizes_of_all = (stored + absent * np.abs(mean / scale)) / n_rows
        return self._sizes_of_all


def _shares(mean: np.ndarray | None) -> np.ndarray | None:
    return None if mean is None else (mean / mean.sum()).astype(np.float32)


@contextmanager
def _only_read(model: Autoencoder) -> Iterator[None]:
    """As at use, without gradients of weights, and with nothing taped, which is for the next step of training."""
    layers, kinds, training = list(model.layers.values()), model.activations, model.training
    recording = [layer.tape.recording for layer in layers]
    learned = [p for layer in layers for p in (layer.values, layer.bias) if p is not None and p.requires_grad]
    kinds.eval()  # which alone are other ones in training
    for parameter in learned:
        parameter.requires_grad_(False)
    for layer in layers:
        layer.tape.recording = False
    try:
        yield
    finally:
        kinds.train(training)
        for parameter in learned:
            parameter.requires_grad_(True)
        for layer, before in zip(layers, recording, strict=True):
            layer.tape.recording = before


def _behind_first(model: Autoencoder, x: Tensor | ops.SparseRows, signs: np.ndarray) -> Tensor:
    """``v^T`` times the Jacobian by what the first layer gives, ``[n_rows, width]``, per row for ``v`` of ``signs``.

    Times this layer's weights it is the gradient by the input; both in the model's own unit.
    """
    (first, *inner, last), kinds, n_rows = model.layers.values(), list(model.activations), x.shape[0]
    with torch.no_grad():
        z = _leaf(first(model.enter(model.centred(x))))
    h = activated(kinds[0], z, n_rows)
    for layer, kind in zip(inner, kinds[1:-1], strict=True):
        h = activated(kind, layer(h), n_rows)
    v = torch.from_numpy(signs).to(model.mean)
    if not model.config.output.linear:
        with torch.no_grad():
            logits = _leaf(last(h))
        output = _rows(activated(kinds[-1], logits, n_rows))
        (v,) = torch.autograd.grad(output, ops.tensor_of(logits), v / model.target_scale)
        v = _rows(v, logits)
    d = ops.input_gradient(last.values.detach(), v, last.topology, by_gemm=last.executor == "dense")
    d = ops.pack(d, h.lanes).tensor if isinstance(h, ops.Panels) else d
    (d,) = torch.autograd.grad(ops.tensor_of(h), ops.tensor_of(z), d)
    return _rows(d, z)


def _leaf(t: Tensor | ops.Panels) -> Tensor | ops.Panels:
    return ops.on_features(lambda t: t.requires_grad_(True), t)


def _rows(t: Tensor | ops.Panels, like: Tensor | ops.Panels | None = None) -> Tensor:
    """As rows, what is panels or, as ``like``, the tensor of panels."""
    if isinstance(like, ops.Panels):
        t = ops.Panels(ops.tensor_of(t), like.n_rows)
    return ops.unpack(t) if isinstance(t, ops.Panels) else t


def _signs(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Random ones of both signs, float32, a bit each."""
    size = math.prod(shape)
    bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size // 8)), np.uint8), count=size)
    signs = bits.astype(np.float32)
    signs *= 2
    signs -= 1
    return signs.reshape(shape)

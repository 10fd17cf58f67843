"""The gradients of layers in a row, in one native call or in two halves with something else between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dsae import kernels
from dsae.config import Activation, Loss
from dsae.ops._lines import Lines
from dsae.ops._native import empty
from dsae.ops._rows import Panels
from dsae.topology import Topology

MOST_LAYERS = 256  # as csrc/step.hpp has it
Centring = tuple[Tensor, Tensor]


# Those of csrc/step_lines.hpp; other activations, and losses without a kernel, go through autograd.
DIFFERENTIATED = ("identity", "relu", "sigmoid", "softmax", "exp")


class StepLayer(NamedTuple):
    """A layer that is trained: ``activation`` of ``W x + bias``.

    ``activation`` is one of `DIFFERENTIATED`; ``lines`` says which products read lines of 16 bits. Values and bias may
    change in place.
    """

    topology: Topology
    values: Tensor
    bias: Tensor
    activation: Activation
    lines: Lines | None = None


class NetworkGradients:
    """All gradients of layers in a row, panel by panel; float32 on the CPU, with compiled kernels.

    Parameters
    ----------
    layers : sequence of StepLayer
        The first is number 0; a range of them is ``first`` to ``last``, which is left out.

    Attributes
    ----------
    flat : Tensor
        The gradients of the last call: layer by layer those of the values, then of the bias.
    grads : tuple of Tensor
        Its parts.
    """

    def __init__(self, layers: Sequence[StepLayer]) -> None:
        sizes = [p.numel() for layer in layers for p in (layer.values, layer.bias)]
        self.flat = empty(sum(sizes))
        self.grads = self.flat.split(sizes)
        self.widths = [layers[0].topology.shape[1], *(layer.topology.shape[0] for layer in layers)]
        self._step = kernels.Step()
        for i, layer in enumerate(layers):
            topology, transpose = layer.topology, None
            if topology.block_size == 1:
                transposed, slots = topology.transpose
                transpose = transposed.indptr, transposed.indices, slots
            assert layer.activation.kernel is not None
            self._step.add(
                (topology.indptr, topology.indices, layer.values.detach().numpy(), layer.bias.detach().numpy()),
                transpose,
                (self.grads[2 * i].numpy(), self.grads[2 * i + 1].numpy()),
                topology.shape[1],
                layer.activation.kernel,
                topology.block_size,
                0 if layer.lines is None else sum(2**bit for bit, rounds in enumerate(layer.lines) if rounds),
            )

    def loss(
        self,
        x: Tensor | Panels,
        loss: Loss,
        factor: float,
        *,
        first: int = 0,
        centring: Centring | None = None,
        target: Tensor | None = None,
        as_given: bool = False,
        known: Tensor | None = None,
        weight: Tensor | None = None,
        dx: Tensor | None = None,
        finished: Callable[[int], None] | None = None,
        offset: Tensor | None = None,
        dispersion: tuple[Tensor, Tensor] | None = None,
    ) -> float:
        """The loss of the layers from ``first`` to the end, summed over rows and outputs, and all their gradients.

        Parameters
        ----------
        x : Tensor of shape (n_rows, width), or Panels
        loss : Loss
            One that has a kernel.
        factor : float
            Multiplies the gradients, those of the sum divided by the record's own factor.
        centring : pair of Tensor, shape (width,)
            Mean that rows are less, and scale by which they are divided.
        target : Tensor, shape (n_rows, n_outputs), optional
            By default the centred rows, or the rows themselves where ``as_given``.
        known : Tensor, shape (n_rows, n_outputs), optional
            Weights of the target's values; what weighs 0 may be NaN.
        weight : Tensor, shape (n_rows,), optional
            Weights of the rows.
        dx : Tensor, optional
            Panels for the gradient of ``x``, where that is panels.
        finished : callable, optional
            Called with the number of a layer as soon as all its gradients are there, the last layer first.
        offset : Tensor, shape (n_rows,), optional
            Logarithms of the rows' totals, for a loss with exposure.
        dispersion : pair of Tensor, shape (n_outputs,), optional
            Logarithm of the dispersion, and a place for its gradient.
        """
        assert loss.kernel is not None
        given, seen, counts = (None if t is None else t.contiguous().numpy() for t in (target, known, weight))
        to = None if dx is None else dx.numpy()
        entering, n_rows, centre = _entering(x, centring)
        last = len(self.widths) - 1
        totals = None if offset is None else offset.contiguous().numpy()
        sizes = None if dispersion is None else (dispersion[0].detach().numpy(), dispersion[1].numpy())
        weights = seen, counts
        how = loss.kernel, factor, to, finished, totals, sizes
        return self._step.gradients(first, last, entering, n_rows, centre, given, as_given, *weights, *how)

    def forward(
        self, x: Tensor | Panels, last: int, centring: Centring | None = None, *, activated: bool = True
    ) -> Panels:
        """What the first ``last`` layers make of ``x``; their activations are kept for `backward`.

        With ``activated`` off, what the last of them makes of it stays as it is before the activation.
        """
        entering, n_rows, centre = _entering(x, centring)
        y = torch.from_numpy(kernels.empty_panels(n_rows, self.widths[last]))
        self._step.forward(0, last, entering, n_rows, centre, y.numpy(), activated)
        return Panels(y, n_rows)

    def backward(
        self,
        y: Panels,
        dy: Tensor,
        dx: Tensor | None = None,
        *,
        activated: bool = True,
        finished: Callable[[int], None] | None = None,
    ) -> None:
        """The gradients of the layers that `forward` went through, from that of what it gave.

        ``dx`` is a place for that of the panels that entered; ``activated`` as then, ``finished`` as in `loss`.
        """
        self._step.backward(y.tensor.numpy(), dy.numpy(), None if dx is None else dx.numpy(), activated, finished)


def _entering(
    x: Tensor | Panels, centring: Centring | None
) -> tuple[np.ndarray, int, tuple[np.ndarray, np.ndarray] | None]:
    if isinstance(x, Panels):
        return x.tensor.numpy(), x.n_rows, None
    centre = None if centring is None else (centring[0].numpy(), centring[1].numpy())
    return x.contiguous().numpy(), x.shape[0], centre

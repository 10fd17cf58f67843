"""The same as `Tower` on CSR rows, where nothing is as wide as the data but weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsae.ops import _native
from dsae.ops._by_hand import HAND_WRITTEN
from dsae.ops._loss import output_gradients
from dsae.ops._rows import Panels, SparseRows
from dsae.ops._step import NetworkGradients, StepLayer


class SparseTower:
    """The layers before and after a code, on CSR rows; float32 on the CPU, with compiled kernels.

    The first layer costs the stored values, the last is `output_gradients`; between them panels go through
    `NetworkGradients`. A step is `encode`, `decode` and `back`, once each, as of a `Tower`.

    Parameters
    ----------
    encoder, decoder : sequence of StepLayer
        One layer or more each. The first one's activation is in `HAND_WRITTEN`; that of the encoder's last layer is
        left to the caller, that of the decoder's to the loss, whose link it is.
    columns : pair of Tensor, shape (nnz,), optional
        The first layer's values laid out by `by_input`, and a place for their gradient in that order, where they are
        kept so; else they are laid out at every step.
    by_gemm : bool
        Whether the last layer multiplies by a dense matrix.
    """

    def __init__(
        self,
        encoder: Sequence[StepLayer],
        decoder: Sequence[StepLayer],
        columns: tuple[Tensor, Tensor] | None = None,
        *,
        by_gemm: bool = False,
    ) -> None:
        self._first, *inner = encoder
        *outer, self._last = decoder
        self._before, self._after = (NetworkGradients(layers) if layers else None for layers in (inner, outer))
        self._columns, self._by_gemm = columns, by_gemm
        topology = self._first.topology
        self._first_grads = _native.empty(topology.nnz) if columns is None else columns[1], None
        self._last_grads: tuple[Tensor | None, Tensor | None] = (None, None)
        self._x: SparseRows | None = None
        self._h: Tensor | None = None
        self._entered: Panels | None = None
        self._z: Panels | None = None

    @property
    def grads(self) -> tuple[Tensor, ...]:
        """Gradients of every layer's values and bias, from the encoder's first layer on, after `back`.

        The first are in the order of ``columns`` where these were given.
        """
        inner, outer = (() if half is None else half.grads for half in (self._before, self._after))
        return (*self._first_grads, *inner, *outer, *self._last_grads)  # type: ignore[return-value]

    def encode(self, x: SparseRows) -> Tensor:
        """The code before its activation of rows that have been centred, ``[n_rows, n_components]``."""
        first = self._first
        values = _native.by_input(first.values, first.topology) if self._columns is None else self._columns[0]
        z = _native.csr_linear_by_input(values, first.bias, x, first.topology)
        self._x = x
        if self._before is None:
            return z
        self._h = HAND_WRITTEN[first.activation.name].apply(z)
        self._entered = Panels(_native.pack(self._h), x.shape[0])
        self._z = self._before.forward(self._entered, len(self._before.widths) - 1, activated=False)
        return _native.unpack(self._z.tensor, x.shape[0])

    @torch.no_grad()
    def decode(
        self, code: Tensor, aim: SparseRows, loss: str, *, scale: float = 1.0, extras: Sequence[Tensor] = ()
    ) -> tuple[float, Tensor]:
        """The mean loss of what a code is decoded to, the gradients of the decoder, and that of the code.

        Parameters
        ----------
        code : Tensor, shape (n_rows, n_components)
        aim : SparseRows, shape (n_rows, n_outputs)
            As the last layer is to give it; its weights count, and the mean divides by their sum.
        loss : str
            One that can be tiled.
        scale : float
            Of all gradients: they are those of ``scale`` times the mean loss.
        extras : sequence of Tensor, shape (n_outputs,)
            What the loss trains beside the weights; their ``grad`` is set.

        Returns
        -------
        float
        Tensor, shape (n_rows, n_components)
        """
        last, entering = self._last, Panels(_native.pack(code), code.shape[0])
        outputs = entering
        if self._after is not None:
            outputs = self._after.forward(entering, len(self._after.widths) - 1)
        layer = last.values, last.bias, outputs, last.topology
        found = output_gradients(*layer, aim, loss, by_gemm=self._by_gemm, extras=extras)
        d, self._last_grads = found.input, (found.values, found.bias)
        assert d is not None
        for gradient in (*self._last_grads, *found.extras, d) if scale != 1 else ():
            gradient.mul_(scale)  # type: ignore[union-attr]
        for extra, gradient in zip(extras, found.extras, strict=True):
            extra.grad = gradient
        if self._after is not None:
            d_code = torch.empty_like(entering.tensor)
            self._after.backward(outputs, d, d_code)
            d = d_code
        return found.loss.item(), _native.unpack(d, code.shape[0])

    def back(self, dz: Tensor) -> None:
        """The gradients of the encoder, from that of what `encode` gave; it may be written over."""
        first, x = self._first, self._x
        assert x is not None
        if self._before is not None:
            assert self._entered is not None
            assert self._z is not None
            assert self._h is not None
            d = torch.empty_like(self._entered.tensor)
            self._before.backward(self._z, _native.pack(dz, self._z.lanes), d, activated=False)
            dz = HAND_WRITTEN[first.activation.name].back(_native.unpack(d, x.shape[0]), self._h)
        grad = self._first_grads[0] if self._columns is not None else _native.empty(first.topology.nnz)
        _native.csr_sddmm_by_input(dz, x, first.topology, grad)
        if self._columns is None:
            grad = _native.from_input(grad, first.topology, self._first_grads[0])
        self._first_grads = grad, dz.sum(0)  # type: ignore[assignment]
        self._x = self._h = self._entered = self._z = None

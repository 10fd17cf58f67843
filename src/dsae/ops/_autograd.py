"""Derivatives: the gradient of a sparse product is two more sparse products."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dsae import kernels
from dsae.ops import _native, _torch
from dsae.ops._lines import Lines
from dsae.ops._rows import Panels, SparseRows, tensor_of
from dsae.topology import Topology

_LEAST_LANES = 32  # of lines of 16 bits


class Tape:
    """Keeps a layer's input and output gradient of one backward pass, while ``recording``.

    The two give the gradient of an edge that does not exist: ``sum(dy[:, row] * x[:, col])``. Tensors as wide as sparse
    data are not materialised: the input stays `SparseRows`, the gradient is a `LazyGradient`.
    """

    def __init__(self) -> None:
        self.recording = False
        self.x: Tensor | Panels | SparseRows | None = None
        self.dy: Tensor | Panels | LazyGradient | None = None

    def clear(self) -> None:
        """Forget the tensors and stop recording."""
        self.recording, self.x, self.dy = False, None, None


class LazyGradient:
    """The gradient of an output, recomputed tile by tile on demand.

    Parameters
    ----------
    norms : callable
        Returns every output's norm over the batch.
    at : callable
        Maps a topology to ``<dy, x>`` at its edges.
    """

    def __init__(self, norms: Callable[[], Tensor], at: Callable[[Topology], Tensor]) -> None:
        self.norms, self.at = norms, at


def is_native(tensor: Tensor) -> bool:
    """Whether the compiled kernels are there and support it."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter)  # not one by which torch.export traces
    return kernels.NATIVE and plain and tensor.device.type == "cpu" and tensor.dtype == torch.float32


def transformed() -> bool:
    """Whether `torch.func` (vmap, grad, jvp ...) is at work, which cannot trace the compiled kernels."""
    return torch._C._are_functorch_transforms_active()


def first_derivatives(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward that raises where second derivatives are wanted, which torch would silently take for zero."""
    once = once_differentiable(backward)

    @wraps(backward)
    def checked(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "[SparseLinear] Expected a backward pass for first derivatives; got create_graph=True. Take second "
                "derivatives of the layer's or model's to_dense(), or with torch.func, which takes a dense matrix."
            )
        return once(ctx, *gradients)

    return checked


def _backend(tensor: Tensor) -> ModuleType:
    return _native if is_native(tensor) else _torch


class _Linear(Function):
    """Packs and unpacks rows itself: one node of the graph instead of three.

    ``n_rows`` is the number of rows in panels; None if ``x`` is rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        bias: Tensor | None,
        x: Tensor,
        n_rows: int | None,
        topology: Topology,
        tape: Tape | None,
        lines: Lines | None,
    ) -> Tensor:
        backend = _backend(x)
        ctx.packs, ctx.n_rows = n_rows is None, x.shape[0] if n_rows is None else n_rows
        panels = backend.pack(x) if ctx.packs else x
        if lines is None or backend is not _native or panels.shape[2] < _LEAST_LANES:
            lines = Lines(False, False, False)
        need_values, _, need_x = ctx.needs_input_grad[:3]
        by_lines = need_values and (lines.backward if need_x else lines.sddmm)
        rounded = _native.bf16_pack(panels) if lines.forward or by_lines else panels
        ctx.save_for_backward(values, rounded if by_lines else panels)
        ctx.topology, ctx.tape = topology, tape
        y = (_native.bf16_spmm if lines.forward else backend.spmm)(
            values, bias, rounded if lines.forward else panels, topology
        )
        return backend.unpack(y, ctx.n_rows) if ctx.packs else y

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        values, x = ctx.saved_tensors
        backend, topology, by_lines = _backend(values), ctx.topology, x.dtype == torch.uint16
        if ctx.packs:
            dy = backend.pack(dy, x.shape[2])
        if ctx.tape is not None and ctx.tape.recording:
            seen = _native.bf16_unpack(x) if by_lines else x.detach()
            ctx.tape.x, ctx.tape.dy = Panels(seen, ctx.n_rows), Panels(dy, ctx.n_rows)
        need_values, need_bias, need_x = ctx.needs_input_grad[:3]
        d_values = dx = None
        if need_values and need_x:
            d_values, dx = backend.backward(values, _native.bf16_pack(dy) if by_lines else dy, x, topology)
        elif need_values and by_lines:
            d_values = _native.bf16_sddmm(_native.bf16_pack(dy), x, topology)
        elif need_values:
            d_values = backend.sddmm(dy, x, topology)
        elif need_x:
            dx = backend.spmm_transposed(values, dy, topology)
        if dx is not None and ctx.packs:
            dx = backend.unpack(dx, ctx.n_rows)
        return d_values, backend.sum_samples(dy) if need_bias else None, dx, None, None, None, None


class _CsrLinear(Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, bias: Tensor | None, x: SparseRows, topology: Topology, tape: Tape | None
    ) -> Tensor:
        ctx.x, ctx.topology, ctx.tape = x, topology, tape
        return _backend(values).csr_linear(values, bias, x, topology)

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.tape is not None and ctx.tape.recording:
            ctx.tape.x, ctx.tape.dy = ctx.x, dy
        need_values, need_bias = ctx.needs_input_grad[:2]
        d_values = _backend(dy).csr_sddmm(dy, ctx.x, ctx.topology) if need_values else None
        return d_values, dy.sum(0) if need_bias else None, None, None, None


class _Pack(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, lanes: int | None) -> Tensor:
        ctx.n_rows = rows.shape[0]
        return _backend(rows).pack(rows, lanes)

    @staticmethod
    def backward(ctx: Any, d_panels: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _Unpack.apply(d_panels, ctx.n_rows), None  # type: ignore[return-value]


class _Unpack(Function):
    @staticmethod
    def forward(ctx: Any, panels: Tensor, n_rows: int) -> Tensor:
        ctx.lanes = panels.shape[2]
        return _backend(panels).unpack(panels, n_rows)

    @staticmethod
    def backward(ctx: Any, d_rows: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _Pack.apply(d_rows, ctx.lanes), None  # type: ignore[return-value]


def pack(rows: Tensor, lanes: int | None = None) -> Panels:
    """Rows ``[batch, features]`` as panels ``[n_panels, features, lanes]``; the lanes left over are zero.

    Examples
    --------
    >>> pack(torch.ones(20, 3)).tensor.shape
    torch.Size([1, 3, 32])
    """
    return Panels(_Pack.apply(rows, lanes), rows.shape[0])  # type: ignore[arg-type]


def unpack(panels: Panels) -> Tensor:
    """Rows ``[n_rows, features]`` from panels, the reverse of `pack`.

    Raises
    ------
    ValueError
        If that many rows do not fill exactly that many panels.
    """
    if -(-panels.n_rows // panels.lanes) != panels.tensor.shape[0]:
        raise ValueError(f"[unpack] {panels.n_rows} rows do not fill panels of shape {tuple(panels.tensor.shape)}.")
    return _Unpack.apply(panels.tensor, panels.n_rows)  # type: ignore[return-value]


def linear(
    values: Tensor,
    bias: Tensor | None,
    x: Tensor | Panels | SparseRows,
    topology: Topology,
    tape: Tape | None = None,
    lines: Lines | None = None,
) -> Tensor | Panels:
    """``W x + bias`` with ``W`` at the active edges of ``topology``.

    Parameters
    ----------
    values : Tensor, shape (nnz,)
    bias : Tensor, shape (out_features,), optional
    x : Tensor of shape (batch, in_features), Panels or SparseRows
        Sparse rows cost one multiply-add per stored value and edge of its feature; they get no gradient.
    topology : Topology
        Of shape ``(out_features, in_features)``.
    tape : Tape, optional
        Keeps ``x`` and the output's gradient while it is recording.
    lines : Lines, optional
        Products in which dense ``x`` and the output's gradient are rounded to bfloat16, on the compiled kernels where a
        batch has more than 16 rows; weights and sums stay float32.

    Returns
    -------
    Tensor of shape (batch, out_features), or Panels
        Panels for panels and for sparse rows that are to be packed.

    Notes
    -----
    Under `torch.func` the product is that of a dense matrix, which can be differentiated any number of times. Elsewhere
    there are first derivatives only.

    Raises
    ------
    ValueError
        If ``x`` is of another width.
    """
    if len(x.shape) != 2 or x.shape[1] != topology.shape[1]:
        raise ValueError(
            f"[linear] Expected rows [batch, {topology.shape[1]}], or Panels of them; got shape {tuple(x.shape)}."
        )
    # `torch.func` traces plain products.
    if isinstance(x, Tensor) and transformed():
        return F.linear(x, dense(values, topology), bias)
    if isinstance(x, SparseRows):
        rows: Tensor = _CsrLinear.apply(values, bias, x, topology, tape)  # type: ignore[assignment]
        return pack(rows) if x.packed else rows
    n_rows = x.n_rows if isinstance(x, Panels) else None
    y: Tensor = _Linear.apply(values, bias, tensor_of(x), n_rows, topology, tape, lines)  # type: ignore[assignment]
    return y if n_rows is None else Panels(y, n_rows)


class _Dense(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, topology: Topology) -> Tensor:
        ctx.topology = topology
        return _native.spread(values, topology)

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, d_matrix: Tensor) -> tuple[Tensor, None]:
        return _native.collect(d_matrix, ctx.topology), None


def dense(values: Tensor, topology: Topology) -> Tensor:
    """``values`` scattered into a dense matrix ``[out_features, in_features]``; a view where they are one already.

    In float32 on the CPU its gradient can be taken only once, as that of the sparse products.
    """
    if topology.is_matrix:
        return values.view(topology.shape)
    if is_native(values) and not transformed():
        return _Dense.apply(values, topology)  # type: ignore[return-value]
    return _torch.spread(values, topology)

"""Codes that are mostly zero: layers beside them cost the latents that live, forwards and backwards.

`pre_activations` computes all latents of a batch, without a gradient. `read` takes some of them, differentiably, and
`decode` is the layer after the code; both derivatives cost what is in the code. Compiled kernels only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from dsae import kernels
from dsae.ops import _native
from dsae.ops._autograd import Tape, dense, first_derivatives
from dsae.ops._native import array
from dsae.ops._rows import Panels, SparseRows
from dsae.topology import Topology


@dataclass(frozen=True, eq=False)
class Code:
    """A batch of codes by what is not zero.

    Parameters
    ----------
    pattern : Topology
        Of shape ``(n_rows, n_latents)``. Entries may be zero: latents near a threshold have a gradient, too.
    values : Tensor, shape (pattern.nnz,)
    """

    pattern: Topology
    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_rows, n_latents)``."""
        return self.pattern.shape

    def rows(self) -> Tensor:
        """All numbers, ``[n_rows, n_latents]``."""
        return dense(self.values, self.pattern)

    def fired(self) -> np.ndarray:
        """The latents that are not zero in every row, with repeats."""
        return self.pattern.indices[array(self.values) != 0]

    def first(self, n: int) -> Code:
        """The first ``n`` rows."""
        indptr = self.pattern.indptr[: n + 1]
        return Code(Topology((n, self.shape[1]), indptr, self.pattern.indices[: indptr[-1]]), self.values[: indptr[-1]])

    def first_latents(self, width: int) -> Code:
        """The entries of the first ``width`` latents."""
        inside = self.pattern.indices < width
        before = np.concatenate([[0], np.cumsum(inside)])
        pattern = Topology(self.shape, before[self.pattern.indptr], self.pattern.indices[inside])
        return Code(pattern, self.values[torch.from_numpy(np.flatnonzero(inside))])


@dataclass(frozen=True, eq=False)
class PreCode:
    """The code before its activation.

    Parameters
    ----------
    z : Tensor, shape (n_rows, n_latents)
        All of it, without a gradient.
    near : Code
        What the code is made of: the pre-activations of the latents that live, or are near it, differentiable.
    at : callable
        Maps a Topology of the same shape to the pre-activations there, ``[nnz]``, differentiable.
    """

    z: Tensor
    near: Code
    at: Callable[[Topology], Tensor]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_rows, n_latents)``."""
        return self.near.shape

    def first(self, n: int) -> PreCode:
        """The first ``n`` rows."""

        def at(pattern: Topology) -> Tensor:
            rest = np.full(self.shape[0] - n, pattern.nnz, np.int32)  # rows behind the first n without an entry
            return self.at(Topology(self.shape, np.concatenate([pattern.indptr, rest]), pattern.indices))

        return replace(self, z=self.z[:n], near=self.near.first(n), at=at)


def topk_of(z: Tensor, k: int) -> Topology:
    """The latents among the ``k`` largest of each row that are positive; ties go to the lower."""
    return Topology((z.shape[0], z.shape[1]), *kernels.code_topk(array(z), k))


def kth_of_all(z: Tensor, k: int) -> float:
    """The ``k``-th largest of all numbers, 0 if that is not positive."""
    return kernels.kth_of_all(array(z), k)


def above(z: Tensor, threshold: Tensor, margin: float = 0.0) -> Topology:
    """Where ``z`` is above its latent's threshold (one number, or one each) less ``margin``."""
    bounds = array(threshold.expand(z.shape[1]))
    return Topology((z.shape[0], z.shape[1]), *kernels.code_above(array(z), bounds, margin))


class _Place(NamedTuple):
    """Where numbers are read: of which layer, at which entries, from which pre-activations."""

    layer: Topology
    pattern: Topology
    z: Tensor
    x: SparseRows | None
    n_rows: int | None
    tape: Tape | None


def pre_activations(
    values: Tensor, bias: Tensor, x: Tensor | Panels | SparseRows, topology: Topology, by_gemm: bool
) -> Tensor:
    """``W x + bias`` of all latents, rows ``[n_rows, n_latents]``, without a gradient."""
    with torch.no_grad():
        if isinstance(x, SparseRows):
            return _native.csr_linear(values, bias, x, topology)
        if by_gemm:
            rows = _native.unpack(x.tensor, x.n_rows) if isinstance(x, Panels) else x
            matrix = values.view(topology.shape) if topology.is_matrix else _native.spread(values, topology)
            return torch.addmm(bias, rows, matrix.t(), out=_native.empty(rows.shape[0], topology.shape[0]))
        panels, n_rows = x if isinstance(x, Panels) else (_native.pack(x), x.shape[0])
        return _native.unpack(_native.spmm(values, bias, panels, topology), n_rows)


def read(
    values: Tensor,
    bias: Tensor,
    x: Tensor | Panels | SparseRows,
    topology: Topology,
    z: Tensor,
    pattern: Topology,
    tape: Tape | None = None,
) -> Tensor:
    """The pre-activations ``z`` of ``W x + bias`` at ``pattern``, ``[pattern.nnz]``, differentiable.

    Parameters
    ----------
    values, bias : Tensor, shapes (nnz,) and (n_latents,)
    x : Tensor of shape (n_rows, in_features), Panels or SparseRows
        Sparse rows get no gradient.
    topology : Topology
        Of shape ``(n_latents, in_features)``.
    z : Tensor, shape (n_rows, n_latents)
        As `pre_activations` gives it.
    pattern : Topology
        Of the same shape. The gradient costs its entries times the inputs of a latent.
    tape : Tape, optional
        Keeps ``x`` and the gradient of ``z``, as rows, while it is recording; what is read elsewhere is added.
    """
    x, sparse = (values.new_empty(0), x) if isinstance(x, SparseRows) else (x, None)
    x, n_rows = x if isinstance(x, Panels) else (x, None)
    return _Read.apply(values, bias, x, _Place(topology, pattern, z, sparse, n_rows, tape))  # type: ignore[return-value]


class _Read(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, x: Tensor, place: _Place) -> Tensor:
        ctx.save_for_backward(values, x)
        ctx.place = place
        return _native.collect(place.z, place.pattern)

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, dz: Tensor) -> tuple[Tensor | None, ...]:
        (values, x), place = ctx.saved_tensors, ctx.place
        layer, pattern = place.layer, place.pattern
        rows = x if place.n_rows is None else _native.unpack(x, place.n_rows)
        if place.tape is not None and place.tape.recording:
            _record(place.tape, rows if place.x is None else place.x, _native.spread(dz, pattern))
        d_values = d_bias = dx = None
        if any(ctx.needs_input_grad[:2]) and place.x is not None:
            spread = _native.spread(dz, pattern)
            d_values, d_bias = _native.csr_sddmm(spread, place.x, layer), spread.sum(0)
        elif any(ctx.needs_input_grad[:2]):
            d_values, d_bias = _outer(layer, pattern, dz, rows, bias=True)
        if ctx.needs_input_grad[2]:
            dx = _combine(layer, array(values), None, pattern, dz)
            dx = dx if place.n_rows is None else _native.pack(dx, x.shape[2])
        return d_values, d_bias, dx, None


def decode(values: Tensor, bias: Tensor | None, code: Code, topology: Topology, tape: Tape | None = None) -> Tensor:
    """``W code + bias``, rows ``[n_rows, out_features]``.

    Parameters
    ----------
    values, bias : Tensor, shapes (nnz,) and (out_features,)
    code : Code
    topology : Topology
        Of shape ``(out_features, n_latents)``.
    tape : Tape, optional
        Keeps the code, as rows, and the output's gradient while it is recording.
    """
    return _Decode.apply(values, bias, code.values, code.pattern, topology, tape)  # type: ignore[return-value]


class _Decode(Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        bias: Tensor | None,
        code: Tensor,
        pattern: Topology,
        topology: Topology,
        tape: Tape | None,
    ) -> Tensor:
        atoms, moved = _by_latent(values, topology)
        ctx.save_for_backward(values, code)
        ctx.places = atoms, moved, pattern, topology, tape
        return _combine(atoms, moved, bias, pattern, code)

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        code, (atoms, moved, pattern, topology, tape) = ctx.saved_tensors[1], ctx.places
        if tape is not None and tape.recording:
            tape.x, tape.dy = _native.spread(code, pattern), dy
        d_values = d_code = None
        if ctx.needs_input_grad[2]:
            d_code = kernels.aligned((pattern.nnz,))
            kernels.code_dots(atoms.indptr, atoms.indices, moved, pattern.indptr, pattern.indices, array(dy), d_code)
            d_code = torch.from_numpy(d_code)
        if ctx.needs_input_grad[0]:
            d_values = _in_order(_outer(atoms, pattern, code, dy)[0], topology)
        return d_values, dy.sum(0) if ctx.needs_input_grad[1] else None, d_code, None, None, None


def _record(tape: Tape, x: Tensor | SparseRows, dy: Tensor) -> None:
    # Dead latents, which AuxK reads, are a second reading of the same pre-activations.
    tape.x, tape.dy = x, dy if tape.dy is None else tape.dy + dy  # type: ignore[operator]


def _by_latent(values: Tensor, topology: Topology) -> tuple[Topology, np.ndarray]:
    """The transpose and its values."""
    transposed, slots = topology.transpose
    moved = kernels.aligned((topology.nnz,))
    if topology.is_matrix:
        kernels.turn(array(values).reshape(topology.shape), moved.reshape(transposed.shape))
    else:
        kernels.gather(array(values), slots, moved)
    return transposed, moved


def _in_order(moved: Tensor, topology: Topology) -> Tensor:
    """Numbers of the transpose in the order of the matrix."""
    transposed, slots = topology.transpose
    values = kernels.aligned((topology.nnz,))
    if topology.is_matrix:
        kernels.turn(array(moved).reshape(transposed.shape), values.reshape(topology.shape))
    else:
        kernels.scatter(array(moved), slots, values)
    return torch.from_numpy(values)


def _combine(latents: Topology, values: np.ndarray, bias: Tensor | None, pattern: Topology, code: Tensor) -> Tensor:
    """Of every row, the sum of its latents' weights."""
    y = kernels.aligned((pattern.shape[0], latents.shape[1]))
    start = np.zeros(latents.shape[1], np.float32) if bias is None else array(bias)
    kernels.csr_spmm(latents.indptr, latents.indices, values, start, pattern.indptr, pattern.indices, array(code), y)
    return torch.from_numpy(y)


def _outer(
    latents: Topology, pattern: Topology, code: Tensor, y: Tensor, bias: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The gradient of the latents' weights, and of their biases."""
    by_latent, slots = pattern.transpose
    dm, sums = kernels.aligned((latents.nnz,)), kernels.aligned((latents.shape[0],)) if bias else None
    kernels.code_outer(
        latents.indptr, latents.indices, by_latent.indptr, by_latent.indices, array(code)[slots], array(y), dm, sums
    )
    return torch.from_numpy(dm), None if sums is None else torch.from_numpy(sums)

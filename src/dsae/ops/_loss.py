"""Fused output layer and loss; the output is never materialised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from dsae.config import Loss, in_range, loss_of
from dsae.ops import _gram, _native, _tiled, _torch
from dsae.ops._autograd import LazyGradient, Tape, _backend, dense, first_derivatives, is_native
from dsae.ops._gram import pays
from dsae.ops._rows import Gradients, Needs, Panels, SparseRows, outputs_of, tensor_of
from dsae.topology import Topology


def tiled_loss(
    values: Tensor,
    bias: Tensor,
    x: Tensor | Panels,
    topology: Topology,
    target: SparseRows,
    loss: str,
    tape: Tape | None = None,
    *,
    by_gemm: bool = False,
    extras: Sequence[Tensor] = (),
) -> Tensor:
    """Mean loss of ``W x + bias`` against sparse rows, over samples and features.

    For each tile of outputs, the layer, the loss and all gradients are computed, and the tile is discarded; memory
    grows with the weights and with ``x``, not with outputs times samples. The squared error of outputs with few weights
    comes from Gram matrices instead (`gram_loss`), which takes less time and gives the same.

    Parameters
    ----------
    values, bias : Tensor, shapes (nnz,) and (out_features,)
    x : Tensor of shape (batch, in_features), or Panels
    topology : Topology
        Of shape ``(out_features, in_features)``.
    target : SparseRows
        Of shape ``(batch, out_features)``; its weights count, where it has some, and the mean divides by their sum.
    loss : str
        A name in `dsae.config.LOSSES` that can be tiled; ``W x + bias`` is the output before the loss' link, logits for
        ``"bce"``.
    tape : Tape, optional
        Keeps ``x`` and a `LazyGradient` of the output while it is recording.
    by_gemm : bool
        Whether to scatter the values into a dense matrix and multiply by that.
    extras : sequence of Tensor, shape (out_features,)
        What the loss trains beside the weights.

    Returns
    -------
    Tensor
        Its gradients are already computed: backward only multiplies them by the incoming gradient.

    Raises
    ------
    ValueError
        If the loss is unknown, or needs more of a row than a tile of its outputs.
    """
    record = loss_of(loss)
    if not record.tiled:
        raise ValueError(f"[tiled_loss] loss must be one that can be computed for a few outputs alone; got {loss!r}.")
    needs = Needs(values.requires_grad or bias.requires_grad, tensor_of(x).requires_grad)
    needs = needs if torch.is_grad_enabled() else Needs(False, False)
    compute = _fastest(values, topology, target, loss, by_gemm)
    settings = (topology, target, record, tape, compute, isinstance(x, Panels))
    return _TiledLoss.apply(values, bias, tensor_of(x), settings, needs, *extras)  # type: ignore[return-value]


def output_gradients(
    values: Tensor,
    bias: Tensor,
    x: Panels,
    topology: Topology,
    target: SparseRows,
    loss: str,
    *,
    by_gemm: bool = False,
    extras: Sequence[Tensor] = (),
) -> Gradients:
    """The loss of `tiled_loss` and all its gradients at once, without autograd; parameters are the same."""
    compute = _fastest(values, topology, target, loss, by_gemm)
    return compute(values, bias, x.tensor, True, topology, target, loss_of(loss), Needs(True, True), extras)


def _fastest(
    values: Tensor, topology: Topology, target: SparseRows, loss: str, by_gemm: bool
) -> Callable[..., Gradients]:
    """By a dense matrix, by Gram matrices or by edges; without a kernel, the last two take those of blocks singly."""
    if by_gemm:
        return _by_gemm
    native = is_native(values)
    compute = partial(_by_gram, 1.0) if native and loss == "mse" and pays(topology, target) else _by_edges
    whole = topology.block_size == 1 or (native and loss_of(loss).kernel is not None)
    return compute if whole else partial(_one_by_one, compute)


def gram_loss(
    values: Tensor, bias: Tensor, x: Tensor | Panels, topology: Topology, target: SparseRows, unseen: float = 1.0
) -> Tensor:
    """Mean squared error of ``W x + bias`` against sparse rows in which unseen numbers have a weight of their own.

    The sum over all samples and outputs of ``weight * (W x + bias - target)^2``, divided by their number: ``weight`` is
    1 where ``target`` holds a number, 0 or not, and ``unseen`` elsewhere, where the target is 0. A ``shift`` of the
    target is taken from all numbers. With a weight below 1 this is the loss of recommenders from implicit feedback (Hu,
    Koren & Volinsky 2008, eq. 3): what was not bought counts, but little.

    For ``e`` weights of each output it takes ``e^2`` multiply-adds, and ``3 e`` for each number of the target, instead
    of ``3 e`` for each sample, since sums over all outputs need only ``W^T W`` and ``X^T X`` (Vincent, de Brebisson &
    Bouthillier 2015). It is exact. Without the compiled kernels, all outputs are computed in tiles.

    Parameters
    ----------
    values, bias : Tensor, shapes (nnz,) and (out_features,)
    x : Tensor of shape (batch, in_features), or Panels
    topology : Topology
        Of shape ``(out_features, in_features)``.
    target : SparseRows
        Of shape ``(batch, out_features)``.
    unseen : float
        From 0 on.

    Returns
    -------
    Tensor
        Its gradients are already computed, as those of `tiled_loss`.

    Raises
    ------
    ValueError
        If ``unseen`` is negative or not finite, or ``target`` has weights of rows.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from dsae.ops import SparseRows
    >>> from dsae.topology import Topology
    >>> bought = SparseRows.of(sp.csr_matrix(np.array([[1, 0, 0], [0, 1, 1]], np.float32)))
    >>> zeros = torch.zeros(6), torch.zeros(3), torch.ones(2, 2), Topology.full((3, 2))
    >>> float(gram_loss(*zeros, bought, unseen=0.1))
    0.5
    """
    in_range("unseen", unseen, 0, math.inf)
    if target.weight is not None:
        raise ValueError("[gram_loss] target must have no weights of rows, of which Gram matrices know nothing.")
    needs = Needs(values.requires_grad or bias.requires_grad, tensor_of(x).requires_grad)
    needs = needs if torch.is_grad_enabled() else Needs(False, False)
    compute = partial(_by_gram, unseen)
    compute = compute if topology.block_size == 1 or is_native(values) else partial(_one_by_one, compute)
    settings = (topology, target, loss_of("mse"), None, compute, isinstance(x, Panels))
    return _TiledLoss.apply(values, bias, tensor_of(x), settings, needs)  # type: ignore[return-value]


class _TiledLoss(Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        bias: Tensor,
        x: Tensor,
        settings: tuple[Any, ...],
        needs: Needs,
        *extras: Tensor,
    ) -> Tensor:
        topology, target, loss, tape, compute, packed = settings
        found = compute(values, bias, x, packed, topology, target, loss, needs, extras)
        ctx.gradients = (found.values, found.bias, found.input, *found.extras)
        if tape is not None and tape.recording and any(needs):
            kept = x.detach() if packed else _backend(x).pack(x)
            tape.x = Panels(kept, target.shape[0])
            # Copies: the optimiser moves them before a rewiring asks.
            layer = values.detach().clone(), bias.detach().clone()
            squared = loss.name == "mse" and is_native(values)
            by_gram = squared and not target.weighted and pays(topology, target)
            make = _lazy_gram if by_gram else _lazy_gradient
            tape.dy = make(*layer, kept, topology, target, loss, [extra.detach().clone() for extra in extras])
        return found.loss

    @staticmethod
    @first_derivatives
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        # saves a copy of all gradients; on another device, reading the number costs more than multiplying
        untouched = d_loss.device.type == "cpu" and d_loss.item() == 1
        found = [g if g is None or untouched else g * d_loss for g in ctx.gradients]
        needed = zip(found[:3], ctx.needs_input_grad[:3], strict=True)
        return *(g if needs else None for g, needs in needed), None, None, *found[3:]


def _one_by_one(
    compute: Callable[..., Gradients],
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    packed: bool,
    topology: Topology,
    *rest: Any,
) -> Gradients:
    """Blocks by their edges."""
    single, own = topology.edges
    slots = torch.from_numpy(own).to(values.device).long()
    found = compute(values[slots], bias, x, packed, single, *rest)
    if found.values is None:
        return found
    return found._replace(values=torch.empty_like(found.values).scatter_(0, slots, found.values))


def _by_edges(
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    packed: bool,
    topology: Topology,
    target: SparseRows,
    loss: Loss,
    needs: Needs,
    extras: Sequence[Tensor] = (),
) -> Gradients:
    native = is_native(values) and loss.kernel is not None
    backend, by_tiles = (_native, _tiled.tiled_loss) if native else (_torch, _torch.tiled_loss)
    found = by_tiles(values, bias, x if packed else backend.pack(x), topology, target, loss, needs, extras)
    if found.input is not None and not packed:
        return found._replace(input=backend.unpack(found.input, x.shape[0]))
    return found


def _by_gemm(
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    packed: bool,
    topology: Topology,
    target: SparseRows,
    loss: Loss,
    needs: Needs,
    extras: Sequence[Tensor] = (),
) -> Gradients:
    backend = _backend(values)
    rows = backend.unpack(x, target.shape[0]) if packed else x
    found = _torch.tiled_loss_dense(dense(values, topology), bias, rows, target, loss, needs, extras)
    d_values, dx = found.values, found.input
    if d_values is not None:
        d_values = d_values.view(-1) if topology.is_matrix else backend.collect(d_values, topology)
    return found._replace(values=d_values, input=backend.pack(dx, x.shape[2]) if packed and dx is not None else dx)


def _by_gram(
    unseen: float,
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    packed: bool,
    topology: Topology,
    target: SparseRows,
    loss: Loss,
    needs: Needs,
    extras: Sequence[Tensor] = (),
) -> Gradients:
    backend = _backend(values)
    rows = backend.unpack(x, target.shape[0]) if packed else x
    by_gram = _gram.gram_loss if is_native(values) else _torch.gram_loss
    found = by_gram(values, bias, rows, topology, target, unseen, needs)
    dx = found.input
    return found._replace(input=backend.pack(dx, x.shape[2]) if packed and dx is not None else dx)


def _lazy_gradient(
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    topology: Topology,
    target: SparseRows,
    loss: Loss,
    extras: Sequence[Tensor],
) -> LazyGradient:
    backend = _backend(x)

    def outputs(begin: int, end: int) -> Tensor:
        part, slots = outputs_of(topology, begin, end)
        return backend.unpack(backend.spmm(values[slots], bias[begin:end], x, part), target.shape[0])

    def tiles() -> Iterator[tuple[int, int, Tensor]]:
        offset = _torch.offset_for(loss, target, x, outputs)
        for begin, end in _torch.tiles(target):
            z = outputs(begin, end)
            yield begin, end, _torch.residual(z, target, begin, end, loss, offset, extras)[1]

    # written in place: small results between large temporary ones would keep the allocator from reusing their memory
    def norms() -> Tensor:
        found = bias.new_empty(topology.shape[0])
        for begin, end, dy in tiles():
            found[begin:end] = dy.norm(dim=0)
        return found

    def at(edges: Topology) -> Tensor:
        found = values.new_empty(edges.nnz)
        for begin, end, dy in tiles():
            part, slots = outputs_of(edges, begin, end)
            found[slots] = backend.sddmm(backend.pack(dy, x.shape[2]), x, part)
        return found

    return LazyGradient(norms, at)


def _lazy_gram(
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    topology: Topology,
    target: SparseRows,
    loss: Loss,
    extras: Sequence[Tensor],
) -> LazyGradient:
    rows = _native.unpack(x, target.shape[0])
    return LazyGradient(
        lambda: _gram.gram_norms(values, bias, rows, topology, target),
        lambda edges: _gram.gram_sddmm(values, bias, rows, topology, target, edges),
    )

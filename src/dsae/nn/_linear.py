"""A linear layer that stores, reads and multiplies only its active weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsae import ops
from dsae.config import in_range, true_or_false, valid_block_size
from dsae.nn._executor import dense_affine, executor_of, no_autocast
from dsae.topology import Rewiring, Topology, random_topology, weakest_blocks


class SparseLinear(nn.Module):
    """Drop-in replacement for `torch.nn.Linear` that stores no zeros.

    It accepts the input that `torch.nn.Linear` accepts and returns the same shapes. Input of another dtype is cast to
    the weights' dtype, in which the layer computes, also under autocast. Under `torch.func` (``vmap``, ``grad``,
    ``hessian``, ...) it multiplies by a dense matrix. Elsewhere second derivatives (``create_graph=True``) raise
    RuntimeError; `to_dense` has them.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    device, dtype
        As in `torch.nn.Linear`. The compiled kernels run in float32 on the CPU, plain torch elsewhere.
    density : float
        Active share of the weights, in (0, 1]; the edges are drawn at random.
    topology : Topology, optional
        The active edges, instead of a random draw; ``density`` and ``block_size`` are then ignored.
    generator : torch.Generator, optional
        Draws edges and initial values; on the CPU.
    block_size : {1, 4, 8}
        Neighbouring outputs that share their active inputs. Blocks compute up to twice as fast as the same number of
        single weights, but are a poorer choice of weights; the number of weights is right to one block.

    Attributes
    ----------
    values : Parameter, shape (nnz,)
        In the order of the topology's slots, row by row where ``block_size`` is 1; initially uniform within
        ``1 / sqrt(active fan-in)``, as in `torch.nn.Linear`.
    bias : Parameter, shape (out_features,), or None
    topology : Topology
    rounding : str or None
        Instruction set whose table says which products round their operands to bfloat16 while gradients are taken
        (`dsae.ops.lines_for`); None, the default, for float32 throughout.

    Examples
    --------
    >>> layer = SparseLinear(784, 100, density=0.05)
    >>> layer.nnz, layer(torch.ones(8, 784)).shape
    (3920, torch.Size([8, 100]))
    """

    values: nn.Parameter

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        density: float = 1.0,
        topology: Topology | None = None,
        generator: torch.Generator | None = None,
        block_size: int = 1,
    ) -> None:
        super().__init__()
        true_or_false("bias", bias)
        if topology is None:
            in_range("density", density, 0, 1, open_low=True)
            rng, block_size = _numpy_rng(generator), valid_block_size(block_size)
            topology = random_topology((out_features, in_features), density, rng, block_size)
        elif topology.shape != (out_features, in_features):
            raise ValueError(
                f"[SparseLinear] topology must have shape {(out_features, in_features)}; got {topology.shape}."
            )
        self.in_features, self.out_features = in_features, out_features
        self.values = nn.Parameter(_empty(topology.nnz, device, dtype))
        self.bias = nn.Parameter(self.values.detach().new_zeros(out_features)) if bias else None
        self.tape = ops.Tape()
        self.rounding: str | None = None
        self._set_topology(topology)
        self.reset_parameters(generator=generator)

    def reset_parameters(self, gain: float = 1 / math.sqrt(3), generator: torch.Generator | None = None) -> None:
        """Redraw the values, uniform with standard deviation ``gain / sqrt(active fan-in)`` of their row."""
        fan_in, n_slots = np.diff(self.topology.indptr), np.diff(self.topology.starts)
        bound = torch.from_numpy(gain * np.sqrt(3.0 / np.maximum(fan_in, 1))).to(self.values.dtype)
        values = self.values
        with torch.no_grad():
            # on the CPU, so that a seed draws the same layer for every device
            drawn = values if values.device.type == "cpu" else torch.empty_like(values, device="cpu")
            drawn.uniform_(-1, 1, generator=generator).mul_(bound.repeat_interleave(torch.from_numpy(n_slots)))
            values.copy_(drawn)
            if self.bias is not None:
                self.bias.zero_()

    @classmethod
    def from_dense(
        cls, weight: nn.Linear | Tensor, density: float | None = None, *, block_size: int = 1
    ) -> SparseLinear:
        """A sparse layer from a dense one.

        Parameters
        ----------
        weight : torch.nn.Linear, or Tensor of shape (out_features, in_features)
        density : float, optional
            Share of the weights to keep, the largest by magnitude; by default all that are not zero.
        block_size : {1, 4, 8}
            Neighbouring outputs that share their active inputs. Blocks are kept by the sum of their magnitudes.
        """
        bias = weight.bias if isinstance(weight, nn.Linear) else None
        matrix = (weight.weight if isinstance(weight, nn.Linear) else weight).detach()
        if matrix.ndim != 2:
            raise ValueError(
                f"[from_dense] Expected a weight [out_features, in_features]; got shape {tuple(matrix.shape)}."
            )
        topology = Topology.from_mask((matrix != 0).cpu().numpy(), valid_block_size(block_size))
        if density is not None:
            in_range("density", density, 0, 1, open_low=True)
            magnitude = matrix.abs().float().flatten()[torch.from_numpy(topology.flat)].cpu().numpy()
            excess = max(0, topology.nnz - round(density * topology.size))
            topology = topology.rewire(weakest_blocks(topology, magnitude, excess)).new
        layer = cls(matrix.shape[1], matrix.shape[0], bias=bias is not None, topology=topology).to(matrix)
        with torch.no_grad():
            layer.values.copy_(matrix.flatten()[torch.from_numpy(topology.flat)])
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
        return layer

    def to_dense(self) -> nn.Linear:
        """The same map as a densified `torch.nn.Linear`."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None).to(self.values)
        with torch.no_grad():
            linear.weight.copy_(ops.dense(self.values, self.topology))
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear

    @property
    def topology(self) -> Topology:
        """The active edges; only `rewire` changes them."""
        return self._topology

    @property
    def nnz(self) -> int:
        """Number of active weights."""
        return self.topology.nnz

    @property
    def density(self) -> float:
        """Active share of the weights."""
        return self.topology.density

    @property
    def block_size(self) -> int:
        """Neighbouring outputs that share their active inputs."""
        return self.topology.block_size

    @property
    def executor(self) -> str:
        """``"dense"`` where a matrix product on scattered values is faster, else ``"sparse"``."""
        return executor_of(self.topology, self.values.device)

    @property
    def lines(self) -> ops.Lines | None:
        """Products that read lines of 16 bits; None where all read float32."""
        if self.rounding is None or self.executor == "dense" or not torch.is_grad_enabled():
            return None
        return ops.lines_for(self.topology, self.rounding)

    def rewire(self, rewiring: Rewiring) -> None:
        """Adopt a new topology; kept edges keep their values, grown edges start at zero.

        ``values`` becomes a new parameter: an optimiser that holds the old one must be updated
        (`dsae.train.swap_parameter`).
        """
        moved = move_values(self.values.detach(), rewiring)
        self.values = nn.Parameter(moved, requires_grad=self.values.requires_grad)
        self._set_topology(rewiring.new)

    def forward(self, x: Tensor | ops.Panels | ops.SparseRows | ops.Code) -> Tensor | ops.Panels:
        """``x W^T + bias``.

        Parameters
        ----------
        x : Tensor, shape (..., in_features)
            Or, inside of `dsae`, Panels, SparseRows or a Code.

        Returns
        -------
        Tensor, shape (..., out_features)
            Panels for panels.

        Raises
        ------
        ValueError
            If ``x`` has another width.
        """
        if not isinstance(x, Tensor):
            return self._affine(x, self.bias, self.tape)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"[SparseLinear] Expected x [..., {self.in_features}], the layer's in_features; got shape "
                f"{tuple(x.shape)}."
            )
        if x.ndim == 2:
            return self._affine(x, self.bias, self.tape)
        rows = self._affine(x.reshape(math.prod(x.shape[:-1]), self.in_features), self.bias, self.tape)
        return ops.tensor_of(rows).view(*x.shape[:-1], self.out_features)

    def loss(
        self, x: Tensor | ops.Panels | ops.Code, target: ops.SparseRows, kind: str, extras: Sequence[Tensor] = ()
    ) -> Tensor:
        """Loss of ``W x + bias`` against sparse rows, without materialising the output: see `dsae.ops.tiled_loss`."""
        bias = self.values.new_zeros(self.out_features) if self.bias is None else self.bias
        by_gemm = self.executor == "dense"
        x = x.rows() if isinstance(x, ops.Code) else x
        how = {"by_gemm": by_gemm, "extras": extras}
        return ops.tiled_loss(self.values, bias, x, self.topology, target, kind, self.tape, **how)

    def tangent(self, t: Tensor | ops.Panels | ops.Code) -> Tensor | ops.Panels:
        """``W t``, the change of the output when the input changes by ``t``."""
        return self._affine(t, None, None)

    def _affine(
        self, x: Tensor | ops.Panels | ops.SparseRows | ops.Code, bias: Tensor | None, tape: ops.Tape | None
    ) -> Tensor | ops.Panels:
        values = self.values
        if isinstance(x, ops.Code):
            return ops.decode(values, bias, x, self.topology, tape)
        if not isinstance(x, ops.SparseRows):
            if ops.tensor_of(x).dtype != values.dtype:
                x = ops.on_features(lambda t: t.to(values.dtype), x)
            if self.executor == "dense":
                with no_autocast(values.device.type):
                    return dense_affine(ops.dense(values, self.topology), bias, x, tape)
        if ops.is_native(values):  # autocast does not know the kernels
            return ops.linear(values, bias, x, self.topology, tape, self.lines)
        with no_autocast(values.device.type):
            return ops.linear(values, bias, x, self.topology, tape)

    def _set_topology(self, topology: Topology) -> None:
        self._topology = topology
        self.tape.x = self.tape.dy = None

    def get_extra_state(self) -> dict[str, Tensor]:
        """The topology, for ``state_dict``."""
        t = self.topology
        parts = {
            "shape": np.array(t.shape),
            "indptr": t.indptr,
            "indices": t.indices,
            "block_size": np.array(t.block_size),
        }
        return {name: torch.tensor(part, device="cpu") for name, part in parts.items()}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take the topology of a ``state_dict``; ``values`` is replaced where its length differs."""
        shape = (self.out_features, self.in_features)
        if tuple(state["shape"].tolist()) != shape:
            raise ValueError(
                f"[load_state_dict] Expected a layer of shape {shape}; got {tuple(state['shape'].tolist())}."
            )
        block_size = int(state["block_size"]) if "block_size" in state else 1
        topology = Topology(shape, state["indptr"].cpu().numpy(), state["indices"].cpu().numpy(), block_size)
        self.adopt(topology)

    def adopt(self, topology: Topology) -> None:
        """Adopt a topology whose values are filled in later; ``values`` is replaced if its length differs."""
        if topology.nnz != self.nnz:
            values = _empty(topology.nnz, self.values.device, self.values.dtype).zero_()
            self.values = nn.Parameter(values, requires_grad=self.values.requires_grad)
        self._set_topology(topology)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # torch loads extra state last; here it decides how long `values` is
        state = state_dict.get(prefix + "_extra_state")
        if state is not None:
            self.set_extra_state(state)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Sizes, density and executor, for ``print``."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"density={self.density:.4g}, nnz={self.nnz}, "
            + (f"block_size={self.block_size}, " if self.block_size > 1 else "")
            + f"executor={self.executor}"
        )


def _empty(nnz: int, device: torch.device | str | int | None, dtype: torch.dtype | None) -> Tensor:
    device = torch.get_default_device() if device is None else torch.device(device)
    dtype = dtype or torch.get_default_dtype()
    if device.type == "cpu" and dtype == torch.float32:
        return ops.empty(nnz)
    return torch.empty(nnz, device=device, dtype=dtype)


def move_values(values: Tensor, rewiring: Rewiring) -> Tensor:
    """Permute one number per old slot into the new slots; zero where an edge was grown."""
    if ops.is_native(values):
        return torch.from_numpy(rewiring.move(values.detach().contiguous().numpy()))
    source = torch.tensor(rewiring.source, device=values.device)
    moved = values.new_zeros(source.shape)
    return moved if not values.numel() else torch.where(source >= 0, values[source.clamp(min=0)], moved)


def _numpy_rng(generator: torch.Generator | None) -> np.random.Generator:
    seed = torch.randint(2**63 - 1, (), generator=generator, dtype=torch.int64, device="cpu").item()
    return np.random.default_rng(int(seed))


def bias_of(layer: SparseLinear) -> Tensor:
    """The bias of a layer of an autoencoder, all of which have one."""
    assert layer.bias is not None
    return layer.bias

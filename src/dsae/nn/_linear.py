"""A linear layer that stores, reads and multiplies its live weights only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsae import ops
from dsae.config import in_range
from dsae.topology import Rewiring, Topology, random_topology

# Above this density a dense matrix product beats the sparse kernels; docs/design/kernels.md says why.
DENSE_ABOVE = 0.5


class SparseLinear(nn.Module):
    """Drop-in for `torch.nn.Linear` whose zeros do not exist.

    Parameters
    ----------
    in_features, out_features : int
    density : float
        Live share of the weights, in (0, 1]; the edges are drawn at random.
    bias : bool
    topology : Topology, optional
        The live edges, instead of a random draw; ``density`` is then ignored.
    generator : torch.Generator, optional
        Draws edges and initial values.

    Attributes
    ----------
    values : Parameter, shape (nnz,)
        Row by row in the topology's order; at first uniform within ``1 / sqrt(live fan-in)``, as in `torch.nn.Linear`.
    bias : Parameter, shape (out_features,), or None
    topology : Topology

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
        density: float = 1.0,
        bias: bool = True,
        topology: Topology | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if topology is None:
            in_range("density", density, 0, 1, open_low=True)
            topology = random_topology((out_features, in_features), density, _numpy_rng(generator))
        elif topology.shape != (out_features, in_features):
            raise ValueError(
                f"[SparseLinear] topology must have shape {(out_features, in_features)}; got {topology.shape}."
            )
        self.in_features, self.out_features = in_features, out_features
        self.values = nn.Parameter(ops.empty(topology.nnz))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.tape = ops.Tape()
        self._set_topology(topology)
        self.reset_parameters(generator=generator)

    def reset_parameters(self, gain: float = 1 / math.sqrt(3), generator: torch.Generator | None = None) -> None:
        """Draw the values anew, uniform with standard deviation ``gain / sqrt(live fan-in)`` of their row."""
        fan_in = np.diff(self.topology.indptr)
        bound = torch.from_numpy(gain * np.sqrt(3.0 / np.maximum(fan_in, 1))).to(self.values)
        with torch.no_grad():
            self.values.uniform_(-1, 1, generator=generator)
            self.values.mul_(bound.repeat_interleave(torch.from_numpy(fan_in).to(bound.device)))
            if self.bias is not None:
                self.bias.zero_()

    @classmethod
    def from_dense(cls, weight: nn.Linear | Tensor, density: float | None = None) -> SparseLinear:
        """A sparse layer from a dense one.

        Parameters
        ----------
        weight : torch.nn.Linear, or Tensor of shape (out_features, in_features)
        density : float, optional
            Keeps this share of the weights, the largest by magnitude; by default all that are not zero.
        """
        bias = weight.bias if isinstance(weight, nn.Linear) else None
        matrix = (weight.weight if isinstance(weight, nn.Linear) else weight).detach()
        if matrix.ndim != 2:
            raise ValueError(
                f"[from_dense] Expected a weight [out_features, in_features]; got shape {tuple(matrix.shape)}."
            )
        mask = matrix != 0
        if density is not None:
            in_range("density", density, 0, 1, open_low=True)
            keep = matrix.abs().flatten().topk(round(density * matrix.numel())).indices
            mask = torch.zeros(matrix.numel(), dtype=torch.bool, device=matrix.device).index_fill(0, keep, True)
            mask = mask.view_as(matrix) & (matrix != 0)
        topology = Topology.from_mask(mask.cpu().numpy())
        layer = cls(matrix.shape[1], matrix.shape[0], bias=bias is not None, topology=topology).to(matrix)
        with torch.no_grad():
            layer.values.copy_(matrix[mask])
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
        return layer

    def to_dense(self) -> nn.Linear:
        """The same map as a `torch.nn.Linear`, zeros written out."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None).to(self.values)
        with torch.no_grad():
            linear.weight.copy_(ops.dense(self.values, self.topology))
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear

    @property
    def topology(self) -> Topology:
        """The live edges; changed by `rewire` only."""
        return self._topology

    @property
    def nnz(self) -> int:
        """Number of live weights."""
        return self.topology.nnz

    @property
    def density(self) -> float:
        """Live share of the weights."""
        return self.topology.density

    @property
    def executor(self) -> str:
        """``"dense"`` where a matrix product on scattered values is faster, else ``"sparse"``."""
        return "dense" if self.topology.is_full or self.density > DENSE_ABOVE else "sparse"

    def rewire(self, rewiring: Rewiring) -> None:
        """Take over a new topology; the values move along and grown ones are zero.

        ``values`` becomes a new parameter: an optimiser that holds the old one must be told
        (`dsae.train.swap_parameter`).
        """
        moved = move(self.values.detach(), rewiring)
        self.values = nn.Parameter(moved, requires_grad=self.values.requires_grad)
        self._set_topology(rewiring.new)

    def forward(self, x: Tensor | ops.SparseRows) -> Tensor:
        """``W x + bias``.

        Parameters
        ----------
        x : Tensor or SparseRows
            Rows ``[batch, in_features]``, one sample ``[in_features]``, or panels ``[n_panels, in_features, lanes]``.

        Returns
        -------
        Tensor
            Of the same kind, with ``out_features`` in place of ``in_features``.

        Raises
        ------
        ValueError
            If ``x`` has another width.
        """
        if isinstance(x, ops.SparseRows):
            return ops.linear(self.values, self.bias, x, self.topology, self.tape)
        if x.ndim not in (1, 2, 3) or x.shape[1 if x.ndim > 1 else 0] != self.in_features:
            raise ValueError(
                f"[SparseLinear] Expected rows [batch, {self.in_features}] or panels "
                f"[n_panels, {self.in_features}, lanes]; got shape {tuple(x.shape)}."
            )
        return self._affine(x[None], self.bias, self.tape)[0] if x.ndim == 1 else self._affine(x, self.bias, self.tape)

    def loss(self, x: Tensor, target: ops.SparseRows, kind: str) -> Tensor:
        """Loss of ``W x + bias`` against sparse rows, without the output in memory: see `dsae.ops.tiled_loss`."""
        bias = self.values.new_zeros(self.out_features) if self.bias is None else self.bias
        by_gemm = self.executor == "dense"
        flat = self._flat_on(self.values.device) if by_gemm else None
        return ops.tiled_loss(self.values, bias, x, self.topology, target, kind, self.tape, by_gemm=by_gemm, flat=flat)

    def tangent(self, t: Tensor) -> Tensor:
        """``W t``, the change of the output when the input changes by ``t``."""
        return self._affine(t, None, None)

    def _affine(self, x: Tensor, bias: Tensor | None, tape: ops.Tape | None) -> Tensor:
        x = x.to(self.values.dtype)
        if self.executor == "dense":
            return self._dense_affine(x, bias, tape)
        return ops.linear(self.values, bias, x, self.topology, tape)

    def _dense_affine(self, x: Tensor, bias: Tensor | None, tape: ops.Tape | None) -> Tensor:
        weight = ops.dense(self.values, self.topology, self._flat_on(self.values.device))
        y = F.linear(x, weight, bias) if x.ndim == 2 else _panel_affine(weight, bias, x)
        if tape is not None and tape.recording and y.requires_grad:
            tape.x = x.detach()
            y.register_hook(self._keep_gradient)
        return y

    def _keep_gradient(self, dy: Tensor) -> None:
        self.tape.dy = dy

    def _flat_on(self, device: torch.device) -> Tensor | None:
        if self.topology.is_full or ops.is_native(self.values):
            return None
        if self._flat is None or self._flat.device != device:
            self._flat = torch.from_numpy(self.topology.flat).to(device)
        return self._flat

    def _set_topology(self, topology: Topology) -> None:
        self._topology = topology
        self._flat: Tensor | None = None
        self.tape.x = self.tape.dy = None

    def get_extra_state(self) -> dict[str, Tensor]:
        """The topology, for ``state_dict``."""
        t = self.topology
        return {"shape": torch.tensor(t.shape), "indptr": torch.tensor(t.indptr), "indices": torch.tensor(t.indices)}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take the topology of a ``state_dict``; ``values`` is replaced where its length differs."""
        shape = (self.out_features, self.in_features)
        if tuple(state["shape"].tolist()) != shape:
            raise ValueError(
                f"[load_state_dict] Expected a layer of shape {shape}; got {tuple(state['shape'].tolist())}."
            )
        topology = Topology(shape, state["indptr"].cpu().numpy(), state["indices"].cpu().numpy())
        self.adopt(topology)

    def adopt(self, topology: Topology) -> None:
        """Take over a topology, the values yet to be filled in; ``values`` is replaced where its length differs."""
        if topology.nnz != self.nnz:
            values = ops.empty(topology.nnz).zero_().to(self.values)
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
            f"density={self.density:.4g}, nnz={self.nnz}, executor={self.executor}"
        )


def _panel_affine(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return weight @ x if bias is None else weight @ x + bias[:, None]


def move(values: Tensor, rewiring: Rewiring) -> Tensor:
    """One number per old slot, laid out for the new slots; zero where an edge was grown."""
    if ops.is_native(values):
        return torch.from_numpy(rewiring.move(values.detach().contiguous().numpy()))
    source = torch.tensor(rewiring.source, device=values.device)
    kept = source >= 0
    moved = values.new_zeros(source.shape)
    moved[kept] = values[source[kept]]
    return moved


def _numpy_rng(generator: torch.Generator | None) -> np.random.Generator:
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    return np.random.default_rng(int(seed))

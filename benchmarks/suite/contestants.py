"""One linear layer by each of those compared: the same edges, the same values, rows in, rows out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from dsae.nn import SparseLinear
from dsae.topology import Topology, random_topology
from suite.timing import console

OURS, DENSE, BF16, CSR, LAB, PROP = "dsae", "dense float32", "dense bfloat16", "torch CSR", "SparseLab", "SparseProp"
BLOCKS = "dsae, 8 x 1 blocks"
PACKAGE = {LAB: "sparselab", PROP: "sparseprop"}

Outcome = tuple[Tensor, ...]
for message in ("Sparse CSR tensor support is in beta", "Sparse invariant checks are implicitly disabled"):
    warnings.filterwarnings("ignore", message=message)


@dataclass(frozen=True)
class Problem:
    """A layer and what flows through it."""

    topology: Topology
    values: Tensor
    bias: Tensor
    x: Tensor
    dy: Tensor

    @property
    def dense_bytes(self) -> int:
        """Bytes of the layer's weights with all zeros written out."""
        return 4 * self.topology.size

    def weight(self) -> Tensor:
        """The weights with all zeros written out."""
        flat = torch.zeros(self.topology.size)
        flat[torch.from_numpy(self.topology.flat)] = self.values
        return flat.view(self.topology.shape)


def edges(n_out: int, n_in: int, density: float, seed: int = 0) -> Topology:
    """Each edge lives with probability ``density``; drawn as gaps between live edges, in time O(nnz)."""
    if density == 1:
        return Topology.full((n_out, n_in))
    rng, size = np.random.default_rng(seed), n_out * n_in
    expected = size * density
    flat = np.cumsum(rng.geometric(density, int(expected + 8 * expected**0.5 + 16))) - 1
    rows, cols = np.divmod(flat[flat < size], n_in)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_out))])
    return Topology((n_out, n_in), indptr.astype(np.int32), cols.astype(np.int32))


def problem(n_in: int, n_out: int, batch: int, density: float) -> Problem:
    """Random edges, values and activations."""
    torch.manual_seed(0)
    topology = edges(n_out, n_in, density)
    values = torch.randn(topology.nnz) / (n_in * density) ** 0.5
    x = torch.randn(batch, n_in, requires_grad=True)
    return Problem(topology, values, torch.randn(n_out), x, torch.randn(batch, n_out))


def contestants(p: Problem, names: Iterable[str]) -> dict[str, Callable[[], Outcome]]:
    """By name a call that does a forward and backward pass: output, gradients of input, weights and bias.

    Whoever is not installed is left out.
    """
    calls = {}
    for name in names:
        try:
            calls[name] = _MAKERS[name](p)
        except ImportError:
            if name not in PACKAGE:
                raise
            _say_missing(name)
    return calls


@cache
def _say_missing(name: str) -> None:
    console.print(f"{name} is not installed and takes no part")


def check(calls: dict[str, Callable[[], Outcome]]) -> None:
    """Everybody's output and input gradient are the first one's, within rounding."""
    first, *_ = calls
    y, dx = (t.detach().float() for t in calls[first]()[:2])
    for name, call in calls.items():
        bound = 0.05 if BF16 in (first, name) else 1e-3
        for mine, theirs in zip((y, dx), call()[:2], strict=True):
            error = (theirs.detach().float() - mine).norm() / mine.norm()
            if not error < bound:
                raise RuntimeError(f"{name} computes something else than {first}: relative difference {error:.2g}.")


def forward_backward(layer: nn.Module, x: Tensor, dy: Tensor) -> Callable[[], Outcome]:
    """A call that gives the output and the gradients of input and parameters."""
    inputs = (x, *layer.parameters())

    def call() -> Outcome:
        y = layer(x)
        return (y, *torch.autograd.grad(y, inputs, dy))

    return call


def _dsae(p: Problem) -> Callable[[], Outcome]:
    n_out, n_in = p.topology.shape
    layer = SparseLinear(n_in, n_out, topology=p.topology)
    with torch.no_grad():
        layer.values.copy_(p.values)
        layer.bias.copy_(p.bias)
    return forward_backward(layer, p.x, p.dy)


def in_blocks(p: Problem, size: int) -> Callable[[], Outcome]:
    """A layer of as many weights that stand in blocks of ``size`` outputs: other edges, hence another result."""
    n_out, n_in = p.topology.shape
    drawn = random_topology((n_out, n_in), p.topology.density, np.random.default_rng(0), size)
    return forward_backward(SparseLinear(n_in, n_out, topology=drawn), p.x, p.dy)


def _linear(p: Problem) -> nn.Linear:
    n_out, n_in = p.topology.shape
    layer = nn.Linear(n_in, n_out, device="meta")
    layer.weight, layer.bias = nn.Parameter(p.weight()), nn.Parameter(p.bias.clone())
    return layer


def _dense(p: Problem) -> Callable[[], Outcome]:
    return forward_backward(_linear(p), p.x, p.dy)


def _bfloat16(p: Problem) -> Callable[[], Outcome]:
    x = p.x.detach().bfloat16().requires_grad_()
    return forward_backward(_linear(p).bfloat16(), x, p.dy.bfloat16())


def _csr_tensor(t: Topology, values: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(torch.tensor(t.indptr), torch.tensor(t.indices), values, size=t.shape)


def _csr(p: Problem) -> Callable[[], Outcome]:
    """By hand, as autograd has no sparse gradient here; the transpose is ready, never refreshed: a favour."""
    transposed, slots = p.topology.transpose
    w = _csr_tensor(p.topology, p.values)
    wt = _csr_tensor(transposed, p.values[torch.from_numpy(np.asarray(slots, dtype=np.int64))])
    x, dy, bias = p.x.detach(), p.dy, p.bias[:, None]

    def call() -> Outcome:
        y = (w @ x.T).add_(bias).T
        dw = torch.sparse.sampled_addmm(w, dy.T, x, beta=0.0)
        return y, (wt @ dy.T).T, dw, dy.sum(0)

    return call


def _sparselab(p: Problem) -> Callable[[], Outcome]:
    import sparselab
    from sparselab import layout, ops

    ops._clear_transpose_cache()  # keyed by id(): an earlier layer's entry would be taken for this one's
    n_out, n_in = p.topology.shape
    layer = sparselab.SparseLinear(1, 1, sparsity=0.0)  # its constructor would write the zeros out
    layer.in_features, layer.out_features, layer.sparsity = n_in, n_out, 1 - p.topology.density
    layer._csr = layout.from_torch_sparse_csr(_csr_tensor(p.topology, p.values))
    layer._values = nn.Parameter(torch.from_numpy(np.asarray(layer._csr.values)))
    layer.bias = nn.Parameter(p.bias.clone())
    return forward_backward(layer, p.x, p.dy)


def _sparseprop(p: Problem) -> Callable[[], Outcome]:
    from sparseprop.modules import SparseLinear as Layer

    layer = Layer(torch.ones(1, 1), nn.Parameter(p.bias.clone()))  # what `from_dense` makes, zeros not written out
    layer.N, layer.M = p.topology.shape
    layer.W_val = nn.Parameter(p.values.clone())
    layer.W_idx = (torch.tensor(p.topology.indptr), torch.tensor(p.topology.indices))
    return forward_backward(layer, p.x, p.dy)


_MAKERS = {OURS: _dsae, DENSE: _dense, BF16: _bfloat16, CSR: _csr, LAB: _sparselab, PROP: _sparseprop}

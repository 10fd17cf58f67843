"""Codes whose zeros cost nothing: which of them are computed by their entries, and how."""

from __future__ import annotations

import torch
from torch import Tensor

from dsae import ops
from dsae.nn._activations import Activation, SparseActivation
from dsae.nn._linear import SparseLinear, bias_of
from dsae.ops import Code, Panels, PreCode, SparseRows

# Share of a code's latents up to which its entries are worth a visit each (docs/design/codes.md).
MOST_ENTRIES = 1 / 16


def by_entries(layer: SparseLinear, activation: Activation) -> bool:
    """Whether the code after ``layer`` is to be computed by its entries, as far as can be told before."""
    if not isinstance(activation, SparseActivation) or not ops.is_native(layer.values) or ops.transformed():
        return False
    if layer.block_size > 1:  # a latent's weights do not lie side by side
        return False
    return activation.expected is None or activation.expected <= MOST_ENTRIES * layer.out_features


def encode(layer: SparseLinear, activation: Activation, x: Tensor | Panels | SparseRows) -> tuple[PreCode, Code] | None:
    """The code of a batch, before and after its activation; None where too many latents live."""
    if not isinstance(x, SparseRows) and ops.tensor_of(x).dtype != layer.values.dtype:
        x = ops.on_features(lambda t: t.to(layer.values.dtype), x)
    assert isinstance(activation, SparseActivation)  # as `by_entries` has found
    values, bias, topology = layer.values, bias_of(layer), layer.topology
    z = ops.pre_activations(values, bias, x, topology, by_gemm=layer.executor == "dense")
    pattern = activation.support(z)
    if activation.expected is None and pattern.nnz > MOST_ENTRIES * pattern.size:
        return None
    near = Code(pattern, ops.read(values, bias, x, topology, z, pattern, layer.tape))
    pre_code = PreCode(z, near, lambda other: ops.read(values, bias, x, topology, z, other, layer.tape))
    return pre_code, Code(pattern, activation.of(near))


def first_latents(code: Tensor | Panels | Code, width: int) -> Tensor | Panels | Code:
    """The code with zeros from latent ``width`` on."""
    if isinstance(code, Code):
        return code.first_latents(width)
    inside = torch.arange(ops.tensor_of(code).shape[1], device=ops.tensor_of(code).device) < width
    return ops.on_features(lambda t: t * (inside if t.ndim == 2 else inside[:, None]), code)

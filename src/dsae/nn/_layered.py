"""How many weights the layers of a module have."""

from __future__ import annotations

from collections.abc import Mapping

from dsae.nn._linear import SparseLinear


class Layered:
    """A module of named sparse layers."""

    @property
    def layers(self) -> Mapping[str, SparseLinear]:
        """The linear layers by name."""
        raise NotImplementedError

    @property
    def nnz(self) -> int:
        """Active weights in all layers."""
        return sum(layer.nnz for layer in self.layers.values())

    @property
    def density(self) -> float:
        """Active share of all weights."""
        return self.nnz / sum(layer.topology.size for layer in self.layers.values())

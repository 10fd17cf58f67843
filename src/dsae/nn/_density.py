"""How many weights of each layer a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping

from dsae.config import AutoencoderConfig
from dsae.topology import erdos_renyi


def target_nnz(config: AutoencoderConfig) -> dict[str, int]:
    """Number of active weights that the configuration requires of each layer, at least those of one block."""
    shapes = config.layer_shapes
    if isinstance(config.density, Mapping):
        asked = {name: config.density.get(name, 1.0) for name in shapes}
        wanted = {name: round(asked[name] * n_out * n_in) for name, (n_out, n_in) in shapes.items()}
    else:
        wanted = dict(zip(shapes, erdos_renyi(list(shapes.values()), config.density), strict=True))
    return {name: max(count, min(config.block_size, shapes[name][0])) for name, count in wanted.items()}

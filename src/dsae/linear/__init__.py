"""Linear maps in closed form, without torch: what needs no training."""

from dsae.linear._principal import principal_layers as principal_layers
from dsae.linear._ridge import sparse_ridge as sparse_ridge

"""A folder in which one finds out what a model's latents stand for; see ``docs/design/explorer.md``."""

from dsae.explorer._explore import explore as explore
from dsae.explorer._given import encoder_beside as encoder_beside
from dsae.explorer._given import read_values as read_values
from dsae.explorer._shards import read_shard as read_shard

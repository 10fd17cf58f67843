"""Whether a folder holds one whole model."""

import numpy as np

from dsae import store


def weights(folder):
    return [layer.values for layer in store.read(folder).layers.values()]


def is_whole(folder, *models):
    found = weights(folder)
    known = [[layer.values for layer in model.layers.values()] for model in models]
    return any(all(map(np.array_equal, found, one)) for one in known)


def is_clean(folder):
    """Nothing lies there but what one commit lists, and the card."""
    found = store.Committed(folder, "config.json")
    listed = {found.path(name) for name in found.listed} | {folder / "config.json", folder / "README.md"}
    return {path for path in folder.rglob("*") if not path.is_dir()} == listed

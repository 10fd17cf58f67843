"""Whatever a model folder holds, ready to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsae import store
from dsae.runtime._joint import JointRuntime
from dsae.runtime._runtime import Runtime


def load(folder: str | Path) -> Any:
    """The model in ``folder``, ready to use without torch.

    Returns
    -------
    Runtime or JointRuntime
        The second of the folder that `MultimodalAutoencoder.save` wrote; its subfolders hold a model each.

    Raises
    ------
    ValueError
        If the folder is not a whole model of a known format.
    """
    return JointRuntime(store.read_joint(folder)) if store.is_joint(folder) else Runtime(store.read(folder))

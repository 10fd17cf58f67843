"""Whatever a model folder holds, ready to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsae import store
from dsae.runtime._joint import JointRuntime
from dsae.runtime._runtime import Runtime


def load(
    folder: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Any:
    """The model in ``folder``, ready to use without torch.

    Parameters
    ----------
    folder : str or Path
        Or an address of the Hugging Face Hub: ``"hf://user/repo"``, ``"hf://user/repo@revision"``,
        ``"hf://user/repo/subfolder"``. Of the repository only the files of the model are fetched, and those in the
        cache of ``huggingface_hub`` not again.
    revision : str, optional
        Of an address: branch, tag or commit; by default the main branch.
    cache_dir : str or Path, optional
        Of an address: where files are kept; by default where ``huggingface_hub`` keeps them.
    token : str or bool, optional
        Of an address: by default that of the user who is logged in.
    local_files_only : bool
        Of an address: whether to take what is in the cache, without asking the Hub.

    Returns
    -------
    Runtime or JointRuntime
        The second of the folder that `MultimodalAutoencoder.save` wrote; its subfolders hold a model each.

    Raises
    ------
    ValueError
        If the folder is not a whole model of a known format, or an option of addresses is given for a folder.
    OSError
        If the folder cannot be read, or the repository not be fetched.
    ImportError
        If an address is given and ``huggingface_hub`` is not installed.

    Examples
    --------
    >>> dsae.load("hf://user/digits", revision="v1")                                      # doctest: +SKIP
    Runtime(64-128-16-128-64, identity code, density 0.1, 2,048 weights, 21,504 bytes)
    """
    options = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    found = store.fetched(folder, **options)
    return JointRuntime(store.read_joint(found)) if store.is_joint(found) else Runtime(store.read(found))

"""Write a model for another library."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dsae import store
from dsae.config import listed
from dsae.interop._formats import WRITTEN, Format, format_named
from dsae.runtime import load


def save(model: Any, folder: str | Path, to: str, **options: Any) -> Path:
    """Write a model as a folder of another library, see `FORMATS`.

    Parameters
    ----------
    model : Runtime, store.Model, a fitted estimator, str or Path
        A path is that of a model folder.
    folder : str or Path
        Made where it is not there. An earlier export of the same format is replaced; a folder that holds anything else
        is refused.
    to : str
        A format: ``"saelens"``, ``"sparsify"``, ...
    **options
        Of ``"saelens"``: ``metadata``, a mapping such as ``{"model_name": "gpt2", "hook_name":
        "blocks.5.hook_resid_post"}``, and ``rates``, the share of rows in which each latent fires, ``[n_components]``.
        Of ``"onnx"``: ``part``, ``"encoder"`` or ``"decoder"`` for half of the model, and ``sparse=False`` for runtimes
        that do not know sparse initializers.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If the model computes what the format cannot say, which is named; or the format or an option is unknown.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> dsae.interop.save(dsa, "layer5/", to="saelens", metadata={"model_name": "gpt2"})    # doctest: +SKIP
    """
    found = _model_of(model)
    try:
        format = format_named(to, WRITTEN)
        unknown = [name for name in options if name not in format.options()]
        if unknown:
            taken = f"takes {listed(format.options())}" if format.options() else "takes no options"
            raise ValueError(f"{format.title} {taken}; got {unknown[0]}. Leave it out.")
        return _put(Path(os.path.realpath(folder)), format, format.write(found, **options))
    except ValueError as error:
        raise ValueError(f"[export] {error}") from None
    except OSError as error:
        if error.strerror is None or error.filename is None:
            raise
        raise type(error)(f"[export] {folder} cannot be written: {error.strerror}.") from None


def _model_of(model: Any) -> store.Model:
    found = load(model) if isinstance(model, (str, Path)) else model
    found = getattr(found, "runtime_", found)  # of an estimator
    found = getattr(found, "model", found)
    if isinstance(found, store.JointModel):
        names = listed(found.models)
        raise ValueError(
            f"[export] The model is one of several modalities ({names}), which meet in one code. Export the model of "
            f"one: a subfolder of its folder, or runtime.modalities[{found.config.names[0]!r}]."
        )
    if not isinstance(found, store.Model):
        raise TypeError(
            f"[export] model must be a fitted estimator, a runtime, a model or its folder; got {type(model).__name__}."
        )
    return found


def _put(target: Path, format: Format, files: Iterable[tuple[str, bytes]]) -> Path:
    """Write the files, the last of which makes the folder a model."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; name a folder.")
    if target.is_dir():
        others = sorted({path.name for path in target.iterdir()} - set(format.files))
        if others:
            raise ValueError(
                f"{target} exists and holds {others[0]}, which is no part of a {format.title} export. Choose another "
                "folder or remove it."
            )
    content = list(files)  # whatever is refused is refused before the first file
    target.mkdir(parents=True, exist_ok=True)
    # Without the last file the folder is nothing: whoever reads meanwhile, or after a kill, never gets half of each.
    for name in (content[-1][0], *(name for name in format.files if name not in dict(content))):
        (target / name).unlink(missing_ok=True)
    for name, data in content:
        draft = target / f"{name}.tmp"
        try:
            draft.write_bytes(data)
            os.replace(draft, target / name)
        finally:
            draft.unlink(missing_ok=True)
    return target

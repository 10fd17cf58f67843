"""Read a model of another library."""

from __future__ import annotations

from pathlib import Path

from dsae import store
from dsae.config import listed
from dsae.interop._formats import FORMATS, READ, Format, format_named
from dsae.runtime import Runtime


def load(folder: str | Path, format: str | None = None) -> Runtime:
    """A model that another library has saved, ready to use.

    Parameters
    ----------
    folder : str or Path
        Or an address of the Hugging Face Hub, ``"hf://user/repo/subfolder"`` (extra ``hub``), of which the files of
        these formats are fetched.
    format : str, optional
        One of `READ`; by default it is recognised by the files of the folder.

    Returns
    -------
    Runtime
        Its ``save`` writes a model folder of dsae. ``runtime.model.training["imported"]`` says where the model comes
        from. Weights that are zero are not stored; a layer with less than a tenth of such stays full.

    Raises
    ------
    ValueError
        If the folder is damaged or of no known format, or holds what dsae cannot compute, which is named.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> runtime = dsae.interop.load("hf://user/saes/blocks.5.hook_resid_pre")               # doctest: +SKIP
    >>> codes = runtime.encode(activations)                                             # doctest: +SKIP
    """
    path = store.fetched(folder, files=_names())
    try:
        found = _recognised(path) if format is None else format_named(format, READ)
        return Runtime(found.read(path))
    except ValueError as error:
        raise ValueError(f"[import] {error}") from None
    except RecursionError:
        raise ValueError(f"[import] {path} has settings that are nested too deeply; they are corrupt.") from None
    except MemoryError:
        raise OSError(f"[import] {path} needs more memory than there is.") from None


def _names() -> tuple[str, ...]:
    """Files of any format that is read."""
    readable = [FORMATS[name] for name in READ]
    return tuple(dict.fromkeys(name for format in readable for name in (*format.marks, format.settings)))


def _recognised(path: Path) -> Format:
    if not path.exists():
        raise FileNotFoundError(f"[import] {path} does not exist; check the path.")
    if not path.is_dir():
        raise ValueError(f"{path} must be the folder of a model; got a file. Name the folder that holds it.")
    if store.is_joint(path) or ((path / "config.json").is_file() and store.holds_only(path, "config.json", "dsae")):
        raise ValueError(f"{path} is a model folder of dsae; read it with dsae.load.")
    found = [format for format in FORMATS.values() if any((path / mark).is_file() for mark in format.marks)]
    if len(found) > 1:
        names = listed(format.name for format in found)
        raise ValueError(f"{path} has files of {names}; say which it is.")
    if found and not found[0].reads:
        raise ValueError(f"{path} is of {found[0].title}, which is written only. Import one of {listed(READ, 'or')}.")
    if found:
        return found[0]
    raise ValueError(f"{path} must be a folder of {listed(READ, 'or')}; {_what_else(path)}")


def _what_else(path: Path) -> str:
    below = sorted(
        inner.name
        for inner in path.iterdir()
        if inner.is_dir() and any((inner / mark).is_file() for format in FORMATS.values() for mark in format.marks)
    )
    if below:
        more = ", ..." if len(below) > 3 else ""
        return f"it has models in its subfolders {', '.join(below[:3])}{more}. Name one of them."
    marks = listed((mark for f in FORMATS.values() if f.reads for mark in f.marks), "or")
    return f"it lacks the file by which one is known: {marks}."

"""Which rows go to which file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsae.config import FORMATS, WRITTEN
from dsae.data._place import place_of
from dsae.data._stream import StreamSource
from dsae.data._write import is_written


def targets(source: StreamSource, output: str, kind: str | None = None) -> list[tuple[StreamSource, Any]]:
    """Which rows go to which file: all to the file named, or those of each file of ``source`` to its own in a folder.

    Parameters
    ----------
    source : StreamSource
    output : str
        A file, a folder, or ``-`` for standard output.
    kind : str, optional
        Format of the files in a folder; by default that of the rows, or Parquet where that is not written.

    Raises
    ------
    ValueError
        If the folder is the one that the rows come from, or rows of standard input are to go to one.
    OSError
        If it cannot be made, or the folder of a file does not exist.
    """
    folder = place_of(output)
    to_folder = folder.is_dir() or output.endswith(("/", "\\")) or (source.is_folder and not is_written(folder))
    if output != "-" and not to_folder and isinstance(folder, Path) and not folder.parent.exists():
        raise FileNotFoundError(
            f"[write] {output} cannot be written: {folder.resolve().parent} does not exist; make it first."
        )
    if output == "-" or not to_folder:
        return [(source, output)]
    if source.reader.name == "standard input":
        raise ValueError(f"[write] {output} is a folder, and standard input has no name to write there; name a file.")
    files = source.files()
    if any(file.path.resolve().parent == folder.resolve() for file in files):
        raise ValueError(f"[write] {output} is where the data are; choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"[write] {output} cannot be made: {error.strerror}. Choose a writable folder.") from None
    return [(file, folder / f"{_stem(file.path)}.{kind or _written(file.format)}") for file in files]


def copied(source: StreamSource, target: Any, kind: str | None = None) -> Any:
    """The file that codes are written into a copy of, for the next step in scanpy: of ``.h5ad`` to ``.h5ad``."""
    both = source.format == "h5ad" and kind in (None, "h5ad") and str(target).lower().endswith(".h5ad")
    return source.path if both else None


def _written(format: str) -> str:
    """The format itself, or Parquet if it cannot be written."""
    return format if format in WRITTEN else "parquet"


def _stem(path: Any) -> str:
    """The name of a file without the ending of its format."""
    endings = [end for kind in FORMATS.values() for end in kind.endings if path.name.lower().endswith(end)]
    # the longest: of x.csv.gz all of .csv.gz
    return path.name[: -max(map(len, endings))] if endings else path.name

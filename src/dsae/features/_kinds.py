"""Which files hold pictures, sounds and texts, and where a file may lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from dsae.features._items import BadItemError

ENDINGS = {
    "image": (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".jp2"),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".au", ".opus"),
    "text": (".txt",),
}
"""Of the names of files, by kind."""
_KIND_OF = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}


def kind_of(name: str) -> str | None:
    """The kind of a file by the ending of its name."""
    return _KIND_OF.get(PurePosixPath(name.lower()).suffix)


def inside(folder: Path, name: str) -> Path:
    """A file that a table names, which must lie in the folder.

    Raises
    ------
    BadItemError
        If it leaves the folder: by an absolute path, by ``..``, or by a link.
    """
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in parts or "\0" in name:
        raise BadItemError("must be a path within the folder, without '..' and not absolute")
    path = folder / PurePosixPath(name)
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise BadItemError("must be a file within the folder; it is a link that leads out of it")
    return path


def files_in(folder: Path) -> tuple[list[str], list[str]]:
    """Names of all files in a folder and below it, relative to it, in order, and of linked folders.

    Hidden ones do not count, and links to folders, which may lead out of it or around, are not followed.
    """
    found: list[str] = []
    linked: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        inner = Path(place).relative_to(folder)
        linked += [(inner / name).as_posix() for name in folders if (Path(place) / name).is_symlink()]
        found += [(inner / name).as_posix() for name in files if name[0] != "."]
    return sorted(found, key=in_order), sorted(linked, key=in_order)


def in_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """A key by which ``2.png`` comes before ``10.png``."""
    pieces: list[str] = []
    digit = None
    for letter in name:
        if letter.isdecimal() is digit:
            pieces[-1] += letter
        else:
            pieces.append(letter)
            digit = letter.isdecimal()
    return tuple((0, int(piece)) if piece.isdecimal() and len(piece) < 300 else (1, piece) for piece in pieces)


def some(names: Iterable[str], most: int = 3) -> str:
    """The first of some names."""
    listed = list(names)
    return ", ".join(map(repr, listed[:most])) + (", ..." if len(listed) > most else "")

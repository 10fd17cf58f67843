"""Rows of WebDataset archives: members that lie beside each other and have one name up to the first dot."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsae.features._items import BadItemError
from dsae.features._kinds import kind_of

_LARGEST_MEMBER = 1 << 28  # bytes of a file: an archive may claim any size
_LABEL_ENDING, _LABEL = "cls", "label"


@dataclass(frozen=True)
class Slice:
    """A member of an archive, read when it is needed."""

    path: Path
    name: str
    start: int
    size: int

    def read(self) -> bytes:
        """Its bytes.

        Raises
        ------
        BadItemError
            If the archive ends before.
        """
        with open(self.path, "rb") as file:
            file.seek(self.start)
            content = file.read(self.size)
        if len(content) < self.size:
            raise BadItemError("is cut short: the archive ends before it does")
        return content

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


def is_tar(name: str) -> bool:
    """Whether a file is an archive that is not compressed."""
    return name.lower().endswith(".tar")


def tar_rows(path: Path) -> Iterator[tuple[str, dict[str, tuple[str, Any]], list[str]]]:
    """The name of each row, its members with their kinds by modality, and the names of other members.

    Raises
    ------
    ValueError
        If the file is damaged, or members of a row do not lie beside each other.
    """
    seen: set[str] = set()
    key, row, others = None, {}, []
    for member in _members(path):
        name, _, ending = _split(member.name)
        if name != key:
            if key is not None and row:
                yield key, row, others
            if name in seen:
                raise ValueError(
                    f"[prepare] {path} must hold the members of a row beside each other; {member.name!r:.200} comes "
                    "after those of another row. Write the archive again in the order of names."
                )
            seen.add(name)
            key, row, others = name, {}, []
        modality, found = _modality(path, member, ending)
        if found is None:
            others.append(member.name)
        elif modality in row:
            raise ValueError(f"[prepare] {path} must hold one {modality} in each row; {key!r:.200} has two.")
        else:
            row[modality] = found
    if key is not None and row:
        yield key, row, others


def _members(path: Path) -> Iterator[Any]:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg() and not member.name.rpartition("/")[2].startswith("."):
                    yield member
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"[prepare] {path} must be a whole .tar file; it is truncated or corrupt ({error}).") from None


def _split(name: str) -> tuple[str, str, str]:
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return folder + slash + stem, dot, ending


def _modality(path: Path, member: Any, ending: str) -> tuple[str, tuple[str, Any] | None]:
    """``left.png`` is the picture ``left``, ``png`` the picture; ``cls`` is the label."""
    first, _, last = ending.rpartition(".")
    content = Slice(path, member.name, member.offset_data, member.size)
    if ending.lower() == _LABEL_ENDING:
        if member.size > 1 << 10:
            return _LABEL, None
        return _LABEL, ("text", content.read().decode("utf-8", "replace").strip())
    kind = kind_of(f"x.{last}")
    if kind is None:
        return "", None
    if member.size > _LARGEST_MEMBER:
        return first or kind, (kind, BadItemError(f"{content} must have at most {_LARGEST_MEMBER >> 20} MiB"))
    return first or kind, (kind, content)

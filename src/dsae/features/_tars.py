"""Rows of WebDataset archives: members that lie beside each other and have one name up to the first dot."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsae.features._items import BadItemError
from dsae.features._kinds import kind_of

_LARGEST_MEMBER = 1 << 28  # bytes of a file: an archive may claim any size
_LABEL_ENDING, _LONGEST_LABEL = "cls", 1 << 10


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
            raise BadItemError("is truncated: the archive ends within it")
        return content

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


@dataclass
class TarRow:
    """Members of an archive with one name: kinds and contents by modality, the label, and names of other members."""

    name: str
    kinds: dict[str, str] = field(default_factory=dict)
    items: dict[str, Any] = field(default_factory=dict)
    label: str | None = None
    others: list[str] = field(default_factory=list)


def is_tar(name: str) -> bool:
    """Whether a file is an archive that is not compressed."""
    return name.lower().endswith(".tar")


def tar_rows(path: Path) -> Iterator[TarRow]:
    """Rows of an archive, those without a picture, sound or text among them.

    Raises
    ------
    ValueError
        If the file is damaged, or members of a row do not lie beside each other.
    """
    seen: set[str] = set()
    row: TarRow | None = None
    for member in _members(path):
        name, _, ending = _split(member.name)
        if row is None or name != row.name:
            if row is not None:
                yield row
            if name in seen:
                raise ValueError(
                    f"[prepare] {path} must hold the members of a row beside each other; {member.name!r:.200} comes "
                    "after those of another row. Write the archive again in the order of names."
                )
            seen.add(name)
            row = TarRow(name)
        _put(row, path, member, ending)
    if row is not None:
        yield row


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


def _put(row: TarRow, path: Path, member: Any, ending: str) -> None:
    """``left.png`` is the picture ``left``, ``png`` the picture; ``cls`` is the label."""
    first, _, last = ending.rpartition(".")
    content: Any = Slice(path, member.name, member.offset_data, member.size)
    kind, is_label = kind_of(f"x.{last}"), ending.lower() == _LABEL_ENDING
    if (kind is None and not is_label) or (is_label and member.size > _LONGEST_LABEL):
        row.others.append(member.name)
        return
    modality = "label" if is_label else first or str(kind)
    if (row.label is not None) if is_label else (modality in row.items):
        raise ValueError(f"[prepare] {path} must hold one {modality} in each row; {row.name!r:.200} has two.")
    if is_label:
        row.label = content.read().decode("utf-8", "replace").strip()
        return
    if member.size > _LARGEST_MEMBER:
        content = BadItemError(f"{content} must have at most {_LARGEST_MEMBER >> 20} MiB")
    row.kinds[modality], row.items[modality] = str(kind), content

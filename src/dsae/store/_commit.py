"""Atomic commit of several files: written under unique names, then committed by one `os.replace`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from dsae.store._text import dumps, parse_json, read_text

T = TypeVar("T")
_ATTEMPTS = 5  # to read: each failure means that another commit came in between
_WORTH_A_THREAD = 1 << 20  # bytes, whose hash takes as long as starting a few threads
# An unlisted file of this age was left by a killed writer, though its draft is there: a running one lists it sooner.
_ABANDONED = 3600.0  # seconds
_OURS = re.compile(r"(?:.+-[0-9a-f]{16}-(?P<token>[0-9a-f]{8})(?:\.\w+)?|\.(?P<draft>[0-9a-f]{8})\.tmp)")
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # no space, a limit on files, a quota


class Committed:
    """The files that one commit lists.

    Parameters
    ----------
    folder : Path
    head : str
        Name of the JSON file that lists them.

    Attributes
    ----------
    content : dict
        What that file holds.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """

    def __init__(self, folder: Path, head: str) -> None:
        self.folder, self.head = folder, folder / head
        self.content = parse_json(self.head, read_text(self.head))
        if not isinstance(self.content, dict):
            raise ValueError(f"{self.head} must hold a mapping; got {type(self.content).__name__}.")

    @property
    def listed(self) -> dict[str, Any]:
        """The entry of each file, by name."""
        listed = self.content.get("files")
        if not isinstance(listed, dict):
            raise ValueError(f"{self.head} must list its files.")
        return listed

    def path(self, name: str) -> Path:
        """Where the file ``name`` lies.

        Raises
        ------
        ValueError
            If it is not listed, or not as it should be.
        """
        entry: Any = self.listed.get(name)
        token = self.content.get("commit")
        known = isinstance(entry, dict) and _is_hex(entry.get("sha256"), 64) and type(entry.get("bytes")) is int
        if not (known and _is_hex(token, 8)):
            raise ValueError(f"{self.head} must list {name} with its bytes and sha256, and name the commit.")
        return self.folder / _stored_name(name, entry["sha256"], token)

    def read(self, name: str, parse: Callable[[bytes, Path], T]) -> T:
        """What ``parse`` makes of a file's content and path.

        The file is read rather than mapped: truncating a mapped file kills its readers.

        Parameters
        ----------
        name : str
        parse : callable
            Called while another thread hashes the content, so it may see what was not committed, and must refuse
            whatever it cannot read by a ValueError.

        Raises
        ------
        ValueError
            If the file is not there, or not what was committed.
        """
        path, entry = self.path(name), self.listed[name]
        if not path.is_file():
            raise ValueError(f"{path} is missing; the folder was not copied whole.")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry["bytes"]:
                raise ValueError(f"{path} is truncated or corrupt: it should have {entry['bytes']} bytes; got {size}.")
            data = file.read()
        with _hashing(data) as digest:
            try:
                return parse(data, path)
            finally:
                if digest() != entry["sha256"]:
                    raise ValueError(f"{path} is corrupt: its SHA-256 is not the one in {self.head.name}.")


def commit(folder: str | Path, head: str, content: Mapping[str, Any], files: Iterable[tuple[str, bytes]]) -> None:
    """Replace the files of ``folder``, all at once.

    Every file gets a name that no other commit has; then one `os.replace` puts the new ``head``, which lists them, in
    the place of the old. Whatever fails, and if the machine stops at any moment, readers find the old files or the new
    ones. Removed at the end is what no head lists any more: the draft of a head is there before the first file and goes
    with the replacement, so a file without one has no writer. Drafts and files of writers that were killed are removed
    after an hour.

    Parameters
    ----------
    folder : str or Path
        Made where it is not there.
    head : str
        Name of the JSON file.
    content : mapping
        What it holds beside ``files`` and ``commit``.
    files : iterable of (str, bytes)
        By name, which may lie in a subfolder: ``"rna/model.safetensors"``.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    target, token, listed = Path(os.path.realpath(folder)), secrets.token_hex(4), {}
    with _named(target):
        made = _make(target)
        try:
            (draft := _draft_of(target, token)).touch(exist_ok=False)
            paths = []
            for name, data in files:
                listed[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                paths.append(target / _stored_name(name, listed[name]["sha256"], token))
                paths[-1].parent.mkdir(exist_ok=True)
                _fill(paths[-1], data)
            # Their names must be on disk before the head that lists them.
            for parent in {path.parent for path in paths}:
                _sync(parent)
            _fill(draft, dumps({**content, "commit": token, "files": listed}).encode())
            _check_there(paths)  # a writer that slept for an hour
            os.replace(draft, target / head)
        except BaseException:
            kept = _listed(target, head) or ()  # an interrupt may come right after the replacement
            _remove(target, [path for path, of, _ in _ours(target) if of == token and path not in kept])
            if made:
                with contextlib.suppress(OSError):
                    target.rmdir()
            raise
        _sync(target)
    _remove(target, _stale(target, head))


def committed(folder: str | Path, head: str, read: Callable[[Committed], T]) -> T:
    """The result of ``read``, which is repeated if ``head`` was replaced meanwhile.

    Raises
    ------
    OSError
        If that happens each time.
    """
    for _ in range(_ATTEMPTS):
        found = Committed(Path(folder), head)
        try:
            return read(found)
        except (ValueError, OSError):
            # No other commit came: the fault is in the folder.
            if Committed(Path(folder), head).content == found.content:
                raise
    raise OSError(f"[load] {folder} changed each time it was read; wait until it is written, or copy it.")


def check_writable(folder: str | Path) -> None:
    """Raise what `commit` would raise before its first file."""
    target = Path(os.path.realpath(folder))
    with _named(target):
        made = _make(target)
        (draft := _draft_of(target, secrets.token_hex(4))).touch(exist_ok=False)
        draft.unlink()
        if made:
            target.rmdir()


def write_beside(path: Path, content: str | Mapping[str, Any]) -> None:
    """Replace a file that no commit lists, by a text or by JSON."""
    text = content if isinstance(content, str) else dumps(content)
    with _named(path.parent):
        draft = _draft_of(path.parent, secrets.token_hex(4))
        try:
            _fill(draft, text.encode())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def holds_only(folder: Path, head: str, kind: str) -> bool:
    """Whether ``folder`` may be written: its ``head`` is of format ``kind``, or a killed writer left all its files."""
    if (folder / head).is_file():
        with _named(folder), contextlib.suppress(ValueError):
            return Committed(folder, head).content.get("format") == kind
        return False
    return folder.is_dir() and all(_OURS.fullmatch(path.name) for path in folder.rglob("*") if not path.is_dir())


@contextlib.contextmanager
def _hashing(data: bytes) -> Iterator[Callable[[], str]]:
    """What gives the SHA-256, of much computed by another thread: hashing leaves others the interpreter's lock."""

    def digest() -> str:
        return hashlib.sha256(data).hexdigest()

    if len(data) < _WORTH_A_THREAD:
        yield digest
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(digest).result


def _is_hex(value: Any, length: int) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{length}}}", value) is not None


def _stored_name(name: str, digest: str, token: str) -> PurePosixPath:
    """The token keeps two writers from sharing a file, which one of them might remove."""
    path = PurePosixPath(name)
    return path.with_name(f"{path.stem}-{digest[:16]}-{token}{path.suffix}")


def _listed(target: Path, head: str) -> set[Path] | None:
    """The files of the current commit; None if that cannot be determined."""
    with contextlib.suppress(ValueError, OSError):
        now = Committed(target, head)
        return {now.path(name) for name in now.listed}
    return None


def _stale(target: Path, head: str) -> list[Path]:
    """Files that no commit lists, nor will.

    In this order: a writer makes its draft before its files, so these have one unless it has replaced the head already,
    which is read last and then lists them.
    """
    past = time.time() - _ABANDONED
    found = [path for path, token, written in _ours(target) if written < past or not _draft_of(target, token).exists()]
    now = _listed(target, head)
    return [] if now is None else [path for path in found if path not in now]


def _check_there(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise OSError(errno.ENOENT, f"{path.name} was removed by another writer an hour after it was written")


def _draft_of(target: Path, token: str) -> Path:
    """Where the head is written before it takes its name."""
    return target / f".{token}.tmp"


def _ours(target: Path) -> Iterator[tuple[Path, str, float]]:
    """Files that a commit wrote, its token, and when each was written."""
    with contextlib.suppress(OSError):
        for path in target.rglob("*"):
            found = _OURS.fullmatch(path.name)
            if found and path.is_file() and not path.is_symlink():  # what a link points to is not ours to remove
                yield path, found["token"] or found["draft"], path.stat().st_mtime


def _remove(target: Path, paths: Iterable[Path]) -> None:
    """Remove the files, and subfolders that become empty."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
            if path.parent != target:
                path.parent.rmdir()


def _make(target: Path) -> bool:
    there = target.is_dir()
    target.mkdir(parents=True, exist_ok=True)
    return not there


def _fill(path: Path, data: bytes) -> None:
    """Write a file; it is synced to disk when this returns."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Sync a folder: its entries must be on disk, too."""
    if os.name == "posix":  # Windows opens no folders
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "" if error.errno in _FULL else " Choose a writable folder."
        raise OSError(f"[save] {target} cannot be written: {error.strerror or error}.{remedy}") from None

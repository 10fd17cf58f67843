"""Folders that are replaced whole or not at all, and read as they were at one moment."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

T = TypeVar("T")
_HERE = -100  # AT_FDCWD
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_ATTEMPTS = 5


@contextlib.contextmanager
def replaced(folder: str | Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """An empty sibling of ``folder`` to be filled, which takes its place at the end of the block.

    Whatever happens, and if the machine stops at any moment, ``folder`` is the old one or the new one. What a killed
    writer left beside it is removed by the next.

    Parameters
    ----------
    folder : str or Path
    check : callable
        Raises if what is there now may not be replaced.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    target = Path(os.path.realpath(folder))
    recover(target)
    check(target)
    draft, lock = _draft(target)
    try:
        yield draft
        _sync(draft)
        _take_place(draft, target)
        _sync(target.parent)
    except OSError as error:
        raise OSError(f"[save] {target} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def check_replaceable(folder: str | Path, check: Callable[[Path], None]) -> None:
    """Raise what `replaced` would raise before its block."""
    target = Path(os.path.realpath(folder))
    check(target)
    draft, lock = _draft(target)
    draft.rmdir()
    if lock is not None:
        os.close(lock)


def recover(target: Path) -> None:
    """Put a folder back that a writer had moved aside when it was killed."""
    if os.path.lexists(target):
        return
    aside = [path for path in _siblings(target) if path.suffix == ".old"]
    if aside:
        with contextlib.suppress(OSError):
            max(aside, key=lambda path: path.stat().st_mtime_ns).rename(target)


def read_steadily(folder: Path, names: tuple[str, ...], read: Callable[[], T]) -> T:
    """What ``read`` gives, read again where ``folder`` or one of its files ``names`` changed meanwhile.

    Raises
    ------
    OSError
        If they never stay the same.
    """
    for _ in range(_ATTEMPTS):
        recover(Path(os.path.realpath(folder)))
        before = _signature(folder, names)
        try:
            found = read()
        except (ValueError, OSError):
            if _signature(folder, names) == before:
                raise
        else:
            if _signature(folder, names) == before:
                return found
    raise OSError(f"[load] {folder} changed each time it was read; wait until it is written, or copy it.")


def _signature(folder: Path, names: tuple[str, ...]) -> list[tuple[int, ...] | None]:
    return [_identity(path) for path in (folder, *(folder / name for name in names))]


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        s = path.stat()
    except OSError:
        return None
    return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def _draft(target: Path) -> tuple[Path, int | None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clean(target)
        while True:
            draft = Path(tempfile.mkdtemp(".tmp", f".{target.name}.", target.parent))
            lock = _lock(draft)
            if draft.is_dir():  # a cleaner may have been faster than the lock
                draft.chmod(0o755)
                return draft, lock
    except OSError as error:
        raise OSError(f"[save] {target} cannot be written: {error.strerror}. Choose a writable folder.") from None


def _lock(folder: Path) -> int | None:
    """A lock that goes with the process; None where there is none to have."""
    if fcntl is None:
        return None
    file = None
    try:
        file = os.open(folder, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if file is not None:
            os.close(file)
        return None
    return file


def _clean(target: Path) -> None:
    """Remove what killed writers left; those that live hold a lock."""
    for path in _siblings(target):
        lock = _lock(path) if path.suffix == ".tmp" or target.exists() else None
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _siblings(target: Path) -> list[Path]:
    ours = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}\.(tmp|old)")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        return [Path(e.path) for e in entries if ours.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return []


def _take_place(draft: Path, target: Path) -> None:
    """Old and new change places in one step, where the operating system can; else in two, see `recover`."""
    if not target.exists():
        draft.rename(target)
    elif not _swapped(draft, target):
        old = draft.with_suffix(".old")
        target.rename(old)
        try:
            draft.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _swapped(left: Path, right: Path) -> bool:
    if os.name != "posix":
        return False
    system = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(left), os.fsencode(right)
    if hasattr(system, "renameat2"):
        return system.renameat2(_HERE, names[0], _HERE, names[1], _SWAP) == 0
    return hasattr(system, "renamex_np") and system.renamex_np(*names, _SWAP) == 0


def _sync(folder: Path) -> None:
    """Names, too, must be on the disk."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

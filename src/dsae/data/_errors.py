"""Damaged files: what the library that reads a file raises of its content, kept apart from faults of our own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class DamagedError(ValueError):
    """A file that is not whole, as the library that reads it or a check of its parts has found."""


class LinesError(ValueError):
    """Lines of text that are no rows of numbers; its message says which."""


class ChangedError(OSError):
    """A file that was written to while it was in use."""


@contextlib.contextmanager
def library() -> Iterator[None]:
    """Wraps only calls of a library that reads a file: any exception there means that the file is damaged.

    Errors of the operating system, a lack of memory and missing packages stay what they are.
    """
    try:
        yield
    except (DamagedError, ImportError, MemoryError):
        raise
    except Exception as error:
        # h5py and zarr raise OSError for damaged content, too, but only the system gives a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # On one line, however long the library is about it.
        raise DamagedError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def from_library(items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator that a library has made."""
    while True:
        with library():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


@contextlib.contextmanager
def called(name: str) -> Iterator[None]:
    """Errors about rows call them ``name``, the argument that held them, where they would say X."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error)
        renamed = message.replace("] X ", f"] {name} ", 1)
        if renamed == message or type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(renamed) from error.__cause__


@contextlib.contextmanager
def explained(name: str, format: str) -> Iterator[None]:
    """Say which file is damaged or needs more memory than there is; any other error gets a note that names the file."""
    try:
        yield
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        raise MemoryError(
            f"[read] {name} needs more memory than there is{why}. Give the process more, or write the file again if it "
            "is not that large."
        ) from error
    except DamagedError as error:
        raise ValueError(
            f"[read] {name} must be a whole {format or 'data'} file; it is truncated or corrupt ({error}). Write it "
            "again."
        ) from error
    except LinesError as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        if not isinstance(error, (ValueError, OSError, ImportError)):
            error.add_note(f"while {name} was read")
        raise

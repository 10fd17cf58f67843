"""Produces the next items in the background while the last one is in use."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()  # no batch can be it


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def prefetched(items: Iterator[T], depth: int, waited: Callable[[float], object] = bool) -> Generator[T]:
    """``items``, made by a thread that stays up to ``depth`` of them ahead.

    The thread ends with the items, with their error, which is raised here, or when this iterator is closed.

    Parameters
    ----------
    items : iterator
    depth : int
    waited : callable, optional
        Told the seconds for which each item was waited for.
    """
    ready: queue.Queue[Any] = queue.Queue(max(1, depth))  # 0 would mean without bound
    stopped = threading.Event()
    # a daemon: an iterator that is never closed must not keep the process alive
    thread = threading.Thread(target=_produce, args=(items, ready, stopped), name="dsae-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            begun = time.perf_counter()
            item = ready.get()
            waited(time.perf_counter() - begun)
            if isinstance(item, _Failure):
                raise item.error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        while not ready.empty():  # a producer waiting to put an item continues and sees that it is to stop
            ready.get()
        thread.join()


def _produce(items: Iterator[Any], ready: queue.Queue[Any], stopped: threading.Event) -> None:
    last: Any = _END
    try:
        for item in items:
            ready.put(item)
            if stopped.is_set():
                break
    # Also KeyboardInterrupt and SystemExit: the consumer would wait for ever for a thread that is gone.
    except BaseException as error:
        last = _Failure(error)
    if not stopped.is_set():
        ready.put(last)

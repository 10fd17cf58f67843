"""How many threads torch's own operations have while dsae trains."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from dsae import kernels

# Multiply-adds of a forward pass's dense products from which threads of torch save more than they cost: such a step
# takes one thread some 20 ms. By work alone, not by how busy the machine is: sums must not depend on that.
_SHARED_ABOVE = 1 << 28

_here = threading.local()


class Shared:
    """A setting of the whole process, which several threads may want changed at once.

    Parameters
    ----------
    get, put : callable
        Read and write it.
    """

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], object]) -> None:
        self._get, self._put = get, put
        self._lock, self._users, self._before = threading.Lock(), 0, None

    @contextlib.contextmanager
    def kept(self) -> Iterator[Any]:
        """Gives what it was before the first of those who have this open, which the last of them restores.

        What a later one finds is no longer what the user had set.
        """
        with self._lock:
            if not self._users:
                self._before = self._get()
            self._users += 1
            before = self._before
        try:
            yield before
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._put(before)


_torch_threads = Shared(torch.get_num_threads, torch.set_num_threads)


@contextlib.contextmanager
def sparing_threads() -> Iterator[None]:
    """Torch on one thread, but for steps that `share_products` finds large; the kernels keep the number they have.

    What torch does beside the kernels is small, and the threads of its OpenMP runtime spin for milliseconds after each
    operation: the kernels' threads, and other programs, would wait for them. In a forked child torch stays on one
    thread, because the runtime's others were lost in the fork.
    """
    found, outer = torch.get_num_threads(), getattr(_here, "most", None)  # asked first: only then a new thread has one
    with _torch_threads.kept() as first:
        before = first if outer is None else found
        torch.set_num_threads(before)
        held = kernels.set_threads(kernels.threads())
        _here.most = 1 if kernels.forked() else outer or before
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)  # each thread has its own number, and new ones take the last that was set
            kernels.set_threads(held)
            _here.most = outer


def most_threads() -> int:
    """Threads that a step may have: torch's number, or what it was when `sparing_threads` began."""
    return getattr(_here, "most", None) or torch.get_num_threads()


def share_products(multiply_adds: int) -> None:
    """Within `sparing_threads`, give torch all threads for a step whose dense products are so large, else one."""
    most = getattr(_here, "most", None)
    if most is not None:
        wanted = most if multiply_adds >= _SHARED_ABOVE else 1
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)

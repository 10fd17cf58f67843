"""How many threads torch's own operations have while dsae trains."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

from dsae import kernels

# Multiply-adds of a forward pass's dense products from which threads of torch save more than they cost: such a step
# takes one thread some 20 ms. By work alone, not by how busy the machine is: sums must not depend on that.
_SHARED_ABOVE = 1 << 28

_here = threading.local()


@contextlib.contextmanager
def sparing_threads() -> Iterator[None]:
    """Torch on one thread, but for steps that `share_products` finds large; the kernels keep the number they have.

    What torch does beside the kernels is small, and the threads of its OpenMP runtime spin for milliseconds after each
    operation: the kernels' threads, and other programs, would wait for them. In a forked child torch stays on one
    thread, because the runtime's others were lost in the fork.
    """
    before, outer = torch.get_num_threads(), getattr(_here, "most", None)
    held = kernels.set_threads(kernels.threads())
    _here.most = 1 if kernels.forked() else outer or before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
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

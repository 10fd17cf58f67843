"""What is computed of a whole batch where each of several processes, the ranks, holds a part of its rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

_DIGIT = 11  # bits of a number that are looked at together: counts of 2^11 values are 16 KB on the wire

_here = threading.local()


class Alone:
    """One process, which holds all rows: nothing is exchanged.

    Attributes
    ----------
    rank, size : int
        Which process this is, and of how many.
    void : bool
        Whether the rows at hand only stand in for a share of the batch that is empty, and so count nowhere.
    share : float
        Of this process in the newest step's gradient.
    written_out : bool, optional
        Whether CSR rows become dense ones, where every process has to take the same; by default each batch says.
    """

    rank: int = 0
    size: int = 1
    void: bool = False
    share: float = 1.0
    written_out: bool | None = None

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over all ranks, in place."""
        return tensor

    def max(self, tensor: Tensor) -> Tensor:
        """Maximum over all ranks, in place."""
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, in their order."""
        return [value]

    def first(self, make: Callable[[], Any]) -> Any:
        """What rank 0 makes, on all ranks; what it raises, they all raise."""
        return make()

    def counted(self, n_rows: int) -> int:
        """How many of the rows at hand count."""
        return 0 if self.void else n_rows


_ALONE = Alone()


def ranks() -> Alone:
    """The processes among which this thread trains."""
    return getattr(_here, "ranks", _ALONE)


@contextmanager
def among(found: Alone) -> Iterator[Alone]:
    """Train among these processes while this is open."""
    before = ranks()
    _here.ranks = found
    try:
        yield found
    finally:
        _here.ranks = before


class _OfAll(Function):
    """The mean over all ranks, with the gradient of this rank's: gradients are weighed by rows when they are summed."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, of_all: Tensor) -> Tensor:
        return of_all.clone()

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return d, None


def mean_over_ranks(mean: Tensor, n_rows: int) -> Tensor:
    """The mean over the rows of all ranks, from that over the ``n_rows`` rows of each."""
    found = ranks()
    if found.size == 1:
        return mean
    own = mean.detach().double().flatten()
    total = torch.cat([own * n_rows, own.new_tensor([n_rows])])
    found.sum(total.zero_() if found.void else total)
    return _OfAll.apply(mean, (total[:-1] / total[-1]).to(mean).view_as(mean))  # type: ignore[return-value]


def variance_over_ranks(rows: Any) -> float:
    """Mean over the columns of their variance over the rows of all ranks: of a tensor, or of `SparseRows`."""
    found = ranks()
    if not isinstance(rows, Tensor):
        sums, squares = (torch.from_numpy(power) for power in rows.powers())
    else:
        exact = rows.double()
        sums, squares = exact.sum(0), exact.square().sum(0)
    total = torch.cat([sums, squares, sums.new_tensor([rows.shape[0]])])
    found.sum(total.zero_() if found.void else total)
    mean, square = (total[:-1] / total[-1]).chunk(2)
    return (square - mean.square()).clamp(min=0).mean().item()


def kth_over_ranks(z: Tensor, k: int, n_rows: int) -> Tensor:
    """The smallest of the ``k`` numbers a row that are largest over the rows of all ranks; 0 if it is not positive.

    By its binary digits, from the first on: of each few of them all ranks count how many of their numbers have which.
    """
    found = ranks()
    as_whole, width = (torch.int32, 31) if z.dtype == torch.float32 else (torch.int64, 63)
    numbers = z.detach().contiguous().flatten()
    left = numbers[numbers > 0].view(as_whole)  # positive numbers are ordered as their bits are
    left = left[:0] if found.void else left
    wanted, prefix, shift = 0, 0, width
    while shift:
        n_bits = min(_DIGIT, shift)
        shift -= n_bits
        digits = (left >> shift) & (2**n_bits - 1)
        counts = torch.bincount(digits, minlength=2**n_bits + 1)
        counts[-1] = found.counted(n_rows)
        *by_digit, total = found.sum(counts).tolist()
        if shift + n_bits == width:
            wanted = k * total
            if sum(by_digit) < wanted:
                return z.new_zeros(())
        above = np.cumsum(by_digit[::-1])
        at = int(np.searchsorted(above, wanted))
        digit = 2**n_bits - 1 - at
        wanted -= int(above[at]) - by_digit[digit]
        prefix = prefix << n_bits | digit
        left = left[digits == digit]
    return torch.tensor([prefix], dtype=as_whole, device=z.device).view(z.dtype)[0]

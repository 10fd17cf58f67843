"""Errors of ranks: one that is lost, one that fails and tells the others why, one that all have at the same time."""

from __future__ import annotations

from typing import Any

_FAILED = "dsae failed"  # where in a store a rank that fails tells the others why
_AGAIN = "Start all processes again; with a checkpoint they resume from it, and torchrun --max-restarts restarts them."


class LostRankError(ConnectionError):
    """A rank that is gone or late; on all others the same.

    Attributes
    ----------
    told : bool
        Whether it told why before it ended.
    """

    def __init__(self, steps: int, reason: str, told: bool = False) -> None:
        super().__init__(f"[fit] Training among several processes ended after {steps} steps: {reason}. {_AGAIN}")
        self.told = told


def together(error: Exception) -> Exception:
    """An error that all ranks raise at the same time: none has to be told."""
    error.together = True  # type: ignore[attr-defined]
    return error


def tell_failure(store: Any, rank: int, error: BaseException, attempt: str = "") -> None:
    """Write into a store of torch.distributed that a rank fails, and why."""
    reason = " ".join(str(error).split()).rstrip(".")
    store.set(_FAILED + attempt, f"rank {rank} failed with {type(error).__name__}: {reason}")


def reason_of_failure(store: Any, attempt: str = "") -> str | None:
    """What a rank has told; None where none has."""
    return store.get(_FAILED + attempt).decode() if store.check([_FAILED + attempt]) else None

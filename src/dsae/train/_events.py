"""What a training tells while it runs, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Events(Protocol):
    """Hears of a training.

    Attributes
    ----------
    every : int
        Steps from one call of `on_step` to the next.
    """

    every: int

    def begin(self) -> None:
        """An epoch begins."""
        ...

    def on_step(self, row: dict[str, Any]) -> object:
        """Some steps are done: ``step`` since the start, ``epoch``, ``stage``, ``loss`` and ``learning_rate``."""
        ...

    def on_epoch(self, row: dict[str, Any], trained: Callable[[], TrainingResult]) -> bool:
        """An epoch has ended, its row of the history; true asks for no more. ``trained`` makes the model so far."""
        ...


@dataclass(frozen=True)
class TrainingResult:
    """A trained model, and how training went.

    Parameters
    ----------
    model : Model or JointModel
        Weights and importance: centring and scaling are folded in.
    history : list of dict
        One JSON-able row per epoch.
    interrupted : bool
        Whether Ctrl-C or SIGTERM ended it early.
    """

    model: Any
    history: list[dict[str, Any]]
    interrupted: bool = False

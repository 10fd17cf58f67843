"""Ctrl-C ends training between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupt:
    """While open, the first Ctrl-C sets ``asked`` and the second raises, as usual.

    Parameters
    ----------
    terminable : bool
        Whether a request to terminate (SIGTERM) counts as Ctrl-C.
    """

    def __init__(self, terminable: bool = False) -> None:
        self.asked = False
        self._signals = (signal.SIGINT, signal.SIGTERM) if terminable else (signal.SIGINT,)
        self._previous = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # torchrun terminates processes to which the terminal has passed a Ctrl-C just before
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

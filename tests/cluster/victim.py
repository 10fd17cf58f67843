"""Encoders that end their own process; workers import them by name."""

import os
import signal
from pathlib import Path

from dsae.cluster import Encode


class Victim(Encode):
    """Kills the process that encodes the ``at``-th piece of rows, the first time that one gets so far."""

    at, marker = 0, ""

    def of_rows(self, rows, sparse=False):
        made = super().of_rows(rows, sparse)
        self.at -= 1
        if self.at == 0 and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return made


class Poison(Encode):
    """Kills every process that encodes rows that begin with the number 13."""

    def of_rows(self, rows, sparse=False):
        if rows[0, 0] == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().of_rows(rows, sparse)


class Flaky(Encode):
    """Cannot read the first time, as where storage is busy."""

    marker = ""

    def of_rows(self, rows, sparse=False):
        if self.marker and not Path(self.marker).exists():
            Path(self.marker).touch()
            raise OSError("the storage is busy")
        return super().of_rows(rows, sparse)

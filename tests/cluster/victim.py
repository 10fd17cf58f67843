"""Encoders that end their own process; workers import them by name."""

import os
import signal
from pathlib import Path

from dsae.cluster import Encode


def first(marker):
    """Create the file; return whether it did not exist yet."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Victim(Encode):
    """Kills the process that encodes the ``at``-th piece of rows, the first time that one gets so far."""

    at, marker = 0, ""

    def of_rows(self, rows, sparse=False):
        made = super().of_rows(rows, sparse)
        self.at -= 1
        if self.at == 0 and first(self.marker):
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
        if self.marker and first(self.marker):
            raise OSError("the storage is busy")
        return super().of_rows(rows, sparse)

"""Seeds and checkpoints of a training that may be stopped."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dsae.config import in_range


class Resumable:
    """An estimator with the parameters ``random_state``, ``checkpoint`` and ``checkpoint_every``."""

    random_state: Any
    checkpoint: Any
    checkpoint_every: float

    def _checkpoints(self, train: ModuleType) -> Any:
        if self.checkpoint is None or isinstance(self.checkpoint, train.Checkpoints):
            return self.checkpoint
        in_range("checkpoint_every", self.checkpoint_every, 0)
        return train.Checkpoints(self.checkpoint, self.checkpoint_every)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

"""Seeds and checkpoints of a training that may be stopped, and what is kept when it ends."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dsae.config import in_range
from dsae.estimators._callbacks import FitEvents
from dsae.estimators._training import final_metrics


class Resumable:
    """An estimator with the parameters ``random_state``, ``checkpoint`` and ``checkpoint_every``."""

    random_state: Any
    checkpoint: Any
    checkpoint_every: float
    runtime_: Any
    history_: list[dict[str, Any]]
    interrupted_: bool
    fit_time_: float

    def _checkpoints(self, train: ModuleType) -> Any:
        if self.checkpoint is None or isinstance(self.checkpoint, train.Checkpoints):
            return self.checkpoint
        in_range("checkpoint_every", self.checkpoint_every, 0)
        return train.Checkpoints(self.checkpoint, self.checkpoint_every)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _seed_of_fit(self, train: ModuleType, checkpoints: Any) -> int:
        """The same on all ranks; a resumed run has that of the one that was stopped, even where none was set."""
        seed = self._seed()
        if checkpoints is not None and self.random_state is None:
            seed = checkpoints.seed(seed)
        return train.of_rank_0(seed)

    def _take(self, model: Any, interrupted: bool, begun: float, before: float) -> None:
        """Become the estimator of a trained model, whose training began at ``begun`` and took ``before`` until then."""
        self._adopt(model, interrupted)
        self.fit_time_ = time.perf_counter() - begun + before
        self.runtime_.model.metrics.update(final_metrics(self.history_, self.fit_time_))

    def _end(self, events: FitEvents, checkpoints: Any) -> None:
        events.finish()
        # Checkpoints that were passed are for the caller to remove, after saving the model.
        if checkpoints is not None and checkpoints is not self.checkpoint and not self.interrupted_:
            checkpoints.remove()

    def _adopt(self, model: Any, interrupted: bool = False) -> None:
        raise NotImplementedError

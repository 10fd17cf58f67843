"""A run of training: all that it is made of, and what a later one takes up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from dsae import ops
from dsae.config import TrainConfig, whole_number
from dsae.data import Source
from dsae.nn import Autoencoder, Joint, as_arrays, as_tensors
from dsae.shrink import Shrinker
from dsae.store import Model
from dsae.train._activity import Activity, Glimpse
from dsae.train._checkpoint import Checkpoints
from dsae.train._corrupt import Corruption
from dsae.train._events import Events, TrainingResult
from dsae.train._interrupt import Interrupt
from dsae.train._joint_batch import JointCorruption
from dsae.train._learner import Learner
from dsae.train._progress import ProgressLine
from dsae.train._sensitivity import Sensitivity
from dsae.train._stages import Stage


@dataclass
class Run:
    """What every level of training sees."""

    model: Autoencoder
    source: Source
    config: TrainConfig
    seed: int
    validation: Source | None
    interrupt: Interrupt
    progress: ProgressLine
    steps_per_epoch: int
    observer: Sensitivity | None = None
    events: Events | None = None
    trained: Callable[[], Model] | None = None
    stopped: bool = False
    stages: Sequence[Stage] = ()
    checkpoints: Checkpoints | None = None
    stage: int = 0
    stopping: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    deviation: Any = None  # of every feature; by modality, if there are several
    isa: str = field(default_factory=ops.isa)
    l2: int = field(default_factory=ops.l2_bytes)
    variance: float | None = None
    activity: Activity | None = None
    glimpse: Glimpse | None = None
    part_losses: dict[str, float] = field(default_factory=dict)
    due: bool = False  # whether rank 0 says that it is time for a checkpoint

    @cached_property
    def corruption(self) -> Any:
        """What training steps do not see of the rows; asked for when the model has its centring."""
        if isinstance(self.model, Joint):
            return JointCorruption.of(self.model, self.config, self.seed, self.deviation)
        noisy = self.deviation is None and self.config.noise
        deviation = self.source.moments()[1] if noisy else self.deviation
        return Corruption.of(self.model, self.config, self.seed, deviation)

    @property
    def shrinkers(self) -> dict[str, Shrinker]:
        """Each once, though it may serve in several stages."""
        unique = dict.fromkeys(shrinker for stage in self.stages for shrinker in stage.shrinkers)
        return {str(i): shrinker for i, shrinker in enumerate(unique)}

    def after_step(self, learner: Learner, loss: float, rate: float) -> None:
        """Report a step to the events, if it is one of those that are reported."""
        planned = len(self.history) * self.steps_per_epoch + learner.sums.n_batches
        step = planned if learner.n_steps else learner.step  # passes that have no end may be of any length
        if self.events is not None and step % self.events.every == 0:
            row = {"step": step, "epoch": len(self.history) + 1, "stage": learner.stage.name}
            activity = {} if self.activity is None else self.activity.of_batch()
            self.events.on_step(row | {"loss": loss, "learning_rate": rate} | self._error(learner, loss) | activity)

    @property
    def looks(self) -> bool:
        """Whether somebody wants to see the codes of the step."""
        return self.glimpse is not None and self.glimpse.wanted

    def show(self, code: Tensor) -> None:
        """Report the codes of the rows of a step, ``[n_rows, n_components]``."""
        if self.glimpse is not None:
            self.glimpse.see(code)

    def measured(self, learner: Learner, loss: float) -> dict[str, Any]:
        """Error and activity of an epoch, as far as its steps tell."""
        seen = self.glimpse if self.activity is None else self.activity
        activity = {} if seen is None else seen.of_epoch()
        parts = learner.sums.mean_parts
        return self._error(learner, loss) | activity | ({"losses": parts} if parts else {})

    def _error(self, learner: Learner, loss: float) -> dict[str, float]:
        found, threshold = {}, self.model.mean_threshold
        if self.variance and not learner.stage.temporary_decoder:
            found["fvu"] = loss / self.variance
        if threshold is not None:
            found["threshold"] = threshold
        return found

    def after_epoch(self, row: dict[str, Any]) -> None:
        """Tell of an epoch, and stop where that is asked for."""
        if self.events is not None and self.trained is not None:
            trained = self.trained
            self.stopped = bool(self.events.on_epoch(row, lambda: TrainingResult(trained(), self.history)))

    @property
    def interruption(self) -> str:
        """What to tell of an end before its time."""
        later = "" if self.checkpoints is None else f" {self.checkpoints.folder} has what it needs to go on."
        return (
            f"Training was interrupted in epoch {len(self.history)}, stage '{self.history[-1]['stage']}'; the model "
            f"keeps its best weights so far, at density {self.model.density:.4g}.{later}"
        )

    @property
    def excess(self) -> str:
        """What to tell of an end before the last rewiring; nothing where the network has the density asked for."""
        shapes, reached = self.model.config.layer_shapes, self.model.density
        asked = sum(self.model.final_nnz.values()) / sum(n_out * n_in for n_out, n_in in shapes.values())
        if reached <= asked:
            return ""
        return (
            f"Training was stopped after epoch {len(self.history)}, before the last rewiring: the model has density "
            f"{reached:.4g} rather than {asked:.4g}. Stop later, or lower max_iter."
        )

    def state_dict(self, learner: Learner) -> dict[str, Any]:
        """All that the next step depends on, but the place in the stages."""
        learner.settle()
        return {
            "isa": self.isa,
            "l2": self.l2,
            "model": self.model.state_dict(),
            "shrinkers": {key: shrinker.state_dict() for key, shrinker in self.shrinkers.items()},
            "observer": None if self.observer is None else self.observer.state_dict(),
            "activity": None if self.activity is None else self.activity.state_dict(),
            "glimpse": None if self.glimpse is None else self.glimpse.state_dict(),
            "learner": learner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """All but the learner, which needs the layers as they were."""
        self.isa, self.l2 = ops.isa(state["isa"]), ops.l2_bytes(state["l2"])
        self.model.load_state_dict(state["model"])
        if state["shrinkers"] is not None:
            for key, shrinker in self.shrinkers.items():
                shrinker.load_state_dict(state["shrinkers"][key], self.model.layers)
        if self.observer is not None:
            self.observer.load_state_dict(state["observer"])
        activity = state["activity"]
        if self.activity is not None:
            self.activity.load_state_dict(activity)
        elif activity is not None:
            raise ValueError("there is no code of zeros whose activity is kept")
        if self.glimpse is not None:
            self.glimpse.load_state_dict(state["glimpse"])

    @contextlib.contextmanager
    def rounding(self) -> Iterator[None]:
        """Let layers round their operands as the instruction set's table says that the run began with."""
        layers = self.model.layers.values()
        for layer in layers:
            layer.rounding = self.isa if self.config.precision == "auto" else None
        try:
            yield
        finally:
            for layer in layers:
                layer.rounding = None

    def keep(self, learner: Learner) -> None:
        """Write a checkpoint, if it is time."""
        if self.checkpoints is None or ops.ranks().rank:
            return
        if self.stopping or self.due or (ops.ranks().size == 1 and self.checkpoints.due()):
            seconds = time.perf_counter() - self.started
            position = {"stage": self.stage, "history": self.history, "seconds": seconds}
            self.checkpoints.write(as_arrays({**position, **self.state_dict(learner)}))

    def take_up(self) -> Mapping[str, Any] | None:
        """Go to where a checkpoint was written; what the stage's learner needs is given back."""
        if self.checkpoints is None or self.checkpoints.saved is None:
            return None
        state = as_tensors(self.checkpoints.saved)
        with self.checkpoints.taking_up():
            self.stage = whole_number("stage", state["stage"], len(self.stages))
            self.history = _rows(state["history"])
            self.started -= float(state["seconds"])
            self.load_state_dict(state)
            epochs = sum(stage.epochs for stage in self.stages[: self.stage])
            self.progress.skip(epochs * self.steps_per_epoch + state["learner"]["step"])
            return state["learner"]


def _rows(history: Any) -> list[dict[str, Any]]:
    rows = [dict(row) for row in history]
    for row in rows:
        for name in ("epoch", "loss", "density", "seconds"):
            float(row[name])
    return rows


def seconds_of(history: Sequence[Mapping[str, Any]]) -> float:
    """How long the epochs of a history took; 0 where a model from elsewhere does not say."""
    seconds = history[-1].get("seconds") if history else None
    return seconds if isinstance(seconds, float) else 0.0

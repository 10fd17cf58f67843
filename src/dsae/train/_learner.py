"""What learns in one stage, and everything that its next step depends on."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dsae.config import whole_number
from dsae.nn import Autoencoder, SparseLinear
from dsae.train._optim import SparseAdam
from dsae.train._stages import Stage

if TYPE_CHECKING:
    from dsae.train._step import Step
    from dsae.train._update import InMatrices


@dataclass
class Sums:
    """What the current epoch has come to so far."""

    n_batches: int = 0
    n_rows: int = 0
    loss: float = 0.0
    worth: float = 0.0  # of the rows: their number, where all weigh 1
    objective: float = 0.0
    seconds: float = 0.0
    parts: dict[str, list[float]] = field(default_factory=dict)  # loss and rows of each modality, if there are several

    def add(self, loss: float, objective: float, n_rows: int, worth: float) -> None:
        """One batch more: its mean loss, without and with the penalties."""
        self.n_batches, self.n_rows, self.worth = self.n_batches + 1, self.n_rows + n_rows, self.worth + worth
        self.loss, self.objective = self.loss + loss * worth, self.objective + objective * worth

    def add_parts(self, losses: Mapping[str, tuple[float, float]]) -> None:
        """The mean losses of the modalities that the batch had, and of how many rows each is."""
        for name, (loss, n) in losses.items():
            total, n_rows = self.parts.get(name, (0.0, 0))
            self.parts[name] = [total + loss * n, n_rows + n]

    @property
    def mean_parts(self) -> dict[str, float]:
        """Mean loss of each modality over the rows that have it."""
        return {name: total / max(n_rows, 1) for name, (total, n_rows) in self.parts.items()}

    @property
    def mean_loss(self) -> float:
        """Of all rows by their weights; 0 where none weighs anything."""
        return self.loss / (self.worth or 1.0)

    @property
    def mean_objective(self) -> float:
        """The same with the penalties."""
        return self.objective / (self.worth or 1.0)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Sums:
        """From what `dataclasses.asdict` made of it."""
        n_batches, n_rows = (whole_number(name, state[name], 2**63) for name in ("n_batches", "n_rows"))
        seconds = float(state["seconds"])
        if not n_batches <= n_rows or (n_batches > 0) != (seconds > 0):
            raise ValueError(f"{n_batches} batches, {n_rows} rows and {seconds} seconds do not fit together")
        sums = (float(state["loss"]), float(state["worth"]), float(state["objective"]))
        parts = {str(name): [float(number) for number in pair] for name, pair in state.get("parts", {}).items()}
        return cls(n_batches, n_rows, *sums, seconds, parts)


@dataclass
class Patience:
    """The best loss, penalties included, how long ago it was found, and the weights that had it where they are kept."""

    tol: float
    best: float = math.inf
    epochs_since: int = 0
    weights: dict[str, Any] | None = None

    def see(self, loss: float, model: Autoencoder | None = None) -> None:
        """One epoch more; a model has its weights kept."""
        self.epochs_since = 0 if loss < self.best * (1 - self.tol) else self.epochs_since + 1
        if loss < self.best:
            self.best, self.weights = loss, None if model is None else copy.deepcopy(model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All but the tolerance; empty as long as nothing was seen."""
        if self.best == math.inf:
            return {}
        kept = {} if self.weights is None else {"weights": self.weights}
        return {"best": self.best, "epochs_since": self.epochs_since, **kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`."""
        if state:
            self.best, self.epochs_since = float(state["best"]), int(state["epochs_since"])
            self.weights = state.get("weights")


@dataclass
class Learner:
    """Some layers on their way through a stage.

    Parameters
    ----------
    stage : Stage
    layers : dict of str to SparseLinear
        Those that learn.
    extra : SparseLinear, optional
        The temporary decoder.
    optimizer : SparseAdam
    patience : Patience
    n_steps : int
        Of the whole stage; 0 if its length is unknown.
    step, epoch : int
        Done so far.
    sums : Sums
    stepper : Step, optional
        How steps are computed; None where that is still to be chosen.
    taken : type, optional
        Of the batches for which it was chosen.
    columns : InMatrices, optional
        A layer in another order that the next step may take over, as long as no other way of computing steps moves it.
    """

    stage: Stage
    layers: dict[str, SparseLinear]
    extra: SparseLinear | None
    optimizer: SparseAdam
    patience: Patience
    n_steps: int
    step: int = 0
    epoch: int = 0
    sums: Sums = field(default_factory=Sums)
    stepper: Step | None = None
    taken: type | None = None
    columns: InMatrices | None = None

    def settle(self) -> None:
        """Let layers, optimiser and shrinkers hold what the steps have made of them."""
        if self.stepper is not None:
            self.stepper.settle()

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on; the layers and the shrinkers have their own."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "sums": asdict(self.sums),
            "extra": None if self.extra is None else self.extra.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "patience": self.patience.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`, after the layers were restored."""
        self.step, self.epoch = (whole_number(name, state[name], 2**63) for name in ("step", "epoch"))
        self.sums = Sums.of(state["sums"])
        if self.extra is not None:
            self.extra.load_state_dict(state["extra"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.patience.load_state_dict(state["patience"])

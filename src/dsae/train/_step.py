"""How one training step is computed: its gradients, then the change that they make."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from dsae import ops
from dsae.nn import Joint
from dsae.train._learner import Learner
from dsae.train._objective import objective_of
from dsae.train._run import Run
from dsae.train._update import InMatrices, update


class Step(Protocol):
    """One way to compute steps, for the layers as they are; another is chosen after every rewiring."""

    def takes(self, given: ops.Given) -> bool:
        """Whether it can compute the step of such a batch; autograd does where it cannot."""
        ...

    @property
    def held(self) -> Mapping[str, InMatrices]:
        """Layers whose gradients are not their values' ``grad``."""
        ...

    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """The loss as it is reported, and with the penalties; the gradients are kept for `update`."""
        ...

    def update(self) -> None:
        """Move every parameter, and let the shrinkers see the step."""
        ...

    def settle(self) -> None:
        """Write what is kept in another form back to the layers, the optimiser and the shrinkers."""
        ...


class AutogradStep:
    """Any model and any penalty, by torch's autograd: the oracle of all other steps."""

    held: Mapping[str, InMatrices] = MappingProxyType({})

    def __init__(self, run: Run, learner: Learner) -> None:
        self._run, self._learner = run, learner

    def takes(self, given: ops.Given) -> bool:
        """Any batch."""
        return True

    def gradients(self, given: ops.Given) -> tuple[float, float]:
        """By backward from the objective, into ``grad`` of the parameters."""
        run, learner = self._run, self._learner
        learner.optimizer.forget()
        for layer in learner.layers.values():
            layer.tape.x = layer.tape.dy = None
        by_matrix = (layer for layer in run.model.layers.values() if layer.executor == "dense")
        ops.share_products(given.n_rows * sum(layer.in_features * layer.out_features for layer in by_matrix))
        loss, objective = objective_of(run, learner.stage, learner.extra, given)
        objective.backward()
        if isinstance(run.model, Joint):
            run.model.fill_gradients()
        return loss.item(), objective.item()

    def update(self) -> None:
        """Adam, the proximal steps, the scores."""
        update(self._learner)

    def settle(self) -> None:
        """Nothing is kept elsewhere."""

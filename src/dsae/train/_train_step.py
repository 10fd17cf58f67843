"""One step of training: the gradients of a batch, the change that they make, and what is rewired."""

from __future__ import annotations

import math
from typing import Any

from dsae import ops
from dsae.nn import JointGiven
from dsae.shrink import Clock, swap_parameter
from dsae.train._choose import joint_step_for, sparse_step_for, step_for
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._step import AutogradStep, Step
from dsae.train._world import Outcome, World

_WARM_UP = 0.05  # of the steps of a stage
_OPEN_WARM_UP = 100  # steps


def train_step(run: Run, learner: Learner, given: ops.Given | JointGiven) -> Outcome:
    """One batch: its gradients, the change that they make, and a rewiring where one is due."""
    clock, stage, layers, optimizer = _clock(run, learner), learner.stage, learner.layers, learner.optimizer
    optimizer.set_rate(learning_rate(run, learner))
    stepper, observing = _stepper(run, learner, given), [shrinker.observes for shrinker in stage.shrinkers]
    found = _of_all(run, learner, stepper, given)
    if not math.isfinite(found.objective):
        raise FloatingPointError(
            f"[fit] The loss became {found.objective} at step {clock.step} of stage '{stage.name}', "
            f"epoch {len(run.history) + 1}. Lower learning_rate_init (now {run.config.learning_rate_init:g}), "
            "set scale=True if features differ in scale, or lower l2 and contractive."
        )
    stepper.update()
    if any(shrinker.due(clock) for shrinker in stage.shrinkers):
        stepper.settle()
    for shrinker in stage.shrinkers:
        for name, rewiring in shrinker.rewire(layers, clock).items():
            learner.stepper = None
            swap_parameter(optimizer, layers[name], rewiring)
            for other in stage.shrinkers:
                other.moved(name, rewiring)
    if learner.stepper is None:
        run.model.switch_unconnected()
    if observing != [shrinker.observes for shrinker in stage.shrinkers]:  # another step may now be the faster one
        learner.settle()
        learner.stepper = None
    return found


def _of_all(run: Run, learner: Learner, stepper: Step, given: Any) -> Outcome:
    """The gradients of the batch, of which every rank has computed its share."""
    world, stop = ops.ranks(), run.interrupt.asked
    loss, objective = stepper.gradients(given)
    if isinstance(world, World):
        due = run.checkpoints is not None and world.rank == 0 and run.checkpoints.due()
        how = (loss, objective), run.part_losses, stop or run.interrupt.asked, due
        return world.step(stepper.held, learner.optimizer, given, *how)
    parts = {name: (found, float(given.parts[name].n_rows)) for name, found in run.part_losses.items()}
    return Outcome(loss, objective, given.n_rows, given.rows_worth, parts, run.interrupt.asked)


def _stepper(run: Run, learner: Learner, given: Any) -> Step:
    """The learner's for batches of this kind, but autograd where a layer's input and output gradient are to be kept."""
    kind = given.kind
    if any(layer.tape.recording for layer in learner.layers.values()):
        learner.settle()
        learner.stepper = None
        return AutogradStep(run, learner)
    if learner.stepper is None or learner.taken is not kind:  # by the batch alone: a restart chooses the same
        learner.settle()
        chosen = {ops.SparseRows: sparse_step_for, JointGiven: joint_step_for}.get(kind, step_for)
        learner.stepper = chosen(run, learner)
        learner.taken = kind
    if not learner.stepper.takes(given):
        learner.settle()
        learner.stepper = None
        return AutogradStep(run, learner)
    return learner.stepper


def _clock(run: Run, learner: Learner) -> Clock:
    return Clock(learner.step, learner.n_steps, run.steps_per_epoch)


def learning_rate(run: Run, learner: Learner) -> float:
    """Linear warm-up, then a cosine down to zero, or constant if the length of training is unknown.

    Layers that start sparse would not survive large first steps.
    """
    initial, clock = run.config.learning_rate_init, _clock(run, learner)
    if not clock.n_steps:
        return initial * min(1.0, clock.step / _OPEN_WARM_UP)
    warm = min(1.0, clock.step / (_WARM_UP * clock.n_steps))
    return 0.5 * initial * warm * (1 + math.cos(math.pi * (clock.step - 1) / clock.n_steps))

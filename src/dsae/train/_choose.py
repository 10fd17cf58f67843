"""Which way of computing steps a network has."""

from __future__ import annotations

from dsae.train import _dense
from dsae.train._dense import DenseStep
from dsae.train._learner import Learner
from dsae.train._panels import PanelStep
from dsae.train._run import Run
from dsae.train._step import AutogradStep, Step

# Of the network, by the size of its blocks. Above it, products of dense matrices are faster
# (docs/design/training_step.md, docs/design/blocks.md).
_DENSE_ABOVE = {1: 0.35, 4: 0.9, 8: 0.9}


def step_for(run: Run, learner: Learner) -> Step:
    """How to compute the steps from here to the next rewiring.

    By shapes, densities and settings alone, never by what a step took: a run repeats bit for bit.
    """
    if run.model.density > _DENSE_ABOVE[run.model.config.block_size] and _dense.covers(run, learner):
        return DenseStep(run, learner)
    if PanelStep.covers(run, learner):
        return PanelStep(run, learner)
    return AutogradStep(run, learner)

"""Which way of computing steps a network has."""

from __future__ import annotations

from dsae.train._dense import DenseStep, covers
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._step import AutogradStep, Step


def step_for(run: Run, learner: Learner) -> Step:
    """How to compute the steps from here to the next rewiring.

    By shapes, densities and settings alone, never by what a step took: a run repeats bit for bit.
    """
    if run.model.density > 0.35 and covers(run, learner):
        return DenseStep(run, learner)
    return AutogradStep(run, learner)

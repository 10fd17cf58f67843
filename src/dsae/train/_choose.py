"""Which way of computing steps a network has."""

from __future__ import annotations

from dsae.train import _dense, _sparse
from dsae.train._dense import DenseStep
from dsae.train._joint_step import JointStep
from dsae.train._learner import Learner
from dsae.train._panels import PanelStep
from dsae.train._run import Run
from dsae.train._sparse import SparseStep
from dsae.train._step import AutogradStep, Step

# Density of the network above which products of dense matrices are faster than those of edges, where all its layers
# have up to 2^15 possible weights, up to 2^18, and more (docs/design/training_step.md).
_SIZES = (1 << 15, 1 << 18)
_DENSE_ABOVE = {
    "x86-64-v4": (1.0, 0.9, 0.6),
    "x86-64-v3": (1.0, 0.75, 0.55),
    "baseline": (1.0, 0.5, 0.38),
}
# Lines of activations come from the second-level cache: with 512 KB of it and AVX2 the last of these was 0.38.
_SMALL_L2, _OF_SMALL_L2 = 3 << 18, 0.7
_WITH_BLOCKS = 0.9  # of 4 or 8 outputs, at least (docs/design/blocks.md)


def step_for(run: Run, learner: Learner) -> Step:
    """How to compute the steps from here to the next rewiring.

    By shapes, densities, settings and the machine on which the run began, never by what a step took: a run repeats bit
    for bit.
    """
    model, size = run.model, sum(layer.topology.size for layer in run.model.layers.values())
    limit = dense_above(size, run.isa, run.l2, model.config.block_size)
    if model.code_by_entries:  # no other step leaves out the zeros of a code
        return AutogradStep(run, learner)
    if model.density > limit and _dense.covers(run, learner):
        return DenseStep(run, learner)
    if PanelStep.covers(run, learner):
        return PanelStep(run, learner)
    return AutogradStep(run, learner)


def sparse_step_for(run: Run, learner: Learner) -> Step:
    """The same where a batch is sparse rows: `SparseStep` unless the layers between the ends are nearly dense."""
    model = run.model
    if model.code_by_entries or not _sparse.covers(run, learner):
        return AutogradStep(run, learner)
    inner = [layer.topology for layer in list(model.layers.values())[1:-1]]
    size, nnz = (sum(getattr(topology, what) for topology in inner) for what in ("size", "nnz"))
    dense = nnz > dense_above(size, run.isa, run.l2, model.config.block_size) * size
    return AutogradStep(run, learner) if dense else SparseStep(run, learner)


def joint_step_for(run: Run, learner: Learner) -> Step:
    """The same for batches of several modalities."""
    return JointStep(run, learner) if JointStep.covers(learner) else AutogradStep(run, learner)


def dense_above(size: int, isa: str, l2: int, block_size: int = 1) -> float:
    """Density of a network of ``size`` possible weights from which on `DenseStep` is the faster one; 1 for never.

    Examples
    --------
    >>> dense_above(2_146_304, "x86-64-v4", 1 << 20), dense_above(4_608, "x86-64-v4", 1 << 20)
    (0.6, 1.0)
    """
    found = _DENSE_ABOVE.get(isa, _DENSE_ABOVE["baseline"])[sum(size > limit for limit in _SIZES)]
    if block_size > 1:
        return max(found, _WITH_BLOCKS)
    return found * _OF_SMALL_L2 if found < 1 and l2 < _SMALL_L2 else found

"""fit -> run_stage -> run_epoch, each one level down; `train_step` follows."""

from __future__ import annotations

import copy
import itertools
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from dsae import ops
from dsae.config import TrainConfig
from dsae.data import IteratorSource, Source
from dsae.metrics import firing_threshold
from dsae.nn import Autoencoder, JointGiven, SparseLinear, as_arrays, as_tensors
from dsae.shrink import DropZeros
from dsae.store import Model
from dsae.train._activity import Activity, Glimpse
from dsae.train._checkpoint import Checkpoints, restoring
from dsae.train._device import plain_torch
from dsae.train._events import Events
from dsae.train._interrupt import Interrupt
from dsae.train._learner import Learner, Patience, Sums
from dsae.train._objective import objective_of, temporary_decoder
from dsae.train._optim import SparseAdam
from dsae.train._progress import ProgressLine
from dsae.train._run import Run, seconds_of
from dsae.train._sensitivity import Sensitivity
from dsae.train._shares import agree_on_epoch, any_rank, batches_of, portions
from dsae.train._stages import Stage, dead_after
from dsae.train._train_step import learning_rate, train_step

_LOOKED_AT = 512  # rows that tell how sparse all are
REMEDY = "Save what `dsae.load` reads of the folder over it: Adam then starts over."


@plain_torch()
def fit(
    model: Autoencoder,
    source: Source,
    stages: Sequence[Stage],
    config: TrainConfig,
    seed: int = 0,
    validation: Source | None = None,
    verbose: int = 0,
    observer: Sensitivity | None = None,
    checkpoints: Checkpoints | None = None,
    events: Events | None = None,
    trained: Callable[[], Model] | None = None,
    variance: float | None = None,
    deviation: np.ndarray | None = None,
) -> tuple[list[dict[str, Any]], bool]:
    """Train ``model`` in place.

    Parameters
    ----------
    model : Autoencoder
    source : Source
    stages : sequence of Stage
    config : TrainConfig
    seed : int
        Shuffles the rows.
    validation : Source, optional
        Its loss decides when to stop early and which weights are kept.
    verbose : int
        0 is silent.
    observer : Sensitivity, optional
        Sees the model after every epoch in which the network as a whole was trained.
    checkpoints : Checkpoints, optional
        Where all that the run depends on is written now and then, and where an earlier run is taken up.
    events : Events, optional
        Notified of steps and epochs; may end the training.
    trained : callable, optional
        Makes what ``events`` may ask for, the model so far.
    variance : float, optional
        Mean variance of the target's features, in the units of a squared error: the error then has its share of it.
    deviation : ndarray of float32, shape (n_features,), optional
        Standard deviation of every feature, in whose unit noise is; by default that of ``source``.

    Returns
    -------
    list of dict
        One JSON-able row per epoch.
    bool
        Whether Ctrl-C or SIGTERM ended it early.

    Raises
    ------
    FloatingPointError
        If the loss is no longer a number.
    """
    if ops.ranks().rank:  # rank 0 speaks for all
        events, verbose = None, 0
    steps_per_epoch = math.ceil(len(source) / config.batch_size)
    n_steps = sum(stage.epochs for stage in stages) * steps_per_epoch
    terminable = checkpoints is not None or ops.ranks().size > 1
    with Interrupt(terminable) as interrupt, ProgressLine(n_steps, verbose) as progress:
        run = Run(model, source, config, seed, validation, interrupt, progress, steps_per_epoch, observer)
        run.stages, run.checkpoints, run.events, run.trained = stages, checkpoints, events, trained
        run.variance, run.deviation = variance, deviation
        run.activity, run.glimpse = _activity(model, len(source)), _glimpse(model)
        _start_alike(run)
        saved = run.take_up()
        with run.rounding():
            while run.stage < len(stages) and not (run.stopping or run.stopped):
                _run_stage(run, stages[run.stage], saved)
                saved, run.stage = None, run.stage + 1
        if run.stopping:
            warnings.warn(run.interruption, RuntimeWarning, stacklevel=3)
        elif run.stopped and run.excess:
            warnings.warn(run.excess, UserWarning, stacklevel=3)
    model.eval()
    return run.history, run.stopping


def learn(
    model: Autoencoder,
    source: Source,
    stage: Stage,
    config: TrainConfig,
    seed: int,
    history: list[dict[str, Any]],
    observer: Sensitivity | None,
    verbose: int = 0,
    state: Mapping[str, Any] | None = None,
    events: Events | None = None,
    variance: float | None = None,
    deviation: np.ndarray | None = None,
) -> tuple[dict[str, Any], bool]:
    """One pass over ``source`` of a training that has no end: `fit` in pieces.

    Parameters
    ----------
    model, source, stage, config, seed, observer, verbose
        As in `fit`; the stage's number of epochs does not matter.
    history : list of dict
        Of the passes before; this one's row is added.
    state : mapping, optional
        What the pass before gave back.
    events : Events, optional
        Notified of steps.
    variance : float, optional
    deviation : ndarray, optional
        As in `fit`.

    Returns
    -------
    dict
        What the next pass depends on.
    bool
        Whether it was interrupted.
    """
    steps_per_epoch = math.ceil(len(source) / config.batch_size)
    with Interrupt() as interrupt, ProgressLine(steps_per_epoch, verbose) as progress:
        run = Run(model, source, config, seed, None, interrupt, progress, steps_per_epoch, observer)
        run.stages, run.history, run.events, run.deviation = (stage,), history, events, deviation
        run.variance = variance
        run.activity, run.glimpse = _activity(model, dead_after(model.config)), _glimpse(model)
        run.started -= seconds_of(history)
        learner = _first_or_next(run, stage, state)
        with run.rounding():
            row = _run_epoch(run, learner)
        if observer is not None:
            observer.see(model)
        history.append(row)
        progress.epoch(stage.name, row)
        if run.stopping:
            warnings.warn(run.interruption, RuntimeWarning, stacklevel=3)
    model.eval()
    learner.sums = Sums()
    return as_arrays(run.state_dict(learner)), run.stopping


def _start_alike(run: Run) -> None:
    """Let all ranks compute their steps in the same way, whatever their machines and the rows of their batches."""
    world = ops.ranks()
    if world.size == 1:
        return
    run.isa, run.l2 = world.first(lambda: (run.isa, run.l2))
    if isinstance(run.model, Autoencoder) and not isinstance(run.source, IteratorSource):
        rows = run.source.sample(_LOOKED_AT, np.random.default_rng(0)).rows
        world.written_out = sp.issparse(rows) and ops.hardly_sparse(rows)


def _activity(model: Autoencoder, window: int) -> Activity | None:
    followed = isinstance(model, Autoencoder) and model.config.code.sparse
    return Activity(model.config.n_components, window) if followed else None


def _glimpse(model: Autoencoder) -> Glimpse | None:
    if not isinstance(model, Autoencoder) or model.config.code.sparse:
        return None
    width = model.config.n_components
    return Glimpse(width, firing_threshold(model.config.code_activation, width))


def _first_or_next(run: Run, stage: Stage, state: Mapping[str, Any] | None) -> Learner:
    if state is None:
        return _learner(run, stage, 0)
    with restoring("[partial_fit] The model to continue from is damaged", REMEDY):
        saved = as_tensors(state)
        run.load_state_dict(saved)
        learner = _learner(run, stage, 0)
        learner.load_state_dict(saved["learner"])
        return learner


def _learner(run: Run, stage: Stage, n_steps: int) -> Learner:
    layers = {name: run.model.layers[name] for name in stage.layers}
    extra = temporary_decoder(layers[stage.layers[0]], run.seed) if stage.temporary_decoder else None
    optimizer = SparseAdam(_learning(layers, extra), _trainable(run.model, stage, extra))
    return Learner(stage, layers, extra, optimizer, Patience(run.config.tol), n_steps)


def _run_stage(run: Run, stage: Stage, state: Mapping[str, Any] | None = None) -> None:
    learner = _learner(run, stage, stage.epochs * run.steps_per_epoch)
    if state is not None and run.checkpoints is not None:
        with run.checkpoints.taking_up():
            learner.load_state_dict(state)
            if learner.patience.weights is not None:
                copy.deepcopy(run.model).load_state_dict(learner.patience.weights)
    patience = learner.patience
    while learner.epoch < stage.epochs and patience.epochs_since < run.config.n_iter_no_change:
        if run.events is not None:
            run.events.begin()
        row = _run_epoch(run, learner)
        sums, learner.epoch, learner.sums = learner.sums, learner.epoch + 1, Sums()
        settled = learner.epoch / stage.epochs >= stage.last_rewiring
        if run.validation is not None and not stage.temporary_decoder:
            row["validation_loss"], objective = _evaluate(run, stage, run.validation)
            if settled:
                patience.see(objective, run.model)
        elif settled and not stage.temporary_decoder:
            patience.see(sums.mean_objective)
        if run.observer is not None and not stage.temporary_decoder:
            run.observer.see(run.model)
        row = agree_on_epoch(run.model, row)
        run.history.append(row)
        run.progress.epoch(stage.name, row)
        run.after_epoch(row)
        exhausted = isinstance(run.source, IteratorSource) and run.source.exhausted
        run.stopped, asked = any_rank(run.stopped or exhausted, run.interrupt.asked)
        if asked and not run.stopping:
            run.stopping = True
            run.keep(learner)
        if run.stopping or run.stopped:
            break
    if patience.weights is not None:
        run.model.load_state_dict(patience.weights)
    if any(isinstance(shrinker, DropZeros) for shrinker in stage.shrinkers):
        for name, rewiring in DropZeros.zeros(learner.layers).items():
            learner.layers[name].rewire(rewiring)
        run.model.switch_unconnected()
    run.model.requires_grad_(True)


def _run_epoch(run: Run, learner: Learner) -> dict[str, Any]:
    run.model.train()
    sums, begun = learner.sums, time.perf_counter() - learner.sums.seconds
    batches = batches_of(run.source, run.config.batch_size, seed=run.seed + len(run.history))
    n_whole, glimpse = max(1, len(run.source) // run.config.batch_size), run.glimpse
    for batch in itertools.islice(batches, sums.n_batches, None):
        if glimpse is not None and not learner.stage.temporary_decoder:
            glimpse.look(sums.n_batches, n_whole)
        given = run.corruption.part(batch, len(run.history))
        given = portions(given) if isinstance(given, JointGiven) else given
        learner.step += 1
        found = train_step(run, learner, given)
        if glimpse is not None:
            glimpse.join()
        sums.add(found.loss, found.objective, found.n_rows, found.worth)
        sums.add_parts(found.parts)
        sums.seconds = time.perf_counter() - begun
        run.progress.step()
        run.after_step(learner, found.loss, learning_rate(run, learner))
        run.stopping = found.stop if ops.ranks().size > 1 else run.interrupt.asked  # all ranks at the same step
        run.due = found.due
        run.keep(learner)
        if run.stopping:
            break
    learner.settle()
    return {
        "stage": learner.stage.name,
        "epoch": len(run.history) + 1,
        "loss": sums.mean_loss,
        "density": run.model.density,
        "densities": {name: layer.density for name, layer in run.model.layers.items()},
        "learning_rate": learning_rate(run, learner),
        "seconds": time.perf_counter() - run.started,
        "samples_per_second": sums.n_rows / sums.seconds,
        **run.measured(learner, sums.mean_loss),
    }


def _trainable(model: Autoencoder, stage: Stage, extra: SparseLinear | None) -> list[nn.Parameter]:
    whole = set(stage.layers) == set(model.layers)
    model.requires_grad_(whole)
    if not whole:
        for name, activation in zip(model.layers, model.activations, strict=True):
            if name in stage.layers:
                model.layers[name].requires_grad_(True)
                activation.requires_grad_(True)
        model.extras.requires_grad_(list(model.layers)[-1] in stage.layers)
    parameters = [p for p in model.parameters() if p.requires_grad]
    return parameters if extra is None else [*parameters, *extra.parameters()]


def _learning(layers: dict[str, SparseLinear], extra: SparseLinear | None) -> dict[str, SparseLinear]:
    return layers if extra is None else {**layers, "temporary decoder": extra}


@torch.no_grad()
def _evaluate(run: Run, stage: Stage, source: Source) -> tuple[float, float]:
    """Mean loss over ``source``, without and with the penalties."""
    run.model.eval()
    losses, worth = torch.zeros(2, dtype=torch.float64), 0.0
    world = ops.ranks()
    for batch in batches_of(source, run.config.batch_size, seed=0):
        given: Any = run.corruption.whole(batch)
        given = portions(given) if isinstance(given, JointGiven) else given
        found = torch.stack(objective_of(run, stage, None, given)).double().cpu()
        if not world.void:
            losses += found * given.rows_worth
            worth += given.rows_worth
    loss, objective, worth = world.sum(torch.cat([losses, losses.new_tensor([worth])])).tolist()
    return loss / (worth or 1.0), objective / (worth or 1.0)

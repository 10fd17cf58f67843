"""fit -> run_stage -> run_epoch -> train_step, each one level down."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dsae import ops
from dsae.config import TrainConfig
from dsae.data import ArraySource
from dsae.nn import LOSSES, Autoencoder, SparseLinear
from dsae.shrink import Clock, DropZeros
from dsae.train._interrupt import Interrupt
from dsae.train._optim import SparseAdam, swap_parameter
from dsae.train._progress import ProgressLine
from dsae.train._sensitivity import Sensitivity
from dsae.train._stages import Stage

_WARM_UP = 0.05  # of the steps of a stage


def fit(
    model: Autoencoder,
    source: ArraySource,
    stages: Sequence[Stage],
    config: TrainConfig,
    seed: int = 0,
    validation: ArraySource | None = None,
    verbose: int = 0,
    observer: Sensitivity | None = None,
    watch: Watch | None = None,
) -> list[dict[str, Any]]:
    """Train ``model`` in place.

    Parameters
    ----------
    model : Autoencoder
    source : ArraySource
    stages : sequence of Stage
    config : TrainConfig
    seed : int
        Shuffles the rows.
    validation : ArraySource, optional
        Its loss decides when to stop early and which weights are kept.
    verbose : int
        0 is silent.
    observer : Sensitivity, optional
        Sees the model after every epoch in which the network as a whole was trained.
    watch : Watch, optional
        Is told of every epoch, and may end the training.

    Returns
    -------
    list of dict
        One JSON-able row per epoch.

    Raises
    ------
    FloatingPointError
        If the loss is no longer a number.
    """
    steps_per_epoch = math.ceil(len(source) / config.batch_size)
    n_steps = sum(stage.epochs for stage in stages) * steps_per_epoch
    with Interrupt() as interrupt, ProgressLine(n_steps, verbose) as progress:
        run = _Run(model, source, config, seed, validation, interrupt, progress, steps_per_epoch, observer, watch)
        for stage in stages:
            _run_stage(run, stage)
            if interrupt.asked:
                warnings.warn(
                    f"Training was interrupted in epoch {len(run.history)}, stage '{stage.name}'; the model keeps its "
                    f"best weights so far, at density {model.density:.4g}.",
                    RuntimeWarning,
                    stacklevel=3,
                )
                break
            if run.stopped:
                break
    model.eval()
    return run.history


@dataclass(frozen=True)
class Watch:
    """Who is told when an epoch begins and, with the history, when it has ended; true asks for no more of them."""

    begin: Callable[[], object]
    end: Callable[[list[dict[str, Any]]], bool]


@dataclass
class _Run:
    model: Autoencoder
    source: ArraySource
    config: TrainConfig
    seed: int
    validation: ArraySource | None
    interrupt: Interrupt
    progress: ProgressLine
    steps_per_epoch: int
    observer: Sensitivity | None = None
    watch: Watch | None = None
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)


@dataclass
class _Patience:
    """The best weights by validation loss, penalties included, and how long ago they were found."""

    tol: float
    best: float = math.inf
    epochs_since: int = 0
    weights: dict[str, Any] | None = None

    def see(self, loss: float, model: Autoencoder) -> None:
        self.epochs_since = 0 if loss < self.best * (1 - self.tol) else self.epochs_since + 1
        if loss < self.best:
            self.best, self.weights = loss, copy.deepcopy(model.state_dict())


def _run_stage(run: _Run, stage: Stage) -> None:
    layers = {name: run.model.layers[name] for name in stage.layers}
    extra = _temporary_decoder(layers[stage.layers[0]], run.seed) if stage.temporary_decoder else None
    parameters = _trainable(run.model, stage, extra)
    optimizer = SparseAdam(_learning(layers, extra), parameters)
    patience = _Patience(run.config.tol)
    n_steps = stage.epochs * run.steps_per_epoch
    for epoch in range(stage.epochs):
        if run.watch is not None:
            run.watch.begin()
        row = _run_epoch(run, stage, layers, extra, optimizer, epoch * run.steps_per_epoch, n_steps)
        settled = (epoch + 1) / stage.epochs >= stage.last_rewiring
        if run.validation is not None and not stage.temporary_decoder:
            row["validation_loss"], objective = _evaluate(run, stage, run.validation)
            if settled:
                patience.see(objective, run.model)
        run.history.append(row)
        run.progress.epoch(stage.name, row)
        if run.observer is not None and not stage.temporary_decoder:
            run.observer.see(run.model)
        run.stopped = run.watch is not None and run.watch.end(run.history)
        if run.stopped or run.interrupt.asked or patience.epochs_since >= run.config.n_iter_no_change:
            break
    if patience.weights is not None:
        run.model.load_state_dict(patience.weights)
    if any(isinstance(shrinker, DropZeros) for shrinker in stage.shrinkers):
        for name, rewiring in DropZeros.zeros(layers).items():
            layers[name].rewire(rewiring)
    run.model.requires_grad_(True)


def _run_epoch(
    run: _Run,
    stage: Stage,
    layers: dict[str, SparseLinear],
    extra: SparseLinear | None,
    optimizer: SparseAdam,
    step: int,
    n_steps: int,
) -> dict[str, Any]:
    run.model.train()
    begun, total, n_seen = time.perf_counter(), 0.0, 0
    for batch in run.source.batches(run.config.batch_size, seed=run.seed + len(run.history)):
        step += 1
        x = ops.rows_of(batch)
        clock = Clock(step, n_steps, run.steps_per_epoch)
        optimizer.set_rate(_rate(run.config.learning_rate_init, clock))
        loss = _train_step(run, stage, layers, extra, optimizer, x, clock)
        total, n_seen = total + loss * x.shape[0], n_seen + x.shape[0]
        run.progress.step()
        if run.interrupt.asked:
            break
    now = time.perf_counter()
    return {
        "stage": stage.name,
        "epoch": len(run.history) + 1,
        "loss": total / n_seen,
        "density": run.model.density,
        "densities": {name: layer.density for name, layer in run.model.layers.items()},
        "learning_rate": _rate(run.config.learning_rate_init, clock),
        "seconds": now - run.started,
        "samples_per_second": n_seen / (now - begun),
    }


def _train_step(
    run: _Run,
    stage: Stage,
    layers: dict[str, SparseLinear],
    extra: SparseLinear | None,
    optimizer: SparseAdam,
    x: Tensor | ops.SparseRows,
    clock: Clock,
) -> float:
    optimizer.zero_grad()
    loss, objective = _objective(run, stage, extra, x)
    value = loss.item()
    if not math.isfinite(objective.item()):
        raise FloatingPointError(
            f"[fit] The loss became {objective.item()} at step {clock.step} of stage '{stage.name}', "
            f"epoch {len(run.history) + 1}. Lower learning_rate_init (now {run.config.learning_rate_init:g}), "
            "set scale=True if features differ in scale, or lower l2 and contractive."
        )
    objective.backward()
    optimizer.step()
    for shrinker in stage.shrinkers:
        shrinker.prox(layers, optimizer.rates())
    for shrinker in stage.shrinkers:
        for name, rewiring in shrinker.rewire(layers, clock).items():
            swap_parameter(optimizer, layers[name], rewiring)
            for other in stage.shrinkers:
                other.moved(name, rewiring)
    return value


def _objective(
    run: _Run, stage: Stage, extra: SparseLinear | None, x: Tensor | ops.SparseRows
) -> tuple[Tensor, Tensor]:
    """The loss as it is reported, and with the penalties."""
    if extra is not None:
        loss = _layer_loss(run.model, stage.layers[0], extra, x)
        return loss, loss
    trace = run.model.trace(x)
    loss = LOSSES[run.config.loss](trace)
    return loss, loss + sum(shrinker.penalty(run.model, trace) for shrinker in stage.shrinkers)


def _layer_loss(model: Autoencoder, name: str, decoder: SparseLinear, x: Tensor | ops.SparseRows) -> Tensor:
    names = model.names("encoder")
    at = names.index(name)
    with torch.no_grad():
        z = model.enter(model.centred(x))
        if at:
            z = model.steps(names[:at], z, x.shape[0])[-1][1]
    ((_, h),) = model.steps([name], z, x.shape[0])
    if isinstance(z, ops.SparseRows):
        return decoder.loss(h, z, "mse")
    back = decoder(h)
    if back.ndim == 3:
        back, z = ops.unpack(back, x.shape[0]), ops.unpack(z, x.shape[0])
    return nn.functional.mse_loss(back, z)


def _temporary_decoder(layer: SparseLinear, seed: int) -> SparseLinear:
    generator = torch.Generator().manual_seed(seed)
    topology = layer.topology.transpose[0]
    return SparseLinear(layer.out_features, layer.in_features, topology=topology, generator=generator)


def _trainable(model: Autoencoder, stage: Stage, extra: SparseLinear | None) -> list[nn.Parameter]:
    model.requires_grad_(False)
    for name, activation in zip(model.layers, model.activations, strict=True):
        if name in stage.layers:
            model.layers[name].requires_grad_(True)
            activation.requires_grad_(True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    return parameters if extra is None else [*parameters, *extra.parameters()]


def _learning(layers: dict[str, SparseLinear], extra: SparseLinear | None) -> dict[str, SparseLinear]:
    return layers if extra is None else {**layers, "temporary decoder": extra}


def _rate(initial: float, clock: Clock) -> float:
    """Linear warm-up, then a cosine down to zero; layers that start sparse would not survive large first steps."""
    warm = min(1.0, clock.step / (_WARM_UP * clock.n_steps))
    return 0.5 * initial * warm * (1 + math.cos(math.pi * (clock.step - 1) / clock.n_steps))


@torch.no_grad()
def _evaluate(run: _Run, stage: Stage, source: ArraySource) -> tuple[float, float]:
    """Mean loss over ``source``, without and with the penalties."""
    run.model.eval()
    losses = torch.zeros(2, dtype=torch.float64)
    for batch in source.batches(run.config.batch_size, seed=0):
        parts = _objective(run, stage, None, ops.rows_of(batch))
        losses += torch.stack(parts).double() * batch.shape[0]
    loss, objective = (losses / len(source)).tolist()
    return loss, objective

"""Training that continues as more data arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dsae.config import LOSSES, AutoencoderConfig, TrainConfig, has_exposure, whole_number
from dsae.data import Source, as_source, entering_moments
from dsae.nn import Autoencoder, target_nnz
from dsae.store import Model
from dsae.train._calibrate import calibrate
from dsae.train._checkpoint import restoring
from dsae.train._corrupt import check_corruption
from dsae.train._device import device_of, plain_torch
from dsae.train._events import Events, TrainingResult
from dsae.train._fit import _scale, target_moments, variance_of
from dsae.train._loop import REMEDY, learn
from dsae.train._sensitivity import Sensitivity
from dsae.train._stages import open_ended
from dsae.train._start import inputs_of, start_extras, start_model

_ENOUGH = 256  # rows; the mean number of latents of fewer says less than what training has seen
_DECIDES = ("shrink", "l1", "l2", "contractive", "matryoshka", "target_rate")


@plain_torch()
def learn_rows(
    X: Any,
    model_config: AutoencoderConfig,
    config: TrainConfig,
    start: Model | None = None,
    seed: int = 0,
    verbose: int = 0,
    device: str = "auto",
    events: Events | None = None,
) -> TrainingResult:
    """Take the rows of ``X`` into a model, once each.

    Parameters
    ----------
    X : Source, ndarray or csr_matrix of float32, shape (n_samples, n_features)
    model_config, config
        Architecture and settings.
    start : Model, optional
        What to go on from: with the optimiser's state where it has `Model.learning`, else from its weights alone.
    seed : int
        For the first rows; later ones go on with the model's.
    verbose : int
    device : {"auto", "cpu", "cuda"}
        As in `fit_rows`.
    events : Events, optional
        Notified of steps, and of the whole pass as one epoch.

    Returns
    -------
    TrainingResult
        Its model has `Model.learning`, from which the next rows go on.
    """
    if start is not None and start.config.layer_shapes != model_config.layer_shapes:
        raise ValueError(
            f"[partial_fit] The model must have the layers {model_config.layer_shapes}; got "
            f"{start.config.layer_shapes}. Give the same widths, or train a new model."
        )
    source = as_source("partial_fit", X, missing=model_config.missing)
    check_corruption("partial_fit", config, model_config.input_transform, source)
    settings = {name: getattr(config, name) for name in _DECIDES}
    settings["matryoshka"] = list(config.matryoshka)  # as it comes back from a file
    extras = {extra.name for extra in LOSSES[config.loss].extras}
    if start is None or start.learning is None or start.config != model_config or extras != set(start.extras):
        at = _begun(source, model_config, config, start, seed)
    else:
        with restoring("[partial_fit] The model to continue from is damaged", REMEDY):
            at = _taken_up(start, start.learning, settings)
    at.model.to(device_of(device, model_config))
    stage = open_ended(model_config, config, target_nnz(model_config), at.seed)
    observer = Sensitivity(
        source, at.deviation, config.batch_size, at.seed, None if start is None else start.importance
    )
    history = [] if start is None else list(start.history)
    beside = (observer, verbose, at.state, events, variance_of(at.model, at.aimed, config), at.deviation)
    state, interrupted = learn(at.model, source, stage, config, at.seed, history, *beside)
    if len(source) >= _ENOUGH:  # the state, which later rows go on from, keeps the thresholds of training
        calibrate(at.model, source, config.batch_size, at.seed)
    seen = None
    if model_config.missing == "mask":
        seen = inputs_of(source, at.model.stand_in.cpu().numpy(), None if start is None else start.inputs)
    model = Model(
        model_config,
        at.model.to_layers(),
        at.model.threshold(),
        history=history,
        importance=observer.of(at.model),
        extras=at.model.to_extras(),
        inputs=seen,
        learning={**state, "seed": at.seed, "settings": settings, "deviation": at.deviation, "aimed": at.aimed},
    )
    result = TrainingResult(model, history, interrupted)
    if events is not None:
        events.on_epoch(history[-1], lambda: result)
    return result


@dataclass(frozen=True)
class _At:
    """Where a model is before it sees more rows."""

    model: Autoencoder
    seed: int
    deviation: np.ndarray
    aimed: np.ndarray  # deviation of what is predicted
    state: Mapping[str, Any] | None


def _begun(source: Source, model_config: AutoencoderConfig, config: TrainConfig, start: Model | None, seed: int) -> _At:
    mean, deviation = source.moments()
    layers = threshold = None
    if start is not None:
        layers = start.layers
        threshold = start.threshold if start.config.code_activation == model_config.code_activation else None
    at_once = config if config.shrink == "none" else replace(config, shrink="random")  # at the final density
    transform = model_config.input_transform, model_config.input_total, LOSSES[config.loss].exposure
    entering = entering_moments(source, *transform)
    moments = (entering[0], _scale(*entering, config))
    generator = torch.Generator().manual_seed(seed)
    aimed = target_moments(source)
    output = None if aimed is None else (aimed[0], _scale(*aimed, config))
    model = start_model(model_config, at_once, generator, moments, layers, threshold, mean, source, output)
    start_extras(model, LOSSES[config.loss], aimed or (mean, deviation), {} if start is None else start.extras)
    return _At(model, seed, deviation, deviation if aimed is None else aimed[1], None)


def _taken_up(start: Model, learning: Mapping[str, Any], settings: Mapping[str, Any]) -> _At:
    seed, config = whole_number("seed", learning["seed"], 2**31), start.config
    for name, width in (("deviation", config.n_features), ("aimed", config.output_width)):
        if learning[name].dtype != np.float32 or learning[name].shape != (width,):
            raise ValueError(f"{name} must be float32 of shape ({width},)")
    model = Autoencoder(start.config, torch.Generator().manual_seed(seed))
    model.fills_by_total = has_exposure(start.training.get("loss"))
    model.set_layers(start.layers)
    model.set_extras(start.extras)
    if start.inputs is not None:
        model.stand_in.copy_(torch.from_numpy(start.inputs.mean))
    same = learning["settings"] == settings
    state = learning if same else {**learning, "shrinkers": None}
    return _At(model, seed, learning["deviation"], learning["aimed"], state)

"""From checked rows and settings to a trained model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dsae import ops
from dsae.config import LOSSES, AutoencoderConfig, TrainConfig
from dsae.data import IteratorSource, Source, as_source, entering_moments
from dsae.nn import Autoencoder, target_nnz
from dsae.store import Model
from dsae.train._calibrate import calibrate
from dsae.train._checkpoint import Checkpoints, fingerprint, identity
from dsae.train._corrupt import check_corruption
from dsae.train._device import device_of, plain_torch
from dsae.train._events import Events, TrainingResult
from dsae.train._loop import fit
from dsae.train._sensitivity import Sensitivity
from dsae.train._shares import agree_on_run, check_rows
from dsae.train._stages import joint, stagewise
from dsae.train._start import inputs_of, start_extras, start_model
from dsae.train._world import World

_PLANS = {"joint": joint, "stagewise": stagewise}


@plain_torch()
def fit_rows(
    X: Any,
    model_config: AutoencoderConfig,
    config: TrainConfig,
    start: Model | None = None,
    seed: int = 0,
    verbose: int = 0,
    checkpoints: Checkpoints | None = None,
    device: str = "auto",
    validation: Any = None,
    events: Events | None = None,
    importance: bool = True,
) -> TrainingResult:
    """Train a model of ``model_config`` on the rows of ``X``.

    Parameters
    ----------
    X : Source, ndarray or csr_matrix of float32, shape (n_samples, n_features)
    model_config, config
        Architecture and settings.
    start : Model, optional
        Whose weights to start from; its threshold counts where the code activation is the same, and its importance,
        where it has one, continues from there.
    seed : int
    verbose : int
    checkpoints : Checkpoints, optional
        Where an unfinished run of the same settings and data is taken up, and where this one is kept.
    device : {"auto", "cpu", "cuda"}
        ``auto`` is cuda where there is one and the network has 2^20 possible weights.
    validation : the same as ``X``, optional
        Rows whose loss ends training early, in the place of a random share of ``X``.
    events : Events, optional
        Notified of steps and epochs; may end the training.
    importance : bool
        Whether to measure that of the inputs, which takes a few percent of the steps.

    Returns
    -------
    TrainingResult
    """
    at = device_of(device, model_config)
    missing = model_config.missing
    training, given = as_source("fit", X, missing=missing), validation is not None
    check_rows(training)
    if given:
        validation = as_source("fit", validation, missing=missing)
    elif config.early_stopping:
        training, validation = training.split(config.validation_fraction, seed)
    generator = torch.Generator().manual_seed(seed)
    layers = threshold = earlier = None
    if start is not None:
        if start.config.layer_shapes != model_config.layer_shapes:
            raise ValueError(
                f"[fit] The model to start from (init or warm_start) must have the layers {model_config.layer_shapes}; "
                f"got {start.config.layer_shapes}. Give the same widths, or train a new model."
            )
        layers, earlier = start.layers, start.importance
        threshold = start.threshold if start.config.code_activation == model_config.code_activation else None
    check_corruption("fit", config, model_config.input_transform, training)
    mean, deviation = training.moments()
    transform = model_config.input_transform, model_config.input_total, LOSSES[config.loss].exposure
    entering = entering_moments(training, *transform)
    moments = entering[0], _scale(*entering, config)
    aimed = target_moments(training)
    output = None if aimed is None else (aimed[0], _scale(*aimed, config))
    model = start_model(model_config, config, generator, moments, layers, threshold, mean, training, output)
    start_extras(model, LOSSES[config.loss], aimed or (mean, deviation), {} if start is None else start.extras)
    model = model.to(at)
    stages = _PLANS[config.schedule](model_config, config, target_nnz(model_config), seed)
    observer = Sensitivity(training, deviation, config.batch_size, seed, earlier) if importance else None
    if checkpoints is not None or isinstance(ops.ranks(), World):
        data = {} if isinstance(training, IteratorSource) else fingerprint(training, (mean, deviation))
        if given:
            data["validation"] = fingerprint(validation, validation.moments())["sha256"]
        run = identity(model_config, config, seed, start, data)
        agree_on_run(run)
        if checkpoints is not None:
            checkpoints.open(run)

    seen = inputs_of(training, mean) if missing == "mask" else None

    def trained(ended: bool = False) -> Model:
        layers, extras = model.to_layers(), model.to_extras()
        together = ended or ops.ranks().size == 1  # events are those of one rank
        measured = None if observer is None else observer.of(model) if together else observer.importance
        return Model(model_config, layers, model.threshold(), importance=measured, extras=extras, inputs=seen)

    variance = variance_of(model, deviation if aimed is None else aimed[1], config)
    how = (validation, verbose, observer, checkpoints, events, trained, variance, deviation)
    told = fit(model, training, stages, config, seed, *how)
    calibrate(model, training, config.batch_size, seed)
    return TrainingResult(trained(ended=True), *told)


def target_moments(source: Source) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and deviation of what is predicted, if it is not the rows themselves and more than its batches is known."""
    return source.target_moments() if hasattr(source, "target_moments") else None  # pyright: ignore


def variance_of(model: Autoencoder, deviation: np.ndarray, config: TrainConfig) -> float | None:
    """Mean variance of the features in the units of a squared error; None for other losses."""
    if config.loss != "mse":
        return None
    units = model.target_scale.cpu().numpy() if model.config.output.linear else 1.0
    return float(np.mean(np.square(deviation / units, dtype=np.float64)))


def _scale(mean: np.ndarray, deviation: np.ndarray, config: TrainConfig) -> np.ndarray:
    if not config.scale:
        # rates are exp(z): their logarithms need no unit, and another one for the input would part encoder and decoder
        return np.full_like(mean, 1.0 if LOSSES[config.loss].counts else _common_unit(deviation))
    varies = deviation > 1e-6 * np.abs(mean)  # below that it is rounding
    usual = np.median(deviation[varies]) if varies.any() else 1
    return np.where(varies, deviation, usual).astype(np.float32)


def _common_unit(deviation: np.ndarray) -> float:
    """The power of 100 nearest to the spread of the data: Adam's steps and initial weights suit data near one."""
    spread = np.sqrt(np.mean(np.square(deviation, dtype=np.float64)))
    return float(np.float32(100.0 ** np.round(np.log10(spread) / 2))) if spread > 0 else 1.0

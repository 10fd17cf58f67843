"""From rows of several modalities to a trained joint model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsae import ops
from dsae.config import LOSSES, AutoencoderConfig, JointConfig, TrainConfig
from dsae.data import ArraySource, JointSource, entering_moments
from dsae.nn import Autoencoder, Joint, JointGiven, JointTrace, joint_nnz
from dsae.store import JointModel, Model
from dsae.train._checkpoint import Checkpoints, identity, joint_fingerprint
from dsae.train._corrupt import check_corruption
from dsae.train._device import device_of, plain_torch
from dsae.train._events import Events, TrainingResult
from dsae.train._loop import fit
from dsae.train._shares import agree_on_run, check_rows
from dsae.train._stages import side_by_side
from dsae.train._start import start_extras, start_model
from dsae.train._world import World

MOMENTS = ("mean", "scale", "target_mean", "target_scale")
"""The buffers of an autoencoder by which its rows are centred and scaled."""
_SAMPLE = 512  # rows that tell how large a loss is at the start


@plain_torch()
def fit_joint(
    source: JointSource,
    model_config: JointConfig,
    config: TrainConfig,
    start: JointModel | None = None,
    seed: int = 0,
    verbose: int = 0,
    checkpoints: Checkpoints | None = None,
    device: str = "auto",
    validation: JointSource | None = None,
    events: Events | None = None,
) -> TrainingResult:
    """Train a joint model on rows of several modalities.

    Parameters
    ----------
    source : JointSource
        With all modalities, in the order of ``model_config``.
    model_config, config
        Architecture and settings; the losses are those of ``model_config``.
    start : JointModel, optional
        Whose weights to start from.
    seed, verbose, checkpoints, device, events
        As in `fit_rows`.
    validation : JointSource, optional
        Rows whose loss ends training early, in the place of a random share of ``source``.

    Returns
    -------
    TrainingResult
        Its model is a `dsae.store.JointModel`.
    """
    at, given = device_of(device, model_config), validation is not None
    training = source
    check_rows(training)
    if not given and config.early_stopping:
        training, validation = source.split(config.validation_fraction, seed)
    begun = JointStart.of(training, model_config, config, start, seed)
    model = begun.model.to(at)
    if checkpoints is not None or isinstance(ops.ranks(), World):
        data = joint_fingerprint(training, begun.moments)
        if validation is not None and given:
            data["validation"] = joint_fingerprint(validation, {})["sha256"]
        run = identity(model_config, config, seed, start, data)
        agree_on_run(run)
        if checkpoints is not None:
            checkpoints.open(run)
    stages = side_by_side(model_config, config, joint_nnz(model_config), seed)

    def trained() -> JointModel:
        return replace(as_model(model), learning=begun.kept())

    how = (validation, verbose, None, checkpoints, events, trained, None, begun.deviations)
    told = fit(model, training, stages, config, seed, *how)  # type: ignore[arg-type]
    return TrainingResult(trained(), *told)


def as_model(model: Joint) -> JointModel:
    """Weights in plain arrays; the models of the modalities have the joint code's activation."""
    config = model.config
    models = {
        name: Model(config.modalities[name], model.of(name).to_layers(), extras=model.of(name).to_extras())
        for name in config.names
    }
    weights = model.log_weight.detach().exp().cpu().numpy()
    return JointModel(config, models, dict(zip(config.names, weights.copy(), strict=True)))


@dataclass(frozen=True)
class JointStart:
    """A model before its first step, and the moments of every modality."""

    model: Joint
    moments: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def deviations(self) -> dict[str, np.ndarray]:
        """Standard deviation of every feature, by modality."""
        return {name: deviation for name, (_, deviation) in self.moments.items()}

    def kept(self) -> dict[str, Any]:
        """What more rows are measured by, in which a modality may be absent: see `dsae.train.learn_joint`."""
        buffers = {
            name: {each: getattr(self.model.of(name), each).cpu().numpy().copy() for each in MOMENTS}
            for name in self.model.config.names
        }
        return {"factors": self.model.factors, "deviations": self.deviations, "moments": buffers}

    @classmethod
    def of(
        cls, source: JointSource, config: JointConfig, train: TrainConfig, start: JointModel | None, seed: int
    ) -> JointStart:
        models, moments, factors = {}, {}, {}
        for i, name in enumerate(config.names):
            own, loss = config.modalities[name], (config.losses or {})[name]
            rows = source.of(name)
            check_corruption("fit", config.corrupting(name, train), own.input_transform, rows, name)
            moments[name] = rows.moments()
            earlier = None if start is None else start.models[name]
            settings, seed_of_part = replace(train, loss=loss), seed + i
            models[name] = _started(rows, own, settings, moments[name], earlier, seed_of_part)
            factors[name] = (config.weights or {})[name] / _size(models[name], rows, loss)
        model = Joint(config, models, factors)
        if start is not None:
            weight = np.stack([start.weight[name] for name in config.names])
            with torch.no_grad():
                model.log_weight.copy_(torch.from_numpy(np.log(weight)))
        return cls(model, moments)


def _started(
    rows: ArraySource,
    config: AutoencoderConfig,
    train: TrainConfig,
    moments: tuple[np.ndarray, np.ndarray],
    start: Model | None,
    seed: int,
) -> Autoencoder:
    """One modality's network before its first step."""
    entering = entering_moments(rows, config.input_transform, config.input_total)
    scaled = entering[0], _scale(*entering, train)
    generator = torch.Generator().manual_seed(seed)
    layers, extras = (None, {}) if start is None else (start.layers, start.extras)
    model = start_model(linear(config), train, generator, scaled, layers, None, moments[0])
    start_extras(model, LOSSES[train.loss], moments, extras)
    return model


def linear(config: AutoencoderConfig) -> AutoencoderConfig:
    """The same with a linear code: in training the activation belongs to the joint code."""
    return config.replace(code_activation="identity", k=None)


def _scale(mean: np.ndarray, deviation: np.ndarray, config: TrainConfig) -> np.ndarray:
    """To unit root mean square over all columns, or unit variance of each, whatever the units."""
    rms = float(np.sqrt(np.mean(np.square(deviation, dtype=np.float64)))) or 1.0
    if not config.scale:
        return np.full_like(mean, rms)
    varies = deviation > 1e-6 * np.abs(mean)  # below that it is rounding
    return np.where(varies, deviation, np.median(deviation[varies]) if varies.any() else 1).astype(np.float32)


@torch.no_grad()
def _size(model: Autoencoder, rows: ArraySource, loss: str) -> float:
    """How large the loss of rows is that are predicted by their mean; 1 of squared errors, whose rows have unit RMS."""
    if loss == "mse" and model.config.output.linear:
        return 1.0
    some = rows.sample(_SAMPLE, np.random.default_rng(0)).rows
    code: Tensor = torch.zeros(some.shape[0], model.config.n_components)
    given = ops.given_of(some)
    alone = Joint(JointConfig({"x": model.config}, {"x": loss}), {"x": model})
    size = float(JointTrace(alone, JointGiven({"x": given}, {}, {}, some.shape[0]), code).losses["x"])
    return size if size > 0 and np.isfinite(size) else 1.0

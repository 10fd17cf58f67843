"""Training of a joint model that continues as more data arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dsae.config import JointConfig, TrainConfig, whole_number
from dsae.data import JointSource
from dsae.nn import Autoencoder, Joint, joint_nnz
from dsae.store import JointModel
from dsae.train._checkpoint import restoring
from dsae.train._device import device_of, plain_torch
from dsae.train._events import Events, TrainingResult
from dsae.train._joint import MOMENTS, JointStart, as_model, linear
from dsae.train._loop import REMEDY, learn
from dsae.train._stages import open_ended

_DECIDES = ("shrink", "l1", "l2", "target_rate")


@plain_torch()
def learn_joint(
    source: JointSource,
    model_config: JointConfig,
    config: TrainConfig,
    start: JointModel | None = None,
    seed: int = 0,
    verbose: int = 0,
    device: str = "auto",
    events: Events | None = None,
) -> TrainingResult:
    """Take rows of several modalities into a joint model, once each; see `learn_rows`.

    Returns
    -------
    TrainingResult
        Its model has `JointModel.learning`, from which the next rows go on.

    Raises
    ------
    ValueError
        If a modality is absent from the first rows of a model, or of one that was kept without `JointModel.learning`.
    """
    settings = {name: getattr(config, name) for name in _DECIDES}
    if start is None or start.learning is None or start.config != model_config:
        at = _begun(source, model_config, config, start, seed)
    else:
        with restoring("[partial_fit] The model to continue from is damaged", REMEDY):
            at = _taken_up(start, start.learning, settings, seed)
    model = at.model.to(device_of(device, model_config))
    stage = open_ended(model_config, config, joint_nnz(model_config), at.seed)
    history = [] if start is None else list(start.history)
    beside = (None, verbose, at.state, events, None, at.deviations)
    state, interrupted = learn(model, source, stage, config, at.seed, history, *beside)  # type: ignore
    kept = {"seed": at.seed, "settings": settings, "factors": model.factors, "deviations": at.deviations}
    result = TrainingResult(replace(as_model(model), history=history, learning={**state, **kept}), history, interrupted)
    if events is not None:
        events.on_epoch(history[-1], lambda: result)
    return result


@dataclass(frozen=True)
class _At:
    """Where a model is before it sees more rows."""

    model: Joint
    seed: int
    deviations: dict[str, np.ndarray]
    state: Mapping[str, Any] | None


def _begun(source: JointSource, config: JointConfig, train: TrainConfig, start: JointModel | None, seed: int) -> _At:
    for name in config.names:
        if name not in source.parts:
            raise ValueError(
                f"[partial_fit] The first rows must have every modality, by which it is scaled; {name!r} is absent."
            )
    at_once = train if train.shrink == "none" else replace(train, shrink="random")  # at the final density
    begun = JointStart.of(source, config, at_once, start, seed)
    return _At(begun.model, seed, begun.deviations, None)


def _taken_up(start: JointModel, learning: Mapping[str, Any], settings: Mapping[str, Any], seed: int) -> _At:
    """After rows that were learned, or after `fit`, which keeps no more than what rows are measured by."""
    config, goes_on = start.config, "learner" in learning
    if goes_on:
        seed = whole_number("seed", learning["seed"], 2**31)
    deviations = dict(learning["deviations"])
    factors = {name: float(learning["factors"][name]) for name in config.names}
    if not all(np.isfinite(factor) and factor > 0 for factor in factors.values()):
        raise ValueError("factors must be positive")
    models = {}
    for name, of in config.modalities.items():
        if deviations[name].dtype != np.float32 or deviations[name].shape != (of.n_features,):
            raise ValueError(f"deviation of {name} must be float32 of shape ({of.n_features},)")
        models[name] = Autoencoder(linear(of), torch.Generator().manual_seed(seed))
        if not goes_on:
            _measure(models[name], name, learning["moments"][name])
        models[name].set_layers(start.models[name].layers)
        models[name].set_extras(start.models[name].extras)
    model = Joint(config, models, factors)
    with torch.no_grad():
        model.log_weight.copy_(torch.from_numpy(np.log(np.stack([start.weight[name] for name in config.names]))))
    if not goes_on:
        return _At(model, seed, deviations, None)
    same = learning["settings"] == settings
    return _At(model, seed, deviations, learning if same else {**learning, "shrinkers": None})


def _measure(model: Autoencoder, name: str, moments: Mapping[str, Any]) -> None:
    """Centre and scale as `fit` did."""
    for each in MOMENTS:
        buffer, values = getattr(model, each), moments[each]
        if values.dtype != np.float32 or values.shape != tuple(buffer.shape):
            raise ValueError(f"{each} of {name} must be float32 of shape {tuple(buffer.shape)}")
        if "scale" in each and not (values > 0).all():
            raise ValueError(f"{each} of {name} must be positive")
        buffer.copy_(torch.from_numpy(values))

"""Between an estimator's parameters and the joint model that is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from numbers import Integral
from typing import Any

import numpy as np

from dsae import store
from dsae.config import TrainConfig, loss_of, plain
from dsae.data import JointSource
from dsae.estimators._training import appended
from dsae.runtime import JointRuntime

_NAMES = tuple(choice.name for choice in fields(TrainConfig))


def describing(
    settings: TrainConfig,
    source: JointSource,
    encoders: Mapping[str, Any],
    random_state: Any,
    earlier: Sequence[dict[str, Any]] = (),
) -> Callable[[Any], store.JointModel]:
    """What makes the model that is kept of a training's result.

    Parameters
    ----------
    settings : TrainConfig
    source : JointSource
        The rows of training, whose columns have names.
    encoders : mapping of str to encoder
        The fitted ones, by modality.
    random_state
        As the estimator's parameter.
    earlier : sequence of dict
        The history of the fit that this one continues.
    """
    training = {name: value for name, value in asdict(settings).items() if name != "loss"}
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        training["random_state"] = int(random_state)
    texts = {name: encoder.to_json() for name, encoder in encoders.items()}
    names = {name: part.column_names for name, part in source.parts.items()}

    def described(result: Any) -> store.JointModel:
        model: store.JointModel = result.model
        models, totals = {}, {}
        for name, of in model.models.items():
            loss = (model.config.losses or {})[name]
            hidden = model.config.corrupting(name, settings)
            own = {**training, "loss": loss, "noise": hidden.noise, "mask": hidden.mask, "emphasis": hidden.emphasis}
            columns = names[name]
            feature_names = None if columns is None else list(columns)
            models[name] = replace(of, training=plain(own), feature_names=feature_names)
            if loss_of(loss).exposure:
                totals[name] = float(source.of(name).moments()[0].sum(dtype=np.float64))
        return replace(
            model,
            models=models,
            totals=totals,
            encoders=texts,
            training=plain(training),
            history=appended(list(earlier), result.history),
        )

    return described


def continued(start: store.JointModel, learned: store.JointModel) -> store.JointModel:
    """A model that learned from more rows, described as it was before."""
    models = {
        name: replace(of, layers=learned.models[name].layers, extras=learned.models[name].extras)
        for name, of in start.models.items()
    }
    return replace(learned, models=models, encoders=start.encoders, totals=start.totals, training=start.training)


def settings_of(given: Mapping[str, Any], model: store.JointModel) -> TrainConfig:
    """Those of training as the parameters now are; what depends on data or is set by modality is as it was."""
    kept = {name: value for name, value in model.training.items() if name in _NAMES}
    own = {
        name: given[name]
        for name in _NAMES
        if name in given and name != "loss" and given[name] != "auto" and not isinstance(given[name], Mapping)
    }
    settings: dict[str, Any] = kept | own
    return TrainConfig(**settings)


def joint_attributes(model: store.JointModel) -> dict[str, Any]:
    """The attributes of a fitted estimator."""
    runtime = JointRuntime(model)
    return {
        "runtime_": runtime,
        "modalities_": model.config.names,
        "encoders_": runtime.encoders if model.encoders else {},
        "density_": model.density,
        "nnz_": model.nnz,
        "history_": model.history,
        "n_iter_": len(model.history),
    }


def described_architecture(model: store.JointModel) -> dict[str, Any]:
    """The parameters that a model's configuration answers to."""
    config = model.config
    of = config.modalities
    first = of[config.names[0]]
    by_modality = ("hidden_layer_sizes", "decoder_layer_sizes", "activation", "output_activation", "density")
    return {
        "n_components": config.n_components,
        "code_activation": config.code_activation,
        "k": config.k,
        "block_size": first.block_size,
        "loss": dict(config.losses or {}),
        "weights": dict(config.weights or {}),
        "modality_dropout": config.modality_dropout,
        **{name: dict(value) for name in ("noise", "mask") if (value := getattr(config, name)) is not None},
        **{name: {each: getattr(own, name) for each, own in of.items()} for name in by_modality},
    }

"""Configurations of model and training from the estimator's parameters, checked against each other and the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import (
    ACTIVATIONS,
    LOSSES,
    TRANSFORMS,
    AutoencoderConfig,
    Loss,
    TrainConfig,
    automatic_epochs,
    automatic_rate,
    automatic_widths,
    did_you_mean,
    listed,
    true_or_false,
)
from dsae.data import ArraySource, Rows

_OF_THE_DATA = ("n_features", "input_total", "n_outputs")
MODEL_FIELDS = tuple(field.name for field in fields(AutoencoderConfig) if field.name not in _OF_THE_DATA)
TRAIN_FIELDS = tuple(field.name for field in fields(TrainConfig))

HIDDEN = (0.0, 0.8)
"""Share of the known values that training hides where others are missing; docs/design/missing.md."""


def configure(parameters: Mapping[str, Any], rows: Rows) -> tuple[AutoencoderConfig, TrainConfig]:
    """The architecture and the training settings that ``parameters`` mean for ``rows``.

    A model whose training continues has an ``input_total`` among them, which is kept.

    Raises
    ------
    ValueError
        If a parameter is invalid, or conflicts with another one or with the rows.
    """
    given = _chosen(parameters, TRAIN_FIELDS, rows.shape)
    if parameters["missing"] == "mask":
        # at use nothing is rescaled
        given |= {"mask": given["mask"] or HIDDEN, "mask_rescale": False}
    automatic = given["max_iter"] == "auto"
    # All other settings are checked first.
    settings: dict[str, Any] = {**given, "max_iter": 1 if automatic else given["max_iter"]}
    train = TrainConfig(**settings)
    chosen = _chosen(_by_loss(parameters, LOSSES[train.loss]), MODEL_FIELDS, rows.shape)
    total = _input_total(chosen["input_transform"], parameters, rows)
    model = AutoencoderConfig(n_features=rows.shape[1], input_total=total, n_outputs=n_outputs(rows), **chosen)
    if automatic:
        n_epochs = automatic_epochs(model, rows.shape[0], _stored(rows), train.batch_size)
        train = replace(train, max_iter=n_epochs)
    true_or_false("warm_start", parameters["warm_start"])
    _check_density(model, train, parameters["density"])
    _check_loss(model, train, rows)
    _check_outputs(model, train)
    _check_code(model, train, parameters["sparse_output"])
    return model, train


def _chosen(parameters: Mapping[str, Any], names: tuple[str, ...], shape: tuple[int, int]) -> dict[str, Any]:
    given = {name: parameters[name] for name in names}
    if isinstance(given.get("hidden_layer_sizes"), str):
        _only_auto("hidden_layer_sizes", given["hidden_layer_sizes"], "widths such as (256, 64)")
        # with holes, a code as wide as the data is no identity
        width = min(given["n_components"], shape[1] - 1) if parameters["missing"] == "mask" else given["n_components"]
        principal = parameters["init_topology"] == "principal"
        given["hidden_layer_sizes"] = () if principal else automatic_widths(shape, width, given["code_activation"])
    if isinstance(given.get("max_iter"), str):
        _only_auto("max_iter", given["max_iter"], "a number of epochs")
    if isinstance(given.get("learning_rate_init"), str):
        _only_auto("learning_rate_init", given["learning_rate_init"], "a number above 0")
        given["learning_rate_init"] = _rate(parameters, shape[1])
    return given


def _rate(parameters: Mapping[str, Any], n_features: int) -> float:
    """That of a dictionary without hidden layers, or that of any other network; invalid values are reported later."""
    code, density = parameters["code_activation"], parameters["density"]
    hidden = [parameters["hidden_layer_sizes"], parameters["decoder_layer_sizes"]]
    deep = any(not isinstance(sizes, str) and sizes is not None and np.size(sizes) for sizes in hidden)
    share = density.get("encoder.0", 1.0) if isinstance(density, Mapping) else density
    usable = isinstance(share, Real) and 0 < float(share) <= 1
    if deep or code not in ACTIVATIONS or not usable:
        return automatic_rate(n_features)
    return automatic_rate(n_features, code, float(share))


def _stored(rows: Any) -> float:
    """Mean number of values of a row that are stored; of a stream, of its first rows."""
    some = rows.X if isinstance(rows, ArraySource) else next(iter(rows.batches(256))).rows
    return some.nnz / max(some.shape[0], 1) if sp.issparse(some) else some.shape[1]


def _by_loss(parameters: Mapping[str, Any], loss: Loss) -> dict[str, Any]:
    """With what is not given as the loss needs it; the squared error leaves the output linear."""
    own = {"output_activation": loss.link, "input_transform": loss.transform}
    return {**parameters, **{name: value for name, value in own.items() if parameters[name] == "auto"}}


def _input_total(transform: Any, parameters: Mapping[str, Any], rows: Any) -> float:
    """The mean total of the rows, which is the sum of the features' means."""
    if transform not in TRANSFORMS or not TRANSFORMS[transform].by_total:
        return 0.0
    kept = parameters.get("input_total", 0.0)
    return kept or float(rows.moments()[0].sum(dtype=float)) or 1.0  # rows without a count are refused later


def _only_auto(name: str, value: str, else_: str) -> None:
    if value != "auto":
        raise ValueError(f"{name} must be {else_}, or 'auto'; got {value!r}.{did_you_mean(value, ('auto',))}")


def n_outputs(rows: Any) -> int | None:
    """Columns of what is predicted, if that is not the rows themselves and known before their batches."""
    if hasattr(rows, "target"):
        return None if rows.target is None else rows.target.shape[1]
    aimed = rows.target_moments() if hasattr(rows, "target_moments") else None
    return None if aimed is None else aimed[0].size


def _check_outputs(model: AutoencoderConfig, train: TrainConfig) -> None:
    if model.n_outputs is None:
        return
    if train.init_topology != "random":
        raise ValueError(
            f"[fit] init_topology={train.init_topology!r} needs a target of the features of X, {model.n_features}; got "
            f"{model.n_outputs} columns. Leave it at 'random'."
        )
    if train.schedule == "stagewise" and not model.output.linear:
        raise ValueError(
            f"[fit] schedule='stagewise' needs output_activation='identity' where the target has other columns than X; "
            f"got {model.output_activation!r}. Use schedule='joint'."
        )


def _check_density(model: AutoencoderConfig, train: TrainConfig, given: Any) -> None:
    densities = model.density.values() if isinstance(model.density, Mapping) else (model.density,)
    if train.shrink == "none" and any(density != 1 for density in densities):
        raise ValueError(f"shrink='none' keeps every weight and needs density=1.0; got density={given!r}.")


def _check_loss(model: AutoencoderConfig, train: TrainConfig, rows: Rows) -> None:
    loss = LOSSES[train.loss]
    if loss.needs_link and model.output_activation != loss.link:
        raise ValueError(f"loss={train.loss!r} needs output_activation={loss.link!r}; got {model.output_activation!r}.")
    if loss.couples_outputs and train.emphasis != 1:
        raise ValueError(
            f"emphasis is for losses of single values; got emphasis={train.emphasis!r} with loss={train.loss!r}, whose "
            "outputs share a row's total. Leave it at 1."
        )
    if loss.exposure and getattr(rows, "target", None) is not None:
        raise ValueError(
            f"[fit] target is for losses without totals, mse and bce; got loss={train.loss!r}, in which a row's "
            "own total scales its rates."
        )
    check_values(loss, rows)


def check_values(loss: Loss, rows: Any, what: str = "X") -> None:
    """Refuse rows, or the target that they have, in which the loss finds values that it has no number for.

    Parameters
    ----------
    loss : Loss
    rows : Source
    what : str
        The argument that held the rows, for the message.

    Raises
    ------
    ValueError
        If a value is out of the loss's bounds, or there is no count at all.
    """
    aim = getattr(rows, "target", None)
    if aim is not None:
        rows, what = aim, "target" if what == "X" else f"the target of {what}"
    if loss.low == -math.inf and loss.high == math.inf:
        return
    low, high = rows.min(), rows.max()
    if low < loss.low or high > loss.high:
        remedy = "Give the counts as they are, neither centred nor scaled." if loss.counts else f"Rescale {what}."
        raise ValueError(
            f"[fit] loss={loss.name!r} needs {what} in {loss.bounds}; got values from {low:g} to {high:g}. {remedy}"
        )
    if loss.counts and high == 0:
        raise ValueError(
            f"[fit] loss={loss.name!r} needs counts above 0 in {what}; all values are 0. Check how it was made."
        )


def _check_code(model: AutoencoderConfig, train: TrainConfig, sparse_output: Any) -> None:
    true_or_false("sparse_output", sparse_output)
    if train.matryoshka and train.matryoshka[-1] > model.n_components:
        raise ValueError(
            f"matryoshka must hold widths of at most n_components={model.n_components}; got {train.matryoshka}."
        )
    if train.target_rate is not None and not model.code.rate:
        rated = listed(name for name, activation in ACTIVATIONS.items() if activation.rate)
        raise ValueError(f"target_rate is for {rated} codes; got code_activation={model.code_activation!r}.")
    if sparse_output and not model.code.zeros:
        sparse = ", ".join(name for name, activation in ACTIVATIONS.items() if activation.zeros)
        raise ValueError(
            f"sparse_output=True is for codes with zeros ({sparse}); got code_activation={model.code_activation!r}."
        )

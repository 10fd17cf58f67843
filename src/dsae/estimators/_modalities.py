"""Around a joint model: rows of its modalities, and its configuration from the estimator's parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from dsae.config import (
    JointConfig,
    TrainConfig,
    automatic_rate,
    automatic_widths,
    check_modality,
    did_you_mean,
    loss_of,
)
from dsae.data import JointSource, as_joint, never_together
from dsae.estimators._autoencoder import DeepSparseAutoencoder
from dsae.estimators._base import warn
from dsae.estimators._parameters import check_values, configure
from dsae.estimators._warnings import advise_on_counts
from dsae.runtime import JointRuntime, check_encoders, encoded, folder_encoders

_FEWEST = 16  # rows of a modality from which something can be learned
_OF_AN_ENCODER = ("fit", "transform", "inverse_transform", "to_json")
_WIDEST = 512  # hidden units by default; docs/design/joint.md
_CORRUPTION = ("noise", "mask")
_BY_MODALITY = (
    *("hidden_layer_sizes", "decoder_layer_sizes", "activation", "output_activation", "loss", "density"),
    *_CORRUPTION,
)
_USUAL = {
    name: parameter.default
    for name, parameter in inspect.signature(DeepSparseAutoencoder.__init__).parameters.items()
    if name != "self"
}


class Modalities:
    """The modalities that an estimator was given, and what makes rows of them.

    Parameters
    ----------
    given : mapping of str to encoder or None, sequence of str, or None
        As the estimator's parameter; None takes those of the first rows.
    last : JointRuntime, optional
        The model that training continues from. Its encoders are kept, since its weights belong to their vocabularies.

    Raises
    ------
    TypeError
        If something else is given.
    """

    def __init__(self, given: Any, last: JointRuntime | None = None) -> None:
        if given is not None and (isinstance(given, str) or not isinstance(given, Mapping | Sequence)):
            raise TypeError(
                "modalities must be a dict of names and encoders, such as {'image': ImageRows((28, 28)), 'table': "
                f"None}}; got {type(given).__name__}."
            )
        self.encoders: dict[str, Any] = {}
        self._last = last
        self._given: dict[str, Any] = {}
        if given is not None:
            self._given = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
        for name, encoder in self._given.items():
            check_modality(name)
            made = not isinstance(encoder, type) and all(hasattr(encoder, each) for each in _OF_AN_ENCODER)
            if encoder is not None and not made:
                got = f"the class {encoder.__name__}" if isinstance(encoder, type) else type(encoder).__name__
                raise TypeError(
                    f"modalities[{name!r}] must be a transformer of dsae.features, such as ImageRows((28, 28)), or "
                    f"None for rows of numbers; got {got}."
                )
        self.names = tuple(self._given) if given is not None else None

    def training_rows(self, verb: str, X: Any) -> JointSource:
        """Rows to train on; encoders are fitted to them, unless training continues."""
        if self._last is None:
            self.encoders = folder_encoders(verb, X)
        else:
            check_encoders(verb, X, self._last.model.encoders)
            self.encoders = dict(self._last.encoders)
        source = as_joint(verb, X, self.names, encode=self._fitted, training=True)
        self._keep_fitted(verb, source)
        for name in source.parts:
            n = int(source.has(name).sum())
            if n < _FEWEST:
                raise ValueError(
                    f"[{verb}] A modality must be present in at least {_FEWEST} rows; {name!r} is in {n} of "
                    f"{len(source)}. Leave it out."
                )
        for one, other in never_together(source):
            warn(
                f"[{verb}] No row has both {one!r} and {other!r}: nothing ties their codes but what each shares with "
                "a third. Add rows that have both."
            )
        return source

    def rows_like(self, verb: str, X: Any, source: JointSource, *, training: bool = False) -> JointSource:
        """Other rows, of the modalities and widths of ``source``."""

        def encode(name: str, values: Any) -> Any:
            encoder = self.encoders.get(name)
            return values if encoder is None else encoded(encoder, values)

        widths = {name: part.n_features for name, part in source.parts.items()}
        return as_joint(verb, X, tuple(source.parts), encode=encode, widths=widths, training=training)

    def _fitted(self, name: str, values: Any) -> Any:
        encoder = self._given.get(name)
        if hasattr(values, "batches") or (encoder is None and name not in self.encoders):
            return values
        if name not in self.encoders:
            own: Any = clone(encoder)
            own.fit(values)
            self.encoders[name] = own
        return encoded(self.encoders[name], values)

    def _keep_fitted(self, verb: str, source: JointSource) -> None:
        """Take the given encoders of rows that came encoded, which must have been fitted to make them."""
        for name, encoder in self._given.items():
            if encoder is None or name in self.encoders:
                continue
            try:
                encoder.to_json()
                width = len(encoder.get_feature_names_out())
            except NotFittedError:
                raise ValueError(
                    f"[{verb}] X[{name!r}] must hold what modalities[{name!r}] encodes; got rows, and an encoder that "
                    "was not fitted to make them. Give the fitted one, or None."
                ) from None
            if width != source.parts[name].n_features:
                raise ValueError(
                    f"[{verb}] X[{name!r}] must have the {width} columns of its encoder; got "
                    f"{source.parts[name].n_features}."
                )
            self.encoders[name] = deepcopy(encoder)


def configure_joint(parameters: Mapping[str, Any], source: JointSource) -> tuple[JointConfig, TrainConfig]:
    """The architecture and the training settings that an estimator's parameters mean for rows.

    Raises
    ------
    ValueError
        If a parameter is invalid, or conflicts with another one or with the rows.
    """
    names = tuple(source.parts)
    each = {name: _of_each(name, parameters[name], names) for name in _BY_MODALITY}
    models, settings = {}, []
    for name in names:
        rows = source.of(name)
        given = _USUAL | {key: value for key, value in parameters.items() if key in _USUAL}
        given |= {key: values.get(name, _USUAL[key]) for key, values in each.items()}
        if isinstance(given["hidden_layer_sizes"], str) and given["hidden_layer_sizes"] == "auto":
            given["hidden_layer_sizes"] = joint_widths(rows.shape, parameters["n_components"])
        if not given["mask"] and isinstance(parameters["mask"], Mapping):
            given["emphasis"] = 1.0  # of what is masked in others
        loss = loss_of(given["loss"])
        check_values(loss, rows, f"X[{name!r}]")
        advise_on_counts(rows, loss, f"X[{name!r}]")
        if given["learning_rate_init"] == "auto":
            given["learning_rate_init"] = automatic_rate(rows.shape[1])
        models[name], train = configure(given, rows)
        settings.append(train)
    weights = None if parameters["weights"] is None else _of_each("weights", parameters["weights"], names)
    losses = {name: train.loss for name, train in zip(names, settings, strict=True)}
    own = {
        what: {name: getattr(train, what) for name, train in zip(names, settings, strict=True)}
        for what in _CORRUPTION
        if isinstance(parameters[what], Mapping)
    }
    joint = JointConfig(models, losses, weights, parameters["modality_dropout"], **own)
    masked = next((train for train in settings if train.mask), settings[0])
    common = replace(
        masked,
        loss="mse",  # each modality has its own
        max_iter=min(train.max_iter for train in settings),
        learning_rate_init=min(train.learning_rate_init for train in settings),
    )
    return joint, common


def joint_widths(shape: tuple[int, int], n_components: int) -> tuple[int, ...]:
    """Default hidden widths of one modality: a layer as wide as the rows, within bounds.

    Examples
    --------
    >>> joint_widths((60_000, 784), 64), joint_widths((10_000, 25), 16), joint_widths((10_000, 20_000), 16)
    ((512,), (32,), (256,))
    """
    n_features = shape[1]
    wide = automatic_widths(shape, n_components, "identity")
    if len(wide) == 1:
        return wide
    return (max(2 * n_components, min(_WIDEST, n_features)),)


def _of_each(what: str, value: Any, names: Sequence[str]) -> dict[str, Any]:
    """A setting by modality: given so, or the same for all."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    for name in value:
        if name not in names:
            hint = did_you_mean(name, names) or f" Known: {', '.join(names)}."
            raise ValueError(f"{what} names a modality {name!r} that is not there.{hint}")
    return dict(value)


def rows_at_hand(source: JointSource, name: str) -> Any:
    """The rows of one modality that are there, in memory."""
    rows: Any = source.of(name)
    return rows.X if hasattr(rows, "X") else rows.read()

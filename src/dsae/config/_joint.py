"""The architecture of several autoencoders with one code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from dsae.config._activations import Activation
from dsae.config._checks import in_range, known_keys
from dsae.config._losses import loss_of
from dsae.config._model import AutoencoderConfig
from dsae.config._training import TrainConfig, shares_of

_LONGEST_NAME = 100  # bytes: the files of a modality lie in a folder of that name
_OF_THE_FOLDER = (
    *("joint.json", "joint.safetensors", "learning.safetensors", "sampler.safetensors", "encoders.json"),
    *("config.json", "readme.md"),
)
_OF_WINDOWS = ("con", "prn", "aux", "nul")  # devices, which no folder may be called like
_FIELDS = ("modalities", "losses", "weights", "modality_dropout", "noise", "mask")
_CORRUPTION = ("noise", "mask")  # left out of a folder where all modalities have the same


@dataclass(frozen=True)
class JointConfig:
    """One autoencoder for each modality, and one code for all of them.

    Parameters
    ----------
    modalities : mapping of str to AutoencoderConfig
        Architectures by name, all with the same code.
    losses : mapping of str to str
        Names of the modalities' losses; that of a modality left out is the squared error.
    weights : mapping of str to float
        How much each modality's loss counts; 1 for one left out.
    modality_dropout : float
        Share of the rows, in [0, 1], that a training step encodes from a random part of what they have.
    noise, mask : mapping of str to float, optional
        What `TrainConfig` says for all modalities, by modality, of those left out 0; a mask may be a pair, too. By
        default it is as there.

    Examples
    --------
    >>> pixels, words = (AutoencoderConfig(n_features, 8) for n_features in (64, 20))
    >>> JointConfig({"image": pixels, "text": words}).layer_shapes
    {'image.encoder.0': (8, 64), 'image.decoder.0': (64, 8), 'text.encoder.0': (8, 20), 'text.decoder.0': (20, 8)}
    """

    modalities: Mapping[str, AutoencoderConfig]
    losses: Mapping[str, str] | None = None
    weights: Mapping[str, float] | None = None
    modality_dropout: float = 0.9
    noise: Mapping[str, float] | None = None
    mask: Mapping[str, float | tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        names = tuple(self.modalities)
        if not names:
            raise ValueError("A joint model must have a modality; got none.")
        alike: dict[str, str] = {}
        for name in names:
            check_modality(name)
            if (other := alike.setdefault(name.casefold(), name)) != name:
                raise ValueError(f"Modalities must differ by more than case; got {other!r} and {name!r}. Rename one.")
        codes = {(c.n_components, c.code_activation, c.k) for c in self.modalities.values()}
        if len(codes) > 1:
            raise ValueError(f"All modalities must have one code (n_components, code_activation, k); got {codes}.")
        if self.code.threshold:
            raise ValueError(
                "code_activation of a joint code must have no thresholds, which one network learns from its own "
                f"latents; got {self.code_activation!r}. Use 'topk' for a sparse code."
            )
        known_keys("losses", self.losses or {}, names)
        known_keys("weights", self.weights or {}, names)
        losses = {name: (self.losses or {}).get(name, "mse") for name in names}
        for loss in losses.values():
            loss_of(loss)
        weights = {name: (self.weights or {}).get(name, 1.0) for name in names}
        for name, weight in weights.items():
            in_range(f"weights[{name!r}]", weight, 0, open_low=True)
        in_range("modality_dropout", self.modality_dropout, 0, 1)
        set_ = object.__setattr__
        set_(self, "modalities", dict(self.modalities))
        set_(self, "losses", losses)
        set_(self, "weights", {name: float(weight) for name, weight in weights.items()})
        set_(self, "modality_dropout", float(self.modality_dropout))
        if self.noise is not None:
            known_keys("noise", self.noise, names)
            for name, noise in self.noise.items():
                in_range(f"noise[{name!r}]", noise, 0)
            set_(self, "noise", {name: float(self.noise.get(name, 0)) for name in names})
        if self.mask is not None:
            known_keys("mask", self.mask, names)
            set_(self, "mask", {name: shares_of(f"mask[{name!r}]", self.mask.get(name, 0)) for name in names})

    def corrupting(self, name: str, train: TrainConfig) -> TrainConfig:
        """The settings of training with the noise and the mask of one modality."""
        noise = train.noise if self.noise is None else self.noise[name]
        mask = train.mask if self.mask is None else self.mask[name]
        return replace(train, noise=noise, mask=mask, emphasis=train.emphasis if mask else 1.0)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in order."""
        return tuple(self.modalities)

    @property
    def _first(self) -> AutoencoderConfig:
        return next(iter(self.modalities.values()))

    @property
    def n_components(self) -> int:
        """Width of the code."""
        return self._first.n_components

    @property
    def n_features(self) -> int:
        """Columns of all modalities together."""
        return sum(config.n_features for config in self.modalities.values())

    @property
    def output_width(self) -> int:
        """Columns of all reconstructions, those of the modalities themselves."""
        return self.n_features

    @property
    def code_activation(self) -> str:
        """Of the joint code."""
        return self._first.code_activation

    @property
    def code(self) -> Activation:
        """The code's activation."""
        return self._first.code

    @property
    def k(self) -> int | None:
        """Non-zeros per code."""
        return self._first.k

    @property
    def layer_shapes(self) -> dict[str, tuple[int, int]]:
        """``(out_features, in_features)`` by layer name: ``image.encoder.0`` and so on."""
        return {
            f"{name}.{layer}": shape
            for name, config in self.modalities.items()
            for layer, shape in config.layer_shapes.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON can hold it."""
        found = {name: value for name, value in asdict(self).items() if name not in _CORRUPTION or value is not None}
        return {**found, "modalities": {name: config.to_dict() for name, config in self.modalities.items()}}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> JointConfig:
        """The reverse of `to_dict`; an unknown key is an error."""
        known_keys("the joint model's configuration", given, _FIELDS)
        modalities = given.get("modalities")
        if not isinstance(modalities, Mapping) or not all(isinstance(each, Mapping) for each in modalities.values()):
            raise ValueError("the joint model's configuration must describe its modalities.")
        for name in ("losses", "weights", *_CORRUPTION):
            if not isinstance(given.get(name), Mapping | None):
                raise ValueError(f"{name} of a joint model must be a mapping.")
        found = {name: AutoencoderConfig.from_dict(each) for name, each in modalities.items()}
        return cls(found, **{name: given[name] for name in _FIELDS[1:] if name in given})


def check_modality(name: Any) -> None:
    """Raise unless ``name`` can be that of a modality, which is also the name of a folder and of a column."""
    plain = isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= _LONGEST_NAME
    if not plain or name[0] in "._ " or name[-1] in ". " or set(name) & set('/\\:*?"<>|+') or name in ("id", "label"):
        raise ValueError(
            "A modality must have a name that a folder may have, without + and other than id and label; got "
            f"{name!r:.60}. Rename it."
        )
    if name.casefold() in _OF_THE_FOLDER or name.casefold().partition(".")[0] in _OF_WINDOWS:
        raise ValueError(f"A modality must not be called like a file of a model or a device; got {name!r}. Rename it.")

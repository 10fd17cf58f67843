"""What a model is and how it is trained: frozen, checked, and the same in JSON, TOML and Python."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

HIDDEN_ACTIVATIONS = ("identity", "relu", "sigmoid", "softmax")
CODE_ACTIVATIONS = (*HIDDEN_ACTIVATIONS, "topk", "batchtopk", "jumprelu")
LOSSES = ("mse", "bce")
SHRINK = ("random", "gradient", "saliency", "magnitude", "tempered", "set", "rigl", "granet", "none")
SCHEDULES = ("joint", "stagewise")
_WIDE = 4096  # features; more are learned with fewer units and smaller steps


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse a ``value`` that is not among ``choices``, naming all of them and the nearest."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.{did_you_mean(value, choices)}")


def did_you_mean(given: Any, known: Iterable[str]) -> str:
    """`` Did you mean 'relu'?`` where one of ``known`` is near, or nothing."""
    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(given).lower(), by_lower_case, 1)
    return f" Did you mean {by_lower_case[near[0]]!r}?" if near else ""


def true_or_false(name: str, value: Any) -> None:
    """Refuse what only looks like a truth value: the string ``"no"`` would count as true."""
    if isinstance(value, str) or value not in (True, False):
        raise ValueError(f"{name} must be True or False; got {value!r}.")


def in_range(name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Refuse a number outside ``[low, high]`` (``(low, high]`` with ``open_low``)."""
    usable = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    number = float(value) if usable else math.nan
    if not (low < number if open_low else low <= number) or not number <= high:
        left = "(" if open_low else "["
        right = "inf)" if high == math.inf else f"{high:g}]"
        raise ValueError(f"{name} must be a number in {left}{low:g}, {right}; got {value!r}.")


def positive_int(name: str, value: Any) -> None:
    """Refuse anything but a whole number of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")


def known_keys(what: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Refuse keys that nobody would read, suggesting the nearest known one."""
    for key in given:
        if key not in allowed:
            hint = did_you_mean(key, allowed) or f" Known: {', '.join(allowed)}."
            raise ValueError(f"{what} has no setting {key!r}.{hint}")


def _widths(name: str, value: Any) -> tuple[int, ...]:
    try:
        widths = tuple(value)
    except TypeError:
        widths = (value,)
    for width in widths:
        positive_int(f"every width in {name}", width)
    return tuple(int(width) for width in widths)


@dataclass(frozen=True)
class AutoencoderConfig:
    """The architecture of an autoencoder.

    Parameters
    ----------
    n_features : int
        Width of the input and of the reconstruction.
    n_components : int
        Width of the code.
    hidden_layer_sizes : tuple of int
        Widths of the encoder's hidden layers, from the input to the code.
    decoder_layer_sizes : tuple of int, optional
        Widths of the decoder's hidden layers, from the code to the output; by default the encoder's, mirrored.
    activation, output_activation : {"identity", "relu", "sigmoid", "softmax"}
        Of the hidden layers and of the reconstruction.
    code_activation : {"identity", "relu", "sigmoid", "softmax", "topk", "batchtopk", "jumprelu"}
    k : int, optional
        Non-zeros per code: exactly at most for ``topk``, on average for ``batchtopk`` and ``jumprelu``.
    density : float or mapping of str to float
        Share of the weights that live, in (0, 1]. A number is spread over the layers by Erdős-Rényi-Kernel; a mapping
        names layers (``"encoder.0"``, ``"decoder.1"``), and the layers it leaves out stay dense.

    Examples
    --------
    >>> AutoencoderConfig(n_features=784, n_components=32, hidden_layer_sizes=(256,)).layer_shapes
    {'encoder.0': (256, 784), 'encoder.1': (32, 256), 'decoder.0': (256, 32), 'decoder.1': (784, 256)}
    """

    n_features: int
    n_components: int
    hidden_layer_sizes: tuple[int, ...] = ()
    decoder_layer_sizes: tuple[int, ...] | None = None
    activation: str = "relu"
    code_activation: str = "identity"
    output_activation: str = "identity"
    k: int | None = None
    density: float | Mapping[str, float] = 1.0

    def __post_init__(self) -> None:
        positive_int("n_features", self.n_features)
        positive_int("n_components", self.n_components)
        set_ = object.__setattr__
        set_(self, "n_features", int(self.n_features))
        set_(self, "n_components", int(self.n_components))
        set_(self, "hidden_layer_sizes", _widths("hidden_layer_sizes", self.hidden_layer_sizes))
        if self.decoder_layer_sizes is not None:
            set_(self, "decoder_layer_sizes", _widths("decoder_layer_sizes", self.decoder_layer_sizes))
        one_of("activation", self.activation, HIDDEN_ACTIVATIONS)
        one_of("code_activation", self.code_activation, CODE_ACTIVATIONS)
        one_of("output_activation", self.output_activation, HIDDEN_ACTIVATIONS)
        self._check_k()
        self._check_density()

    def _check_k(self) -> None:
        if self.k is None:
            if self.code_activation in ("topk", "batchtopk"):
                raise ValueError(
                    f"code_activation={self.code_activation!r} needs k, the non-zeros per code; got k=None."
                )
            return
        positive_int("k", self.k)
        object.__setattr__(self, "k", int(self.k))
        if self.k > self.n_components:
            raise ValueError(
                f"k must be at most n_components, the width of the code; got k={self.k}, "
                f"n_components={self.n_components}."
            )
        if self.code_activation not in ("topk", "batchtopk", "jumprelu"):
            raise ValueError(
                f"k has a meaning for code_activation topk, batchtopk and jumprelu; got k={self.k} "
                f"with {self.code_activation!r}."
            )

    def _check_density(self) -> None:
        if isinstance(self.density, Mapping):
            known_keys("density", self.density, tuple(self.layer_shapes))
            for name, density in self.density.items():
                in_range(f"density[{name!r}]", density, 0, 1, open_low=True)
            object.__setattr__(self, "density", {name: float(value) for name, value in self.density.items()})
        else:
            in_range("density", self.density, 0, 1, open_low=True)
            object.__setattr__(self, "density", float(self.density))

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Widths from the input to the code, both included."""
        return (self.n_features, *self.hidden_layer_sizes, self.n_components)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Widths from the code to the output, both included."""
        hidden = self.hidden_layer_sizes[::-1] if self.decoder_layer_sizes is None else self.decoder_layer_sizes
        return (self.n_components, *hidden, self.n_features)

    @property
    def layer_shapes(self) -> dict[str, tuple[int, int]]:
        """``(out_features, in_features)`` by layer name, from the input to the output."""
        halves = {"encoder": self.encoder_widths, "decoder": self.decoder_widths}
        return {
            f"{half}.{i}": (n_out, n_in)
            for half, widths in halves.items()
            for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False))
        }

    @property
    def activations(self) -> dict[str, str]:
        """Activation that follows each layer, by layer name."""
        names = list(self.layer_shapes)
        last = {
            f"encoder.{len(self.encoder_widths) - 2}": self.code_activation,
            names[-1]: self.output_activation,
        }
        return {name: last.get(name, self.activation) for name in names}

    def replace(self, **changes: Any) -> AutoencoderConfig:
        """A copy with some settings changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> AutoencoderConfig:
        """The reverse of `to_dict`; an unknown key is an error."""
        names = tuple(field.name for field in dataclasses.fields(cls))
        known_keys("the model's configuration", given, names)
        missing = [name for name in ("n_features", "n_components") if name not in given]
        if missing:
            raise ValueError(f"the model's configuration lacks {' and '.join(missing)}.")
        return cls(**given)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is fitted; every field is a parameter of `DeepSparseAutoencoder`, described there."""

    loss: str = "mse"
    shrink: str = "tempered"
    l1: float = 0.0
    l2: float = 0.0
    contractive: float = 0.0
    target_rate: float | None = None
    schedule: str = "joint"
    max_iter: int = 10
    batch_size: int = 256
    learning_rate_init: float = 3e-3
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    scale: bool = False

    def __post_init__(self) -> None:
        one_of("loss", self.loss, LOSSES)
        one_of("shrink", self.shrink, SHRINK)
        one_of("schedule", self.schedule, SCHEDULES)
        for name in ("l1", "l2", "contractive", "tol"):
            in_range(name, getattr(self, name), 0)
        if self.target_rate is not None:
            in_range("target_rate", self.target_rate, 0, 1, open_low=True)
            if self.target_rate == 1:
                raise ValueError("target_rate must be below 1: at 1 every unit would always be on.")
        for name in ("max_iter", "batch_size", "n_iter_no_change"):
            positive_int(name, getattr(self, name))
        for name in ("early_stopping", "scale"):
            true_or_false(name, getattr(self, name))
        in_range("learning_rate_init", self.learning_rate_init, 0, open_low=True)
        in_range("validation_fraction", self.validation_fraction, 0, 0.9, open_low=True)
        self._use_plain_numbers()

    def _use_plain_numbers(self) -> None:
        """numpy's numbers, as grid searches give them, are not what JSON can hold."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, (bool, int, float)):
                object.__setattr__(self, field.name, type(field.default)(value))
            elif value is not None and not isinstance(value, str):
                object.__setattr__(self, field.name, float(value))


def automatic_widths(shape: tuple[int, int], n_components: int, code_activation: str) -> tuple[int, ...]:
    """Hidden widths where none are given, as wide as the rows can teach.

    Parameters
    ----------
    shape : tuple of int
        Rows and features of the data. Two layers for up to 4096 features; wider data have more weights than rows could
        settle, and get one layer of at most 256 units, of fewer where rows are few (docs/design/shrinking.md).
    n_components, code_activation
        As in `AutoencoderConfig`. Codes by topk, batchtopk and jumprelu are dictionaries, which have a linear encoder;
        so have codes as wide as the data.

    Examples
    --------
    >>> automatic_widths((60_000, 784), 32, "identity"), automatic_widths((60_000, 784), 4096, "topk")
    ((1024, 256), ())
    >>> automatic_widths((11_000, 10_000), 32, "identity"), automatic_widths((1_600, 20_000), 32, "identity")
    ((256,), (64,))
    """
    n_samples, n_features = shape
    if code_activation in ("topk", "batchtopk", "jumprelu") or n_components >= n_features:
        return ()
    return (1024, 256) if n_features <= _WIDE else (max(2 * n_components, min(256, n_samples // 25)),)


def automatic_epochs(n_samples: int, batch_size: int) -> int:
    """Epochs where no number is given: at least 10, and as many as make 4,000 steps, up to 100.

    Examples
    --------
    >>> automatic_epochs(60_000, 256), automatic_epochs(1_000, 256)
    (18, 100)
    """
    return max(10, min(100, math.ceil(4_000 / math.ceil(n_samples / batch_size))))


def automatic_rate(n_features: int) -> float:
    """Learning rate where none is given: 3e-3 for up to 4096 features, half of that beyond (docs/design/shrinking.md).

    Examples
    --------
    >>> automatic_rate(784), automatic_rate(10_000)
    (0.003, 0.0015)
    """
    return 3e-3 if n_features <= _WIDE else 1.5e-3


def read_toml(path: str | Path, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Settings of a run from a flat TOML file, each one of ``allowed``.

    Raises
    ------
    ValueError
        If the file is no TOML or has a key that nobody would read.
    OSError
        If it is missing or cannot be read.
    """
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = did_you_mean(path.name, [file.name for file in path.parent.glob("*")]) or " Check the path."
        raise FileNotFoundError(f"{path} does not exist.{hint}") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}. Name a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from None
    known_keys(str(path), settings, allowed)
    return settings

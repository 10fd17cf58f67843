"""The architecture of an autoencoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dsae.config._activations import ACTIVATIONS, Activation, activation_names
from dsae.config._checks import check_choices, choice, in_range, known_keys, listed, positive_int, valid_block_size
from dsae.config._transforms import TRANSFORMS

MISSING = ("error", "mask")


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
        Width of the input, and of the output unless ``n_outputs`` is another.
    n_components : int
        Width of the code.
    hidden_layer_sizes : tuple of int
        Widths of the encoder's hidden layers, from the input to the code.
    decoder_layer_sizes : tuple of int, optional
        Widths of the decoder's hidden layers, from the code to the output; by default the encoder's, mirrored.
    activation : {"identity", "relu", "sigmoid", "softmax"}
        Activation of the hidden layers.
    output_activation : {"identity", "relu", "sigmoid", "softmax", "exp"}
        Activation of the reconstruction; ``exp`` is that of its argument, but of 15 where that is larger.
    code_activation : {"identity", "relu", "sigmoid", "softmax", "topk", "batchtopk", "jumprelu"}
    k : int, optional
        Non-zeros per code: exactly at most for ``topk``, on average for ``batchtopk`` and ``jumprelu``.
    density : float or mapping of str to float
        Share of the weights that are active, in (0, 1]. A number is spread over the layers by Erdős-Rényi-Kernel; a
        mapping names layers (``"encoder.0"``, ``"decoder.1"``), and the layers it leaves out stay dense.
    block_size : {1, 4, 8}
        Neighbouring outputs that share their active inputs; 1 for single weights.
    missing : {"error", "mask"}
        Whether NaN in rows is refused, or a value that is not known.
    input_transform : {"none", "log1p", "lognormalize"}
        What happens to values before they are centred and enter the network: nothing, ``log(1 + x)``, or
        ``log(1 + x * input_total / total)`` with the row's own total. The output is compared with the rows as they are,
        so a transform needs an output that is not linear.
    input_total : float
        What ``lognormalize`` brings every row's total to; 0 with the others.
    n_outputs : int, optional
        Width of the output where the model predicts other rows than those it sees; None where it is ``n_features``.

    Examples
    --------
    >>> AutoencoderConfig(n_features=784, n_components=32, hidden_layer_sizes=(256,)).layer_shapes
    {'encoder.0': (256, 784), 'encoder.1': (32, 256), 'decoder.0': (256, 32), 'decoder.1': (784, 256)}
    """

    n_features: int
    n_components: int
    hidden_layer_sizes: tuple[int, ...] = ()
    decoder_layer_sizes: tuple[int, ...] | None = None
    activation: str = choice("relu", partial(activation_names, "hidden"))
    code_activation: str = choice("identity", partial(activation_names, "code"))
    output_activation: str = choice("identity", partial(activation_names, "output"))
    k: int | None = None
    density: float | Mapping[str, float] = 1.0
    block_size: int = 1
    missing: str = choice("error", MISSING)
    input_transform: str = choice("none", TRANSFORMS)
    input_total: float = 0.0
    n_outputs: int | None = None

    def __post_init__(self) -> None:
        positive_int("n_features", self.n_features)
        positive_int("n_components", self.n_components)
        set_ = object.__setattr__  # the dataclass is frozen
        set_(self, "n_features", int(self.n_features))
        set_(self, "n_components", int(self.n_components))
        set_(self, "hidden_layer_sizes", _widths("hidden_layer_sizes", self.hidden_layer_sizes))
        if self.decoder_layer_sizes is not None:
            set_(self, "decoder_layer_sizes", _widths("decoder_layer_sizes", self.decoder_layer_sizes))
        if self.n_outputs is not None:
            positive_int("n_outputs", self.n_outputs)
            set_(self, "n_outputs", None if self.n_outputs == self.n_features else int(self.n_outputs))
        check_choices(self)
        set_(self, "block_size", valid_block_size(self.block_size))
        self._check_k()
        self._check_density()
        self._check_transform()

    def _check_k(self) -> None:
        if self.k is None:
            if self.code.needs_k:
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
        if not self.code.takes_k:
            meant = listed(name for name, activation in ACTIVATIONS.items() if activation.takes_k)
            raise ValueError(
                f"k has a meaning for code_activation {meant}; got k={self.k} with {self.code_activation!r}."
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

    def _check_transform(self) -> None:
        if self.input_transform != "none" and self.output.linear:
            raise ValueError(
                f"input_transform={self.input_transform!r} needs an output that is not linear, as with loss='poisson'; "
                f"got output_activation={self.output_activation!r}. Transform X itself."
            )
        by_total = TRANSFORMS[self.input_transform].by_total
        in_range("input_total", self.input_total, 0, open_low=by_total)
        object.__setattr__(self, "input_total", float(self.input_total) if by_total else 0.0)

    @property
    def code(self) -> Activation:
        """The code's activation."""
        return ACTIVATIONS[self.code_activation]

    @property
    def output(self) -> Activation:
        """The output's activation."""
        return ACTIVATIONS[self.output_activation]

    @property
    def output_width(self) -> int:
        """Width of the output."""
        return self.n_features if self.n_outputs is None else self.n_outputs

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Widths from the input to the code, both included."""
        return (self.n_features, *self.hidden_layer_sizes, self.n_components)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Widths from the code to the output, both included."""
        hidden = self.hidden_layer_sizes[::-1] if self.decoder_layer_sizes is None else self.decoder_layer_sizes
        return (self.n_components, *hidden, self.output_width)

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
        """The configuration as JSON can hold it."""
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

"""The estimator's parameters as options of a command and as keys of a TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

from dsae.config import CODE_ACTIVATIONS, HIDDEN_ACTIVATIONS, LOSSES, SCHEDULES, SHRINK, did_you_mean, read_toml


class _Widths(click.ParamType):
    name = "WIDTHS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | str:
        if value == "auto":
            return value
        try:
            return tuple(int(width) for width in value.split(",") if width.strip())
        except ValueError:
            self.fail(f"must be whole numbers between commas, such as 1024,256; got {value!r}.", param, ctx)


class OneOf(click.Choice):
    """A choice that knows what a misspelt one was to be."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(error.message + did_you_mean(value, self.choices), param, ctx)


class _Auto(click.ParamType):
    def __init__(self, number: click.ParamType, name: str) -> None:
        self.number, self.name = number, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return value if value == "auto" else self.number.convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"must be a number, or auto; got {value!r}.{did_you_mean(value, ('auto',))}", param, ctx)


class _Density(click.ParamType):
    name = "DENSITY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | dict[str, float]:
        try:
            if "=" not in value:
                return float(value)
            pairs = [part.split("=") for part in value.split(",")]
            return {layer.strip(): float(density) for layer, density in pairs}
        except ValueError:
            self.fail(
                f"must be a number or layer=number between commas, such as encoder.0=0.05; got {value!r}.",
                param,
                ctx,
            )


class Parameter(NamedTuple):
    """One parameter of the estimator, as a user of the command line sees it."""

    name: str
    default: Any
    type: Any
    help: str


PARAMETERS = (
    Parameter("n_components", 32, int, "Width of the code."),
    Parameter(
        "hidden_layer_sizes", "auto", _Widths(), "Widths of the encoder's hidden layers, such as 1024,256, or auto."
    ),
    Parameter("decoder_layer_sizes", None, _Widths(), "Those of the decoder; by default the encoder's, mirrored."),
    Parameter("activation", "relu", OneOf(HIDDEN_ACTIVATIONS), "Of the hidden layers."),
    Parameter("code_activation", "identity", OneOf(CODE_ACTIVATIONS), "Of the code."),
    Parameter("output_activation", "identity", OneOf(HIDDEN_ACTIVATIONS), "Of the reconstruction."),
    Parameter("loss", "mse", OneOf(LOSSES), "Squared error or binary cross entropy."),
    Parameter("density", 0.05, _Density(), "Share of the weights that live, or encoder.0=0.05,decoder.1=0.1."),
    Parameter("shrink", "tempered", OneOf(SHRINK), "How the living weights are chosen."),
    Parameter("l1", 0.0, float, "Strength of the proximal L1 step, which makes exact zeros."),
    Parameter("l2", 0.0, float, "Strength of the L2 penalty."),
    Parameter("contractive", 0.0, float, "Strength of the contractive penalty."),
    Parameter("target_rate", None, float, "Activation rate of a sigmoid or softmax code."),
    Parameter("k", None, int, "Non-zeros per code, for topk, batchtopk and jumprelu."),
    Parameter("schedule", "joint", OneOf(SCHEDULES), "All layers at once, or one after the other."),
    Parameter("init", None, click.Path(), "Model folder to start from."),
    Parameter("max_iter", "auto", _Auto(click.INT, "EPOCHS"), "Epochs."),
    Parameter("batch_size", 256, int, "Rows per step."),
    Parameter("learning_rate_init", "auto", _Auto(click.FLOAT, "RATE"), "Of Adam, at the start."),
    Parameter("early_stopping", False, bool, "Stop when held-out rows get no better."),
    Parameter("validation_fraction", 0.1, float, "Share of the rows held out."),
    Parameter("n_iter_no_change", 10, int, "Epochs without improvement before stopping."),
    Parameter("tol", 1e-4, float, "What counts as an improvement."),
    Parameter("scale", False, bool, "Bring features to unit variance inside the model."),
    Parameter("random_state", None, int, "Seed; makes the run repeatable."),
    Parameter("verbose", 1, int, "0 hides the progress line, which only a terminal shows."),
)
"""All but ``warm_start``, as a command fits once and goes on from an earlier model by ``--init``, and
``sparse_output``, which `dsae encode` has."""

NAMES = tuple(parameter.name for parameter in PARAMETERS)


def fit_options(command: Callable) -> Callable:
    """Add every parameter of the estimator, and ``--config``, to a command."""
    for name, default, kind, text in reversed(PARAMETERS):
        flag = f"--{name.replace('_', '-')}"
        described = text if default in (None, ()) else f"{text}  [default: {_shown(default)}]"
        declared = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
        command = click.option(declared, name, type=kind, default=None, help=described)(command)
    file_help = "Parameters from a TOML file, named as in Python; the command line wins."
    return click.option("--config", type=click.Path(), metavar="FILE", help=file_help)(command)


def _shown(default: Any) -> str:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else f"{default}"


def settings(config: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters for the estimator: from the file, then from the command line.

    Raises
    ------
    ValueError
        If the file is no TOML or has a key that is no parameter.
    """
    from_file = {} if config is None else read_toml(config, NAMES)
    return {"verbose": 1} | from_file | {name: value for name, value in given.items() if value is not None}

"""The estimator's parameters as options of a command and as keys of a TOML file."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import click

from dsae.config import DEVICES, AutoencoderConfig, TrainConfig, choices_of, did_you_mean, read_toml


class _Typed(click.ParamType):
    def __init__(self, name: str) -> None:
        self.name = name

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return self.name


class _Widths(_Typed):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | str:
        if value == "auto":
            return value
        try:
            return tuple(int(width) for width in value.split(",") if width.strip())
        except ValueError:
            self.fail(f"must be whole numbers between commas, such as 1024,256; got {value!r}.", param, ctx)


class OneOf(click.Choice):
    """A choice that suggests the intended value for a misspelt one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(error.message + did_you_mean(value, self.choices), param, ctx)


class Auto(_Typed):
    """A number, or ``auto``."""

    def __init__(self, number: click.ParamType) -> None:
        super().__init__(f"{number.name.upper()}|auto")
        self.number = number

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return value if value == "auto" else self.number.convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"must be a number, or auto; got {value!r}.{did_you_mean(value, ('auto',))}", param, ctx)


class _Density(_Typed):
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


class _Shares(_Typed):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | list[float]:
        try:
            shares = [float(share) for share in value.split(",")]
        except ValueError:
            self.fail(f"must be a number, or two between a comma, such as 0,0.8; got {value!r}.", param, ctx)
        return shares if len(shares) > 1 else shares[0]


class Parameter(NamedTuple):
    """One parameter of the estimator, as a user of the command line sees it."""

    name: str
    default: Any
    type: Any
    help: str


_ESTIMATOR = "estimators/_autoencoder.py", "DeepSparseAutoencoder"
# A command fits once and starts from an earlier model with --init; `dsae encode` has --sparse; --resume,
# --checkpoint-every and --distributed are options of `dsae fit` alone.
_NOT_OPTIONS = ("self", "warm_start", "sparse_output", "checkpoint", "checkpoint_every", "distributed")
_DEFAULTS = {"verbose": 1}
_TYPES: dict[str, Any] = {
    "int": int,
    "int | None": int,
    "float": float,
    "float | None": float,
    "bool": bool,
    "str": str,
    "Sequence[int] | str": _Widths("WIDTH,...|auto"),
    "Sequence[int] | None": _Widths("WIDTH,..."),
    "int | str": Auto(click.INT),
    "float | str": Auto(click.FLOAT),
    "float | Sequence[float]": _Shares("SHARE|LOW,HIGH"),
    "float | Mapping[str, float]": _Density("SHARE|LAYER=SHARE,..."),
}
_UNTYPED: dict[str, Any] = {"init": click.Path(), "random_state": int}
_CHOICES = {
    name: OneOf(choices)
    for name, choices in (choices_of(AutoencoderConfig) | choices_of(TrainConfig) | {"device": DEVICES}).items()
}


def parameters() -> list[Parameter]:
    """The estimator's parameters, from its signature and the first sentence on each in its docstring."""
    cls = _definition(*_ESTIMATOR)
    init = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    arguments = [*init.args.args, *init.args.kwonlyargs]
    defaults = [*[None] * (len(init.args.args) - len(init.args.defaults)), *init.args.defaults, *init.args.kw_defaults]
    described = _first_sentences(cls)
    return [
        Parameter(
            argument.arg,
            _DEFAULTS.get(argument.arg, ast.literal_eval(default or "None")),
            _UNTYPED.get(argument.arg) or _choice(argument.arg, default) or _TYPES[ast.unparse(argument.annotation)],
            described[argument.arg],
        )
        for argument, default in zip(arguments, defaults, strict=True)
        if argument.arg not in _NOT_OPTIONS and argument.annotation is not None
    ]


def told(file: str, name: str) -> dict[str, str]:
    """The first sentence about each parameter of a function, by name; ``file`` lies in the package dsae."""
    return _first_sentences(_definition(file, name))


def _definition(file: str, name: str) -> Any:
    # Read, not imported: that would load numpy and scikit-learn for every --help.
    module = ast.parse(files("dsae").joinpath(*file.split("/")).read_text(encoding="utf-8"))
    return next(node for node in module.body if getattr(node, "name", None) == name)


def _choice(name: str, default: ast.expr | None) -> OneOf | None:
    choices = _CHOICES.get(name)
    if choices is None or not isinstance(default, ast.Constant) or default.value in choices.choices:
        return choices
    return OneOf([default.value, *choices.choices])


def _first_sentences(definition: Any) -> dict[str, str]:
    """The first sentence about each parameter in a numpydoc docstring, by name."""
    section = (ast.get_docstring(definition) or "").partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", section, re.MULTILINE)
    return {name: _sentence(" ".join(text.split())) for name, text in entries}


def _sentence(text: str) -> str:
    return re.split(r"\.(?: |$)|; see", text.replace("`", ""))[0] + "."


def fit_options(command: Callable) -> Callable:
    """Add every parameter of the estimator, and ``--config``, to a command."""
    for name, default, kind, text in reversed(parameters()):  # the decorator applied last is listed first
        flag = f"--{name.replace('_', '-')}"
        described = text if default is None else f"{text}  [default: {_shown(default)}]"
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
    from_file = {} if config is None else read_toml(config, tuple(parameter.name for parameter in parameters()))
    return _DEFAULTS | from_file | {name: value for name, value in given.items() if value is not None}

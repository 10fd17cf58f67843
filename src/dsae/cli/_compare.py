"""Commands that write a report: of a model beside its baselines, or of a model alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._encode import is_joint, load_model
from dsae.cli._files import file_options, other_rows, source_for, table_option, training_rows
from dsae.cli._options import fit_options, settings
from dsae.cli._output import progress
from dsae.cli._several import NAMES as SEVERAL
from dsae.cli._several import (
    compare_several,
    on_error_option,
    refuse_on_error,
    refuse_several,
    report_several,
    several_options,
)

if TYPE_CHECKING:
    from dsae.comparison import Comparison
    from dsae.features import Schema

_PIPE_WIDTH = 110  # columns that hold the table where there is no terminal to ask


class _ImageShape(click.ParamType):
    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int] | bool:
        if value == "none" or not isinstance(value, str):
            return False
        height, _, width = value.partition("x")
        if not (height.isdigit() and width.isdigit()):
            self.fail(f"must be height x width, such as 28x28, or none; got {value!r}.", param, ctx)
        return int(height), int(width)


image_shape_option = click.option(
    "--image-shape",
    type=_ImageShape(),
    help="Height and width if features are pixels, or none; square images are recognised.",
)


@click.command()
@click.argument("train")
@click.option("--test", metavar="FILE", help="Rows to measure on; by default a fifth of TRAIN is held out.")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="For model, report and figures.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable figures on stdout.")
@table_option
@file_options
@image_shape_option
@several_options
@fit_options
def compare(
    train: str,
    test: str | None,
    output: str,
    as_json: bool,
    table: bool,
    reading: dict[str, Any],
    image_shape: Any,
    config: str | None,
    **given: Any,
) -> None:
    """Train a deep sparse autoencoder, its dense and its narrow twin and PCA on the rows in TRAIN.

    Writes model/, comparison.json and report.html into the folder.
    """
    from dsae.comparison import compare as run
    from dsae.data import gives_parts

    several = {name: given.pop(name) for name in SEVERAL}
    parameters = settings(config, given)
    source, schema = training_rows(train, reading, table, parameters)
    if gives_parts(source):
        tested = None if test is None else training_rows(test, reading, False, {})[0]
        compare_several(source, tested, made(output), parameters, several, as_json)
        return
    refuse_several(several)
    tested = None if test is None else other_rows(test, reading, source, "compare", "as many as TRAIN", schema)
    if image_shape and image_shape[0] * image_shape[1] != source.n_features:
        raise ValueError(
            f"--image-shape {image_shape[0]}x{image_shape[1]} does not hold the {source.n_features} columns of {train}."
        )
    X, X_test = source.load(), None if tested is None else tested.load()
    folder = made(output)  # before the training, which would be lost without it
    comparison = run(X, X_test, **parameters)
    write_study(folder, comparison, feature_names=source.column_names, image_shape=image_shape, schema=schema)
    print_study(comparison, as_json)
    click.echo(f"report: {folder / 'report.html'}", err=True)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE", help="HTML to write.")
@on_error_option
@file_options
@image_shape_option
def report(model: str, data: str, output: str, on_error: str | None, reading: dict[str, Any], image_shape: Any) -> None:
    """Write one HTML file about MODEL and its results on the rows in DATA."""
    from dsae.report import collect, render, write_report

    runtime = load_model(model, several=True)
    if is_joint(runtime):
        report_several(runtime, data, output, reading, on_error)
        return
    refuse_on_error(on_error)
    rows = source_for(runtime, "report", data, reading).load()
    if output == "-":
        click.echo(render(collect(runtime.model, rows, image_shape=image_shape)))
        return
    with progress("report"):
        write_report(output, runtime.model, rows, image_shape=image_shape)
    click.echo(f"report: {output}", err=True)


def made(folder: str) -> Path:
    """Create the output folder before any work is done.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made: {error.strerror}. Choose a writable folder.") from None
    return path


def write_study(
    folder: Path,
    comparison: Comparison,
    feature_names: Sequence[str] | None = None,
    image_shape: Any = None,
    schema: Schema | None = None,
) -> None:
    """Write ``model/``, ``comparison.json`` and ``report.html`` into ``folder``."""
    from dsae import store

    store.write(folder / "model", replace(comparison.models[comparison.rows[0].name].model, table=schema))
    (folder / "comparison.json").write_text(comparison.to_json() + "\n", encoding="utf-8")
    comparison.to_html(folder / "report.html", feature_names=feature_names, image_shape=image_shape)


def print_study(comparison: Comparison, as_json: bool) -> None:
    """The figures on stdout: a table, or JSON."""
    from rich.console import Console

    if as_json:
        click.echo(comparison.to_json())
    else:
        Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(comparison.to_table())

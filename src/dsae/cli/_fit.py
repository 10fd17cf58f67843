"""The command that trains."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._options import fit_options, settings
from dsae.cli._output import plain, show
from dsae.cli._use import id_column, measure, source_for

if TYPE_CHECKING:
    from dsae.runtime import Runtime

_KEPT = ("mse", "fvu")


@click.command()
@click.argument("data")
@click.option("-o", "--output", required=True, metavar="MODEL", help="Model folder to write.")
@click.option("--test", metavar="FILE", help="Rows to evaluate the model on.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable summary.")
@id_column
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(0),
    metavar="MINUTES",
    help="Keep all that the run needs to go on in MODEL.checkpoint, written anew so often.",
)
@click.option("--resume", is_flag=True, help="Go on from MODEL.checkpoint; give the same data and parameters again.")
@fit_options
def fit(
    data: str,
    output: str,
    test: str | None,
    as_json: bool,
    id_column: str | None,
    checkpoint_every: float | None,
    resume: bool,
    config: str | None,
    **given: Any,
) -> None:
    """Train a deep sparse autoencoder on the rows in DATA, a file or a folder of files.

    Up to 256 MiB of float32 are read into memory; more is read anew in every epoch, piece by piece.

    Ctrl-C ends the training early; the model so far is written all the same, and the exit code is 130. With
    --checkpoint-every (or --resume, then every 10 minutes) the same command with --resume goes on from there, as it
    does after a crash, and ends with the same weights as if it had not stopped.
    """
    from dsae import store
    from dsae.data import check_source, open_rows

    parameters = settings(config, given)
    store.check_target(output)
    source = open_rows(data, id_column)
    if resume or checkpoint_every is not None:
        parameters |= _kept(output, checkpoint_every, resume)
    if test is not None:
        tested = open_rows(test, id_column)
        check_source("evaluate", tested, source.n_features, source.column_names, "as many as DATA")
    rows = source.read() if source.is_small else source
    runtime, seconds, interrupted = _fitted(rows, source.column_names, parameters)
    results = {f"train_{name}": value for name, value in measure(runtime, rows).items() if name in _KEPT}
    if test is not None:
        test_metrics = measure(runtime, source_for(runtime, "evaluate", test, id_column))
        results |= {f"test_{name}": value for name, value in test_metrics.items() if name in _KEPT}
    runtime.model.metrics.update(plain({**results, "fit_seconds": seconds}))
    runtime.save(output)
    if "checkpoint" in parameters and not interrupted:
        shutil.rmtree(parameters["checkpoint"], ignore_errors=True)
    model = runtime.model
    facts = {"model": output, "density": model.density, "nnz": model.nnz, "epochs": len(model.history)}
    show({**facts, "seconds": seconds, **results}, as_json)
    if interrupted:
        if "checkpoint" in parameters:
            click.echo("dsae: the same command with --resume goes on", err=True)
        raise click.Abort


def _kept(output: str, every: float | None, resume: bool) -> dict[str, Any]:
    """Parameters that make the estimator keep, or take up, checkpoints beside the model."""
    folder = Path(output).resolve()
    folder = folder.with_name(f"{folder.name}.checkpoint")
    if folder.exists() and not resume:
        raise ValueError(f"{folder} holds an unfinished run. Go on with --resume, or remove it to start anew.")
    if resume and not folder.exists():
        click.echo(f"dsae: there is no {folder} to resume; starting anew", err=True)
    return {"checkpoint": str(folder)} | ({} if every is None else {"checkpoint_every": every})


def _fitted(rows: Any, names: list[str] | None, parameters: dict[str, Any]) -> tuple[Runtime, float, bool]:
    from dsae.estimator import DeepSparseAutoencoder
    from dsae.runtime import Runtime

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dsa = DeepSparseAutoencoder(**parameters)
        dsa._keeps_checkpoint = True  # until the model is written
        dsa.fit(rows)
    for warning in caught:
        click.echo(f"dsae: warning: {warning.message}", err=True)
    interrupted = any("interrupted" in str(warning.message) for warning in caught)
    model = dataclasses.replace(dsa.runtime_.model, feature_names=names)
    return Runtime(model), dsa.fit_time_, interrupted
